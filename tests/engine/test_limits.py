"""Tables that run full name the setting that makes them larger, and tables that can grow do."""

import pytest
from duels import Case
from programs import Pair, Quoter
from random_markets import RandomMarket
from streams import Stream

import tapeline as tl
from tapeline.verify import verify


class Flood(tl.Strategy):
    """Sends a hundred requests at once."""

    def on_book(self, market, orders, account):
        """All in one callback."""
        for _ in range(100):
            orders.cancel(1)


def busy_stream() -> Stream:
    """Orders at one price come and go, a nanosecond apart: every event changes the queue ahead of later orders there."""
    stream = Stream().add(1, "B", 100, 5, ts=1000).add(2, "A", 101, 5)
    for k in range(3, 1000, 2):
        stream.add(k, "B", 100, 1, ts=1000 + k).add(k + 1, "B", 100, 1)
    for k in range(3, 1000):
        stream.cancel(k, 1, ts=2000 + k)
    return stream


class Joiner(Quoter):
    """Joins the bid and watches its queue, which the feed shows late."""

    def look(self, market, orders, account):
        """One order only, of 40 instances at once."""
        hand = self.hand
        if hand.last_id == 0 and market.has_bid:
            hand.last_id = orders.buy(market.bid_price, 1)
        if hand.last_id > 0:
            self.signal(0, orders.ahead(hand.last_id))


def test_messages_in_flight_are_limited_by_name(tmp_path):
    """More requests under way than Limits(messages_in_flight_max=…) is a LimitError that names it, however many come in one callback."""
    path = busy_stream().write(tmp_path / "x.dbn")
    run = tl.Backtest(path, tick_size="1", multiplier=1.0, instruments=[1], limits=tl.Limits(messages_in_flight_max=10))
    with pytest.raises(tl.LimitError, match="messages_in_flight_max"):
        run.run(Flood())


def test_many_changes_of_queues_may_be_under_way(tmp_path):
    """Queues ahead of 40 orders change thousands of times before a slow feed shows it: the rings grow, and both engines agree."""
    path = busy_stream().write(tmp_path / "x.dbn")
    settings = {"latency": tl.Latency(feed=1500), "limits": tl.Limits(orders_live_max=4)}
    found = verify([Joiner() for _ in range(40)], path, tick_size="1", multiplier=1.0, instruments=[1], **settings)
    assert found.is_equal, found
    assert found.lines["signals"] > 10_000


def test_notices_under_way_are_limited_by_name(tmp_path):
    """A feed so slow that more is under way than Limits(notices_in_flight_max=…) is a LimitError that names it."""
    path = busy_stream().write(tmp_path / "x.dbn")
    for limit, strategy in ((300, Quoter()), (1024, Joiner())):
        settings = {"latency": tl.Latency(feed="1s"), "limits": tl.Limits(notices_in_flight_max=limit)}
        with pytest.raises(tl.LimitError, match="notices_in_flight_max"):
            tl.Backtest(path, tick_size="1", multiplier=1.0, instruments=[1], **settings).run(strategy)


def test_an_instrument_is_there_from_its_first_event_on(tmp_path):
    """Where instruments are taken as they come, a strategy cannot index one whose first record is still to come, in either engine."""
    stream = RandomMarket(3).grow(50)
    stream.add(1, "B", 100, 5, ts=stream.ts + 1, instrument=2)
    path = stream.write(tmp_path / "x.dbn")
    for engine in ("compiled", "reference"):
        with pytest.raises(IndexError):
            tl.Backtest(path, tick_size="1", multiplier=1.0, engine=engine).run(Pair())


def test_cases_are_the_same_every_time():
    """A seed stands for one run: failures can be repeated."""
    assert Case.seeded(5).stream().rows == Case.seeded(5).stream().rows
    assert [(r.latency, r.rules) for r in Case.seeded(5).rows()] == [(r.latency, r.rules) for r in Case.seeded(5).rows()]
