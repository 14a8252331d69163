"""Both engines where tables grow, books are wide, instruments come late, and inputs end badly."""

import os
import random
import re

import pytest
from duels import SINGLE, random_strategy
from programs import Crowd
from random_markets import RandomMarket, random_venue
from streams import GRID, SNAPSHOT, SYMBOLS

import tapeline as tl
from tapeline.constants import LEVEL_MAX, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP
from tapeline.feeds import dbn
from tapeline.verify import compare


class Plodder(tl.Strategy):
    """Buys at every tenth event, and never asks to be woken, so that a century without events is over at once."""

    n: tl.int64

    def on_event(self, event, market, orders, account):
        """Count, and buy."""
        self.n += 1
        if self.n % 10 == 0:
            orders.buy_market(1)


def both(path, make, **settings):
    """The results of both engines, whether the input is damaged or not; and what was said of it."""
    results, errors = [], []
    for engine in ("compiled", "reference"):
        try:
            results.append(tl.Backtest(path, engine=engine, multiplier=1.0, **settings).run(*make()))
        except tl.DataError as error:
            results.append(error.result)
            errors.append(error)
    return *results, errors


def rows(seed, classes, rate=50, **more):
    """Rows of some classes at random venues."""
    rng = random.Random(seed)
    return [tl.Row(random_strategy(c, rng, rate), **random_venue(rng, SYMBOLS) | more) for c in classes]


@pytest.mark.parametrize("levels_max", [1024, 1 << 20])
@pytest.mark.parametrize("seed", [1, 2])
def test_wide_books_agree(seed, levels_max, tmp_path):
    """Half of all orders are thousands of ticks away, and so are ours, hundreds at once: windows move, grow if they may, and lists beside them fill up."""
    market = RandomMarket(seed)
    market.wide, market.jump, market.voids, market.damage = 0.5, 0.02, 0.001, 0.001
    path = market.grow(12_000).write(tmp_path / "x.dbn")

    def make():
        limits = tl.Limits(orders_live_max=300, ladder_levels_max=levels_max)
        made = rows(seed, SINGLE[:2], rate=5, limits=limits)
        for row in made:
            row.strategy.hand.far = 900
        return made

    found = compare(*both(path, make, tick_size="1", instruments=[1])[:2])
    assert found.is_equal, found


@pytest.mark.parametrize("end", [-LEVEL_MAX, LEVEL_MAX])
@pytest.mark.parametrize("seed", range(4))
def test_the_ends_of_the_price_range_agree(seed, end, tmp_path):
    """Prices up to the last level that there is, on either side of zero, ours beyond it refused: the engines agree."""
    market = RandomMarket(seed)
    market.centre, market.jump, market.wide = [end], 0, 0
    stream = market.grow(300)
    stream.rows = [(*row[:6], inside(row[6]), *row[7:]) for row in stream.rows]
    path = stream.write(tmp_path / "x.dbn")

    def make():
        made = rows(seed, SINGLE, limits=tl.Limits())  # at such prices limits on money would refuse everything
        for row in made:
            row.strategy.hand.base, row.strategy.hand.far = end, 500
        return made

    found = compare(*both(path, make, tick_size="1", instruments=[1])[:2])
    assert found.is_equal, found
    assert found.lines["fills"] > 0


def inside(price):
    """The nearest price that a book may have."""
    return price if price == UNDEFINED_PRICE else max(-LEVEL_MAX * GRID, min(LEVEL_MAX * GRID, price))


@pytest.mark.parametrize("seed", range(6))
def test_instruments_that_come_late_agree(seed, tmp_path):
    """Two dozen instruments, taken as they come: tables move while requests are under way, and the engines agree."""
    market = RandomMarket(seed, 24)
    market.voids, market.damage = 0.002, 0.01
    stream = market.grow(1200)
    path = stream.write(tmp_path / "x.dbn")
    found = compare(*both(path, lambda: rows(seed, [Crowd, Crowd]), tick_size="1")[:2])
    assert found.is_equal, found
    assert found.lines["orders"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_truncated_inputs_agree(seed, tmp_path):
    """Of a file that ends inside a record both engines give the same result of everything before, with the error."""
    path = RandomMarket(seed).grow(300).write(tmp_path / "x.dbn")
    path.write_bytes(path.read_bytes()[: -56 * 100 - 17])
    *results, errors = both(path, lambda: rows(seed, SINGLE), tick_size="1", instruments=[1])
    assert len(errors) == 2
    found = compare(*results)
    assert found.is_equal, found
    assert found.lines["signals"] > 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("left", [0, 80_000, 120_000])
def test_a_file_that_is_cut_while_it_is_read_agrees(left, threads, tmp_path, monkeypatch):
    """Another program cuts a plain file that a run has mapped: it ends with an error that names the file and the result of everything before, in both engines.

    (What is read behind the end of a mapped file kills the process.)
    """
    content = RandomMarket(3).grow(4000).write(tmp_path / "x.dbn").read_bytes()
    spans, header_bytes = dbn.DbnInput.spans, dbn.DbnInput([tmp_path / "x.dbn"]).files[0].header_bytes

    def cut(source):
        for span in spans(source):
            yield span
            os.truncate(source.paths[0], left)

    monkeypatch.setattr(dbn, "WINDOWS", 0)  # the smallest spans that there are
    monkeypatch.setattr(dbn.DbnInput, "spans", cut)
    results = []
    for engine in ("compiled", "reference"):
        path = tmp_path / f"{engine}.dbn"
        path.write_bytes(content)
        with pytest.raises(tl.DataError, match=rf"{engine}\.dbn: was cut to {left:,} bytes while it was read") as damage:
            tl.Backtest(path, engine=engine, multiplier=1.0, tick_size="1", instruments=[1], threads=threads).run(*rows(3, SINGLE))
        results.append(damage.value.result)
    found = compare(*results)
    assert found.is_equal or left == 0, found  # the normaliser was to look at the last record again
    assert abs(results[0].counters["records"] - max(left - header_bytes, 2**16) / 56) < 3
    assert found.lines["signals"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_prices_off_the_grid_agree(seed, tmp_path):
    """At a price that is no multiple of the grid both engines end with the same result of everything before, with the error."""
    stream = RandomMarket(seed).grow(300)
    row = list(stream.rows[200])
    row[5], row[6], row[7], row[8], row[10], row[11] = 999_999, 100_500_000_000, 1, 128, ord("A"), ord("B")
    stream.rows[200] = tuple(row)
    path = stream.write(tmp_path / "x.dbn")
    *results, errors = both(path, lambda: rows(seed, SINGLE), tick_size="1", instruments=[1])
    assert len(errors) == 2
    found = compare(*results)
    assert found.is_equal, found


@pytest.mark.parametrize("time", [2**62, 2**63 - 1, 2**63 + 1_704_236_400_000_000_000])
@pytest.mark.parametrize("field", [4, 12])
@pytest.mark.parametrize("place", [0, 250])
@pytest.mark.parametrize("form", ["dbn", "sent", "tape"])
def test_a_time_that_is_none_ends_a_run(form, place, field, time, tmp_path):
    """A damaged time behind all that an engine knows, of the venue or of receipt, ends a run of either engine with the same result of everything before.

    The error names the record, and no tape is made of such data.
    """
    stream = RandomMarket(2).grow(300)
    place += next(i for i, row in enumerate(stream.rows) if not row[8] & SNAPSHOT)
    row = list(stream.rows[place])
    row[field], row[13] = (time + 2**63) % 2**64 - 2**63, 0
    stream.rows[place] = tuple(row)
    path = stream.write(tmp_path / "x.dbn")
    said = f"record {place + 1} .*is of the time {time}, which is none: the data is damaged there"
    if form == "tape":
        with pytest.raises(tl.DataError, match=said):
            tl.write_tape(path, tmp_path / "x.tape", tick_size="1", instruments=[1])
        assert not (tmp_path / "x.tape").exists()
        return
    feed_time = "sent" if form == "sent" else "received"
    *results, errors = both(path, lambda: rows(2, SINGLE), tick_size="1", instruments=[1], feed_time=feed_time)
    assert [bool(re.search(said, str(error))) for error in errors] == [True, True]
    found = compare(*results)
    assert found.is_equal, found
    assert results[0].counters["records"] == place
    assert found.lines["signals"] > 100 or place < 250


@pytest.mark.parametrize("place", [0, 250])
def test_a_record_without_any_time_ends_a_run(place, tmp_path):
    """Neither time of a record is defined: it happened at none, and the engines end with the same result of everything before."""
    stream = RandomMarket(2).grow(300)
    place += next(i for i, row in enumerate(stream.rows) if not row[8] & SNAPSHOT)
    row = list(stream.rows[place])
    row[4] = row[12] = UNDEFINED_TIMESTAMP
    stream.rows[place] = tuple(row)
    *results, errors = both(stream.write(tmp_path / "x.dbn"), lambda: rows(2, SINGLE), tick_size="1", instruments=[1])
    assert [bool(re.search(rf"record {place + 1} .*is of the time {2**64 - 1}, which is none", str(error))) for error in errors] == [True, True]
    found = compare(*results)
    assert found.is_equal, found


@pytest.mark.parametrize("field", [4, 12])
def test_the_last_time_that_there_is_agrees(field, tmp_path):
    """The last time before those that are none, and any time in a snapshot, ends no run: the engines agree on what a strategy does then."""
    stream = RandomMarket(2).grow(300)
    row = list(stream.rows[250])
    row[field] = 2**62 - 1
    stream.rows[250] = tuple(row)
    assert any(row[8] & SNAPSHOT for row in stream.rows)
    stream.rows = [(*row[:4], 2**63 - 1, *row[5:12], 2**63 - 1, *row[13:]) if row[8] & SNAPSHOT else row for row in stream.rows]
    path = stream.write(tmp_path / "x.dbn")
    *results, errors = both(path, lambda: [Plodder()], tick_size="1", instruments=[1])
    found = compare(*results)
    assert found.is_equal, found
    assert not errors
    assert results[0].counters["records"] == len(stream.rows)
    assert found.lines["fills"] > 0


def test_an_input_without_ordinary_events_agrees(tmp_path):
    """A file with nothing but a snapshot calls nobody and records nothing, in both engines."""
    market = RandomMarket(1)
    market.snapshot()
    path = market.stream.write(tmp_path / "x.dbn")
    found = compare(*both(path, lambda: rows(1, SINGLE), tick_size="1", instruments=[1])[:2])
    assert found.is_equal, found
    assert set(found.lines.values()) == {0}
