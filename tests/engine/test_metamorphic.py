"""What must not change the numbers, and what must change them in a known way. The compiled engine only: that it equals the reference is tested elsewhere."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from duels import Case
from polars.testing import assert_frame_equal
from programs import Quoter, Sleeper
from streams import SNAPSHOT, write_records

import tapeline as tl
from tapeline.constants import UNDEFINED_PRICE
from tapeline.feeds import dbn
from tapeline.result import FRAMES
from tapeline.tape import reader

SEEDS = [1, 2, 4, 11, 14, 16, 17, 20]
"""Runs of one instrument."""
SEVERAL_SEEDS = [3, 9, 15, 18]


def labelled(rows):
    """Rows with names of their own, which do not depend on the others'."""
    return [replace(row, label=f"row {i}") for i, row in enumerate(rows)]


def run(case, path, array=None, rows=None):
    """A case's run, with other records or rows."""
    write_records(path, case.stream().array() if array is None else array)
    return tl.Backtest(path, **case.settings).run(*labelled(case.rows()) if rows is None else rows)


def assert_same(first, second):
    """Equal frames and counters."""
    for name in FRAMES:
        assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)
    assert first.counters == second.counters


@pytest.mark.parametrize("seed", SEEDS[:4] + SEVERAL_SEEDS)
def test_chunks_change_nothing(seed, tmp_path, monkeypatch):
    """The same result whether tape events come in chunks of thousands or of a few, and bytes in chunks of a megabyte or of some records."""
    case = Case.seeded(seed)
    whole = run(case, tmp_path / "x.dbn")

    class SmallReader(reader.TapeReader):
        def __init__(self, *args):
            super().__init__(*args, chunk_events=1)

    class SmallInput(dbn.DbnInput):
        def __init__(self, paths):
            super().__init__(paths, chunk_bytes=1024)

    monkeypatch.setattr(reader, "TapeReader", SmallReader)
    monkeypatch.setattr("tapeline.backtest.DbnInput", SmallInput)
    assert_same(whole, run(case, tmp_path / "x.dbn"))
    assert_same(whole, run(case, tmp_path / "x.dbn.zst"))


class Listener(Sleeper):
    """Hears answers, and does nothing about them."""

    def on_order(self, update, market, orders, account):
        """An answer."""


@pytest.mark.parametrize("seed", SEEDS)
def test_to_listen_changes_nothing(seed, tmp_path):
    """A strategy that is told of answers, and one of the same acts that is not (so that acknowledgements need not travel), have the same orders and fills."""
    case = Case.seeded(seed)
    player = case.players[0]
    deaf, listening = (run(case, tmp_path / "x.dbn", rows=labelled([replace(player, strategy=cls).row(case.slow)])) for cls in (Sleeper, Listener))
    for name in FRAMES:
        assert_frame_equal(getattr(deaf, name), getattr(listening, name), check_exact=True)
    assert len(deaf.orders) > 0
    assert listening.counters["callbacks"] > deaf.counters["callbacks"]


@pytest.mark.parametrize("seed", SEEDS[:3] + SEVERAL_SEEDS[:2])
def test_compression_and_files_change_nothing(seed, tmp_path):
    """The same result from .dbn, .dbn.zst and from the same records in two files."""
    case = Case.seeded(seed)
    array = case.stream().array()
    whole = run(case, tmp_path / "x.dbn")
    assert_same(whole, run(case, tmp_path / "x.dbn.zst"))
    ends = np.flatnonzero(array["flags"] & 128)  # rule 1 looks at the next record of the same file only
    cut = next(int(i) + 1 for i in ends[len(ends) // 2 :] if array["sequence"][i] != array["sequence"][min(i + 1, len(array) - 1)])
    paths = [write_records(tmp_path / "a.dbn", array[:cut]), write_records(tmp_path / "b.dbn.zst", array[cut:])]
    assert_same(whole, tl.Backtest(paths, **case.settings).run(*labelled(case.rows())))


@pytest.mark.parametrize("seed", SEEDS)
def test_other_strategies_and_rows_change_nothing(seed, tmp_path):
    """A row records the same alone, among rows of its class, and among other classes that look deeper, follow events, and trade."""
    case = Case.seeded(seed)
    rows = labelled(case.rows())
    together = run(case, tmp_path / "x.dbn")
    for i, row in enumerate(rows):
        if type(row.strategy) is not Quoter or (i > 0 and row.latency.varies):  # draws are keyed by the row's place
            continue
        alone = run(case, tmp_path / "x.dbn", rows=[row])
        for name in FRAMES:
            columns = pl.exclude("row", "strategy")
            mine = getattr(together, name).filter(pl.col("row") == i).select(columns)
            assert_frame_equal(mine, getattr(alone, name).select(columns), check_exact=True)


@pytest.mark.parametrize("seed", SEEDS + SEVERAL_SEEDS)
def test_the_future_does_not_reach_back(seed, tmp_path):
    """Cutting the input after a time changes no order sent, no fill learned of and no signal given before that time."""
    case = Case.seeded(seed)
    array = case.stream().array()
    cut = len(array) // 2
    rows = [replace(row, latency=replace(row.latency, feed=row.latency.feed + 1)) for row in labelled(case.rows())]
    whole = run(case, tmp_path / "x.dbn", rows=rows)
    part = run(case, tmp_path / "x.dbn", array[:cut], rows)
    later = array[cut:]
    end = min(int(later["ts_event"][later["flags"] & SNAPSHOT == 0].min()), part.equity["ts"].to_physical().max())
    for name, time in (("fills", "ts_local"), ("signals", "ts")):
        before = pl.col(time).to_physical() < end
        assert_frame_equal(getattr(whole, name).filter(before), getattr(part, name).filter(before), check_exact=True)
    before, columns = pl.col("ts_sent").to_physical() < end, ("row", "order_id", "symbol", "side", "type", "tif", "ts_sent")
    sent = [result.orders.filter(before).select(columns) for result in (whole, part)]
    assert sent[0].height > 0
    assert_frame_equal(*sent)


def changed(case, *, hand=(), limits=1):
    """The case's rows, with other parameters of the strategies' hands and limits multiplied; fees by lot."""
    rows = labelled(case.rows())
    for row in rows:
        for name, value in dict(hand).items():
            setattr(row.strategy.hand, name, value)
    more = [replace(row.limits, position_max=row.limits.position_max * limits, order_size_max=row.limits.order_size_max * limits) for row in rows]
    more = [replace(limit, notional_max=math.inf, loss_max=math.inf) for limit in more]  # money changes with prices and sizes
    rules = [replace(row.rules, queue="exact") for row in rows]  # an estimator's guess is rounded to lots
    fees = tl.Fees(maker=0.25, taker=1.0)
    return [replace(row, limits=limit, fees=fees, rules=rule) for row, limit, rule in zip(rows, more, rules, strict=True)]


@pytest.mark.parametrize("seed", SEEDS)
def test_doubling_all_sizes_doubles_fills(seed, tmp_path):
    """With every size of history and of ours doubled, the same fills happen at the same times and prices, twice as large."""
    case = Case.seeded(seed)
    array = case.stream().array()
    once = run(case, tmp_path / "x.dbn", array, changed(case))
    array["size"] *= 2
    twice = run(case, tmp_path / "x.dbn", array, changed(case, hand={"scale": 2}, limits=2))
    sizes = [pl.col(name) * 2 for name in ("size", "size_left", "market_size", "position", "notional", "fee")]
    assert_frame_equal(once.fills.with_columns(sizes), twice.fills)
    assert_frame_equal(once.orders.select("order_id", "status", "reason", pl.col("filled") * 2), twice.orders.select("order_id", "status", "reason", "filled"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shift", [7, -3000])
def test_shifting_prices_shifts_cash(seed, shift, tmp_path):
    """With all prices shifted by whole ticks, the same fills happen at shifted prices, and cash differs by what the position cost more."""
    case = Case.seeded(seed)
    array = case.stream().array()
    here = run(case, tmp_path / "x.dbn", array, changed(case))
    array["price"][array["price"] != UNDEFINED_PRICE] += shift * 10**9
    there = run(case, tmp_path / "x.dbn", array, changed(case, hand={"base": 100 + shift}))
    kept = pl.exclude("price", "notional")
    assert_frame_equal(here.fills.select(kept), there.fills.select(kept))
    assert_frame_equal(here.fills.select(pl.col("price") + shift), there.fills.select("price"))
    at_end = [r.equity.group_by("row", maintain_order=True).last() for r in (here, there)]
    cost = at_end[0]["position"] * shift * case.settings["multiplier"]
    assert (at_end[0]["cash"] - cost).to_list() == pytest.approx(at_end[1]["cash"].to_list())


def one_sided(rows):
    """Rows without auctions: those may fill both sides at once, and buy orders come first, mirrored or not."""
    return [replace(row, rules=replace(row.rules, auction=False)) for row in rows]


@pytest.mark.parametrize("seed", SEEDS)
def test_mirroring_sides_mirrors_positions(seed, tmp_path):
    """With bids and asks exchanged and prices negated, strategies that do the same mirrored hold the opposite positions."""
    case = Case.seeded(seed)
    array = case.stream().array()
    here = run(case, tmp_path / "x.dbn", array, one_sided(changed(case)))
    sides = array["side"].copy()
    array["side"][sides == ord("A")], array["side"][sides == ord("B")] = ord("B"), ord("A")
    array["price"][array["price"] != UNDEFINED_PRICE] *= -1
    there = run(case, tmp_path / "x.dbn", array, one_sided(changed(case, hand={"mirror": -1})))
    kept = pl.exclude("price", "side", "position")
    assert_frame_equal(here.fills.select(kept), there.fills.select(kept))
    assert_frame_equal(here.fills.select(-pl.col("price"), -pl.col("position")), there.fills.select("price", "position"))
    assert (here.fills["side"].cast(pl.String) != there.fills["side"].cast(pl.String)).all()
