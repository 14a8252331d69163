"""What a strategy sees of the market between notices: where it looks at notices in the ring, and the ring has long been written anew."""

import pytest
from actors import mix

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.verify import compare


class Counter(tl.Strategy):
    """Is told of every tape event, so that the ring of notices is written over and over."""

    events: tl.int64

    def on_event(self, event, market, orders, account):
        """Another notice."""
        self.events += 1


class Sleeper(tl.Strategy):
    """Is told of nothing: looks at the market a hundred times a second, and at what it shows of features where it declares any.

    What it sees of the market is one number, so that it signals two things for each of its looks, and not six: there are 80,000.
    """

    signals = ("seen", "feature")

    def on_start(self, market, orders, account):
        """Wait."""
        orders.wake_at(orders.now + 10_000_000)

    def on_timer(self, market, orders, account):
        """Look, wait again."""
        seen = mix(mix(mix(0, market.bid(0).price), market.ask_price), market.bid_size - market.ask_count)
        self.signal(0, mix(mix(seen, market.last_price), market.ts_event))
        self.signal(1, self.feature(market))
        orders.wake_at(orders.now + 10_000_000)

    def feature(self, market):
        """None."""
        return 0.0


class FeatureSleeper(Sleeper):
    """The same, with all features."""

    features = tuple(tl.Feature)
    wake_depth = 1

    def feature(self, market):
        """One that changes with every event."""
        return market.features[tl.Feature.EVENT_RATE]


class Prying(Sleeper):
    """The same, without declaring any."""

    def feature(self, market):
        """What only others declared is not there."""
        return market.features[tl.Feature.MID]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A simulated session in which the touch seldom changes: not once in the time in which the ring is written over."""
    path = tmp_path_factory.mktemp("session") / "s.dbn"
    write_synth(path, SynthConfig(records=10_000, live_orders=3_000, touch_share=0.02, trade_share=0.005))
    return path


@pytest.mark.filterwarnings("ignore:.*Prying reads features.*does not declare")
@pytest.mark.parametrize("strategies", [(Sleeper,), (Counter, Sleeper), (Counter, FeatureSleeper), (Counter, FeatureSleeper, Prying)])
def test_the_market_stays_as_it_was_last_told(session, strategies):
    """Strategies that look long after they were last told see what the reference shows them, whatever others were told in between."""
    settings = {"tick_size": "0.25", "multiplier": 50.0, "latency": tl.Latency(feed=1_000_000)}
    ours, theirs = (tl.Backtest(session, engine=engine, **settings).run(*(cls() for cls in strategies)) for engine in ("compiled", "reference"))
    found = compare(ours, theirs)
    assert found.is_equal, str(found)
    assert ours.signals.height > 1_000
