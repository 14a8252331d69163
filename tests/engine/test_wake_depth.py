"""Strategies that look at more than what wakes them."""

from dataclasses import replace

import polars as pl
import pytest
from duels import Case
from programs import Glancer, PairFollower, PairGlancer, Quoter, Watcher

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.verify import compare

DEEP = tuple(tl.Feature)[:16]


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
def test_random_runs_agree_with_the_reference(seed, tmp_path):
    """Runs of classes that look when the touch changes, or a level behind it, and not in between, record in both engines the same."""
    case = Case.seeded(seed)
    classes = (Glancer, Quoter) if case.books == 1 else (PairGlancer, PairFollower)
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
