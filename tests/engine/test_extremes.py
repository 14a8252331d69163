"""Both engines where tables grow, books are wide, instruments come late, and inputs end badly."""

import random

import pytest
from duels import SINGLE, random_strategy
from programs import Crowd
from random_markets import RandomMarket, random_venue
from streams import GRID

import tapeline as tl
from tapeline.constants import LEVEL_MAX, UNDEFINED_PRICE
from tapeline.verify import compare


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
    return [tl.Row(random_strategy(c, rng, rate), **random_venue(rng) | more) for c in classes]


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
            row.strategy.far = 900
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
            row.strategy.base, row.strategy.far = end, 500
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


@pytest.mark.parametrize("time", [2**62, 2**62 + 12_345, 2**63 - 1])
@pytest.mark.parametrize("field", [4, 12])
def test_a_time_that_is_none_ends_a_run(field, time, tmp_path):
    """A damaged time behind all that an engine knows, of the venue or of receipt, ends the run with what was recorded, and an error that says so."""
    stream = RandomMarket(2).grow(300)
    row = list(stream.rows[250])
    row[field] = time
    stream.rows[250] = tuple(row)
    path = stream.write(tmp_path / "x.dbn")
    with pytest.raises(tl.DataError, match=f"the time {time}, which is none: the data is damaged there") as damage:
        tl.Backtest(path, multiplier=1.0, tick_size="1", instruments=[1]).run(*rows(2, SINGLE))
    assert damage.value.result.signals.height > 100


def test_an_input_without_ordinary_events_agrees(tmp_path):
    """A file with nothing but a snapshot calls nobody and records nothing, in both engines."""
    market = RandomMarket(1)
    market.snapshot()
    path = market.stream.write(tmp_path / "x.dbn")
    found = compare(*both(path, lambda: rows(1, SINGLE), tick_size="1", instruments=[1])[:2])
    assert found.is_equal, found
    assert set(found.lines.values()) == {0}
