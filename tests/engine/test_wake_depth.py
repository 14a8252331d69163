"""Strategies that look at more than what wakes them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from duels import Case
from programs import Follower, Glancer, PairFollower, PairGlancer, PairToucher, Quoter, Toucher, Watcher
from streams import Stream

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.verify import compare

DEEP = tuple(tl.Feature)[:16]
OF_LEVELS = ("depth_bid", "depth_ask", "imbalance_5", "imbalance_10", "depth_bid_10", "depth_ask_10", "slope_bid", "slope_ask")
NUMBERS = tuple(int(tl.Feature[name.upper()]) for name in OF_LEVELS)


class Peeper(tl.Strategy):
    """Tells the features of several levels at each change of the touch, and looks at no level itself."""

    features = DEEP
    wake_depth = 1
    signals = OF_LEVELS

    def on_book(self, market, orders, account):
        """A change of the touch."""
        for k in range(len(OF_LEVELS)):
            self.signal(k, market.features[NUMBERS[k]])


class Counter(tl.Strategy):
    """Counts its callbacks, and tells what it sees."""

    depth = 10
    features = DEEP
    wake_depth = 1
    signals = ("depth", "imbalance")
    calls: tl.int64

    def on_book(self, market, orders, account):
        """A change of the touch."""
        self.calls += 1
        self.signal(0, market.bid(9).size)
        self.signal(1, market.features[tl.Feature.IMBALANCE_10])


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A simulated session."""
    path = tmp_path_factory.mktemp("session") / "s.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=500, gap_scale=0.01))
    return path


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("pairs", [((Glancer, Quoter), (PairGlancer, PairFollower)), ((Toucher, Follower), (PairToucher, PairFollower))])
def test_random_runs_agree_with_the_reference(seed, pairs, tmp_path):
    """Runs of classes that look when the touch changes, or a level behind it, and not in between, record in both engines the same."""
    case = Case.seeded(seed)
    classes = pairs[case.books > 1]
    case = replace(case, players=[replace(player, strategy=classes[k % 2]) for k, player in enumerate(case.players)])
    found = case.compared(tmp_path)
    assert found.is_equal, found


def test_called_for_the_touch_alone(session):
    """With wake_depth = 1 on_book is called once for each change of the best bid and offer, however much is looked at."""
    result = tl.Backtest(session, tick_size="0.25", multiplier=50.0).run(Counter())
    assert result.counters["callbacks"] == len(tl.depth(session, levels=1, tick_size="0.25"))


def test_shows_what_there_is_at_that_time(session):
    """At a change of the touch the ten levels and the features are those of the book at that very event, as `tl.depth` has them."""
    result = tl.Backtest(session, tick_size="0.25", multiplier=50.0).run(Counter())
    seen = result.signals.filter(pl.col("signal") == "depth")["value"]
    touch = pl.col("^(bid|ask)_(px|sz|ct)_00$")
    ten = tl.depth(session, levels=10, tick_size="0.25").filter(pl.any_horizontal(touch.ne_missing(touch.shift())))
    assert len(seen) > 1000
    assert seen.to_list() == ten["bid_sz_09"].to_list()


@pytest.mark.nojit
@pytest.mark.parametrize("gap", [1, 3, 700])
def test_features_of_levels_without_levels(gap, tmp_path):
    """Who looks at no levels sees features of several levels as `tl.features` has them at that event: in books dense, with gaps, beyond their window."""
    stream, random = Stream(), np.random.default_rng(gap)
    sizes = random.integers(1, 9, 2_000)
    for order, distance in enumerate(random.integers(1, 14, 2_000) ** (1 + (gap > 1)) * gap):
        stream.add(order + 1, "BA"[order % 2], 2_000_000 + int(distance if order % 2 else -distance), int(sizes[order]))
        if order >= 60:
            stream.cancel(order - 59, int(sizes[order - 60]))
    path = stream.write(tmp_path / "x.dbn", symbols={1: "ONE"})
    result = tl.Backtest(path, tick_size="1", multiplier=1.0).run(Peeper())
    touch = pl.col("^(bid|ask)_(px|sz|ct)_00$")
    changes = tl.depth(path, levels=1, tick_size="1").filter(pl.any_horizontal(touch.ne_missing(touch.shift())))["sequence"]
    rows = tl.features(path, DEEP, tick_size="1").filter(pl.col("sequence").is_in(changes.implode()))
    assert len(rows) > 100
    for name in OF_LEVELS:
        seen = result.signals.filter(pl.col("signal") == name)["value"]
        assert seen.equals(rows[name].alias("value")), name


class Narrow(tl.Strategy):
    """Declares one feature of the touch and one of several levels, and tells all features of the book."""

    features = (tl.Feature.MID, tl.Feature.IMBALANCE_5)
    wake_depth = 1
    signals = tuple(feature.name for feature in tuple(tl.Feature)[:17])

    def on_book(self, market, orders, account):
        """A change of the touch."""
        for k in range(17):
            self.signal(k, market.features[k])


@pytest.mark.parametrize("beside", [(), (Peeper,), (Watcher,)])
def test_what_is_not_declared_is_not_a_number(beside, session):
    """A class sees NaN for features that it does not declare, whatever others of its kind, or classes beside it, make the engine compute."""
    result = tl.Backtest(session, tick_size="0.25", multiplier=50.0).run(Narrow(), *(cls() for cls in beside))
    told = result.signals.filter(pl.col("row") == 0)
    assert {name for (name,), values in told.group_by("signal") if not values["value"].is_nan().all()} == {"MID", "IMBALANCE_5"}


def test_other_classes_make_no_difference(session):
    """What a class with a wake_depth sees and does is the same whether or not another one in the run is told of everything."""
    settings = {"tick_size": "0.25", "multiplier": 50.0}
    alone = tl.Backtest(session, **settings).run(Counter())
    beside = tl.Backtest(session, **settings).run(Counter(), Watcher())
    assert alone.signals["value"].equals(beside.signals.filter(pl.col("row") == 0)["value"])
    assert compare(alone, tl.Backtest(session, engine="reference", **settings).run(Counter())).is_equal


@pytest.mark.parametrize(("attributes", "word"), [({"wake_depth": 0}, "wake_depth"), ({"depth": 2, "wake_depth": 3}, "depth = 2"), ({"depth": 0}, "depth")])
def test_what_makes_no_sense_is_refused(attributes, word):
    """A wake_depth outside the levels that are looked at, and no levels at all, are errors that name class and attribute."""
    with pytest.raises(tl.ConfigError, match=word):
        type("Odd", (tl.Strategy,), attributes)
