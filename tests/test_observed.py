"""What is read again from a run's data: mids and bars, when the data is there, and what is said when it is not."""

import os
import shutil
import signal
from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import MAKER

import tapeline as tl
from tapeline.constants import Side
from tapeline.conversion import write_tape
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import registry
from tapeline.load import load_strategy
from tapeline.manifest import fingerprint
from tapeline.observed import notes_of_fills
from tapeline.reference import tape
from tapeline.reference.book import Book
from tapeline.result import Result
from tapeline.stats.markouts import MIDS
from tapeline.stats.metrics import HORIZONS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A market maker on a simulated session, and the session's file."""
    path = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=400, tick="0.25", seed=2))
    maker = load_strategy(MAKER)
    backtest = tl.Backtest(path, tick_size="0.25", multiplier=50, latency=maker.latency, engine="reference")
    return backtest.run(maker(), maker(size=2)), path


def test_mids_are_those_of_the_book(run: tuple[Result, Path]) -> None:
    """Each fill's mids are those of `tl.depth` as of just before the fill and after each horizon, null after the last event."""
    result, path = run
    bbo = tl.depth(path, levels=1, tick_size="0.25").with_columns(
        mid=(pl.col("bid_px_00") + pl.col("ask_px_00")) / 2e9, ts=pl.col("ts_event").to_physical().cum_max()
    )
    last = bbo["ts"].max()
    mids = result.observed.mids
    assert mids is not None
    assert mids.height == result.fills.height > 50
    times, prices = bbo["ts"].to_numpy(), bbo["mid"].to_list()
    for fill, line in zip(result.fills.with_columns(ts=pl.col("ts_event").to_physical()).to_dicts(), mids.to_dicts(), strict=True):
        for name, time in zip(MIDS, [fill["ts"] - fill["is_maker"], *(fill["ts"] + ns for ns in HORIZONS.values())], strict=True):
            place = times.searchsorted(time, side="right") - 1
            if time <= last:  # events after the last change of the BBO know it, too
                assert line[name] == pytest.approx(prices[place])


def mids_of(path: Path, **settings: Any) -> tuple[dict[int, tuple[list[int], list[float]]], int]:
    """By instrument id the times of a file's ordinary events and the mids that they left, of the plain engine's books; and when the data ends."""
    source = DbnInput([path])
    known = registry(source, multiplier=1.0, **settings)
    books, found, end = defaultdict(Book), defaultdict(lambda: ([], [])), 0
    for event in tape(records(source), known, {}):
        book, instrument = books[event.instrument], known.known[event.instrument]
        book.apply(event)
        if not event.is_snapshot:
            end = max(end, event.ts_event, event.ts_recv)
            if event.is_last:
                bid, ask = (book.quotes(side, 1, instrument.grid)[0].price for side in (Side.BID, Side.ASK))
                times, mids = found[instrument.instrument_id]
                times.append(event.ts_event)
                mids.append((bid + ask) / 2e9)
    return dict(found), end


def test_mids_are_without_the_orders_that_were_taken_out(tmp_path: Path) -> None:
    """Of a run with `exclude_orders` the mids are those of the book that the run saw, before its fills and a second after."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=5_000, live_orders=200, tick="0.25", seed=2))
    chunks = [array.copy() for array, _ in records(DbnInput([path]))]
    own = np.unique(np.concatenate([array["order_id"][array["action"] == ord("A")] for array in chunks]))[::2].tolist()
    maker = load_strategy(MAKER)
    result = tl.Backtest(path, tick_size="0.25", multiplier=50, latency=maker.latency, engine="reference", exclude_orders=own).run(maker())
    [(times, mids)] = mids_of(path, tick_size="0.25", exclude_orders=own)[0].values()
    fills = result.fills.with_columns(ts=pl.col("ts_event").to_physical()).to_dicts()
    assert len(fills) > 20
    for fill, line in zip(fills, result.observed.mids.to_dicts(), strict=True):
        for name, time in (("mid_before", fill["ts"] - fill["is_maker"]), ("mid_1s", fill["ts"] + 10**9)):
            if time <= times[-1]:
                assert line[name] == pytest.approx(mids[bisect_right(times, time) - 1])


class Takers(tl.Strategy):
    """Buys two and sells three in turn, in whichever instrument has traded."""

    n: tl.int64

    def on_trade(self, trade, market, orders, account):
        """At once."""
        self.n += 1
        if self.n % 2:
            orders[trade.instrument].buy_market(2)
        else:
            orders[trade.instrument].sell_market(3)


def test_markouts_of_several_instruments_until_the_end_of_the_data(tmp_path: Path) -> None:
    """Each fill counts with its own instrument's mid and multiplier, by lots; one that is quiet before the data ends is known until then."""
    path, symbols = tmp_path / "many.dbn", [f"SYN{i + 1}" for i in range(60)]
    sizes, worth = {s: 0.25 * (1 + i % 2) for i, s in enumerate(symbols)}, {s: 10.0 + i for i, s in enumerate(symbols)}
    write_synth(path, SynthConfig(records=6_000, live_orders=1_200, instruments=60, tick=["0.25", "0.5"], trade_share=0.2, seed=3))
    result = tl.Backtest(path, tick_size=sizes, multiplier=worth, engine="reference").run(Takers())
    books, end = mids_of(path, tick_size=sizes)
    gains, lots, after_the_last = defaultdict(float), defaultdict(int), 0
    for fill in result.fills.with_columns(pl.col("symbol", "side").cast(pl.String), ts=pl.col("ts_event").to_physical()).to_dicts():
        times, mids = books[fill["instrument_id"]]
        at = fill["ts"] + 10**9
        after_the_last += times[-1] < at <= end
        if at <= end:
            signed = fill["size"] * worth[fill["symbol"]] * (1 if fill["side"] == "buy" else -1)
            gains[fill["symbol"]] += signed * (mids[bisect_right(times, at) - 1] - fill["price"])
            lots[fill["symbol"]] += fill["size"]
    table = dict(result.stats.by_instrument.select(pl.col("symbol").cast(pl.String), "markout_1s").rows())
    assert after_the_last > 3
    assert {symbol: value for symbol, value in table.items() if value is not None} == pytest.approx({symbol: gains[symbol] / lots[symbol] for symbol in lots})
    assert result.stats.frame["markout_1s"][0] == pytest.approx(sum(gains.values()) / sum(lots.values()))


def test_fills_before_anybody_traded_are_told_of() -> None:
    """Fills before an instrument's first trade, as in a pre-open that the run was not told of, are a note of the statistics; later ones are none."""
    seconds = pl.Series([0, 10, 20, 30]).cast(pl.Duration("ns")) * 1_000_000_000 + pl.Series(["2024-01-02T22:00"] * 4).str.to_datetime(
        time_unit="ns", time_zone="UTC"
    )
    bars = pl.DataFrame({"symbol": ["A"] * 4, "ts": seconds, "trades": [0, 0, 3, 1]})
    fills = pl.DataFrame({"symbol": ["A"] * 4, "ts_event": seconds})
    (note,) = notes_of_fills(fills, bars)
    assert note.startswith("2 of 4 fills in A were before its first trade at 2024-01-02 22:00:20 UTC: ")
    assert notes_of_fills(fills[2:], bars) == notes_of_fills(fills, bars.clear()) == ()


def test_a_result_is_at_home_in_any_directory(run: tuple[Result, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result of files that were named by relative paths reads them again from wherever it is loaded; definitions are named whole, too."""
    _, path = run
    (tmp_path / "day").mkdir()
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(path, tmp_path / "day" / "session.dbn")
    monkeypatch.chdir(tmp_path / "day")
    backtest = tl.Backtest("session.dbn", tick_size="0.25", multiplier=50, engine="reference")
    backtest.run(load_strategy(MAKER)()).save("saved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = Result.load(tmp_path / "day" / "saved")
    assert there.stats.frame["markout_1s"][0] is not None
    assert there.observed.missing is None
    assert str(there.explain(int(there.orders["order_id"][0])))
    assert tl.Backtest("session.dbn", definitions="of_today.dbn").settings()["definitions"] == [Path.cwd() / "of_today.dbn"]


def test_saved_results_keep_what_was_read(run: tuple[Result, Path], tmp_path: Path) -> None:
    """After save and load, and again, the statistics are equal without the data; a result saved before anybody looked reads the data, if it is there."""
    result, path = run
    data = tmp_path / "copy.dbn"
    shutil.copy(path, data)
    moved = {**result.manifest, "data": [{**result.manifest["data"][0], "path": str(data)}]}
    fresh = replace(result, manifest=moved)
    unseen = Result.load(fresh.save(tmp_path / "unseen"))
    assert unseen.stats.to_dict() == result.stats.to_dict()
    seen = Result.load(unseen.save(tmp_path / "seen"))
    late = Result.load(tmp_path / "unseen")
    data.unlink()
    again = Result.load(Result.load(tmp_path / "seen").save(tmp_path / "again"))
    assert again.stats.to_dict() == result.stats.to_dict()
    assert seen.stats.to_dict() == result.stats.to_dict()
    assert seen.observed.bars.equals(result.observed.bars)
    assert late.stats.frame["markout_1s"].null_count() == late.stats.frame.height
    assert "not there any more" in late.stats.notes[-1]


def test_of_an_interrupted_run_the_rest_of_the_data_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has interrupted a run does not wait for its whole data to be read: bars end soon after the run did; mids are those of all of it."""
    path = tmp_path / "session.dbn.zst"
    write_synth(path, SynthConfig(records=80_000, live_orders=400, tick="0.25", seed=2))
    monkeypatch.setattr("tapeline.backtest.PROGRESS_EVERY_S", 0.0)
    sent: list[int] = []

    def progress(at: tl.Progress) -> None:
        if at.records and not sent:
            sent.append(at.records)
            os.kill(os.getpid(), signal.SIGINT)

    result = tl.Backtest(path, tick_size="0.25", multiplier=50, threads=1).run(load_strategy(MAKER)(), progress=progress)
    whole = replace(result, manifest={**result.manifest, "interrupted": False})
    assert result.fills.height > 10
    assert result.observed.mids.equals(whole.observed.mids)
    assert result.equity["ts"][-1] < result.observed.bars["ts"][-1] < whole.observed.bars["ts"][-1]
    assert whole.observed.bars.head(result.observed.bars.height - 1).equals(result.observed.bars.head(-1))


def test_a_saved_result_says_that_its_data_was_damaged(tmp_path: Path) -> None:
    """Of a run that damage has ended, statistics say after save and load what they said before, in one sentence."""
    whole, cut = tmp_path / "whole.dbn", tmp_path / "cut.dbn"
    write_synth(whole, SynthConfig(records=2_000, live_orders=200, tick="0.25", seed=2))
    cut.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(tl.DataError) as damage:
        tl.Backtest(cut, tick_size="0.25", multiplier=50, engine="reference").run(load_strategy(MAKER)())
    notes = damage.value.result.stats.notes
    assert notes[-1].startswith("the data is damaged: ")
    assert notes[-1].endswith("Get the file again.")
    assert Result.load(damage.value.result.save(tmp_path / "run")).stats.notes == notes


@pytest.mark.parametrize(
    ("tick_size", "multiplier"),
    [
        (Decimal("0.1"), Decimal("0.5")),
        (np.float32(0.1), np.float32(0.5)),
        ({"SYN1": Decimal("0.1")}, {1: np.float64(0.5)}),
        ({np.int64(1): 0.1}, Fraction(1, 2)),
    ],
)
def test_settings_of_any_kind_of_number_survive_a_saved_manifest(tick_size: Any, multiplier: Any, tmp_path: Path) -> None:
    """Ticks and multipliers of Python's, NumPy's and decimal's types make the run that text makes, and the data is read again by what the manifest keeps."""
    path = tmp_path / "tenths.dbn"
    write_synth(path, SynthConfig(records=2_000, live_orders=400, tick="0.1", seed=2))
    maker = load_strategy(MAKER)
    plain, other = (
        tl.Backtest(path, tick_size=tick, multiplier=each, engine="reference").run(maker()) for tick, each in (("0.1", 0.5), (tick_size, multiplier))
    )
    loaded = Result.load(other.save(tmp_path / "run"))
    assert loaded.fills.equals(plain.fills)
    assert loaded.stats.to_dict() == plain.stats.to_dict()
    assert str(loaded.explain(1)) == str(plain.explain(1))


def test_changed_data_is_not_read(run: tuple[Result, Path], tmp_path: Path) -> None:
    """Data of another hash than the run's gives no markouts and says so."""
    result, path = run
    data = tmp_path / "changed.dbn"
    data.write_bytes(path.read_bytes()[:-56])
    moved = {**result.manifest, "data": [{**result.manifest["data"][0], "path": str(data)}]}
    assert "has changed since" in replace(result, manifest=moved).stats.notes[-1]


def test_split_adds_up_on_a_run(run: tuple[Result, Path]) -> None:
    """Spread + adverse selection + the rest = gross PnL, and a maker's captured spread is positive."""
    for line in run[0].stats.frame.to_dicts():
        assert line["spread_capture"] + line["adverse_selection"] + line["inventory_pnl"] == pytest.approx(line["pnl_gross"])
        assert line["spread_capture"] > 0


def test_a_tape_says_what_its_data_said(run: tuple[Result, Path], tmp_path: Path) -> None:
    """Mids and bars read from a tape equal those read from the DBN that it was made of."""
    result, path = run
    tape = tmp_path / "session.tape"
    write_tape(path, tape, tick_size="0.25")
    played = replace(result, manifest={**result.manifest, "data": [fingerprint(tape)]})
    assert played.observed.missing is None
    assert played.observed.mids.equals(result.observed.mids)
    assert played.observed.bars.equals(result.observed.bars)


def test_a_repr_reads_no_data(run: tuple[Result, Path]) -> None:
    """To print a result does not read its data; the net PnL is that of the statistics."""
    result, _ = run
    fresh = replace(result)
    text = repr(fresh)
    assert "observed" not in vars(fresh)
    assert f"net PnL {result.stats.totals()[0]['pnl_net']:,.2f}" in text
