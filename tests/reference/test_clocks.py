"""Two clocks: when notices, requests, answers and timers happen, and in which order."""

# ruff: noqa: ARG001 - callbacks have the arguments of the contract

import pytest
from streams import GRID, SNAPSHOT, Scripted, Stream, instruments, play

from tapeline.config import Fees, Latency, RowSpec, Venue
from tapeline.constants import UNDEFINED_PRICE, Feature
from tapeline.reference import run

P = GRID


class Watcher:
    """Writes down when it sees what."""

    def __init__(self):
        """Nothing seen."""
        self.seen = []

    def on_start(self, market, orders, account):
        """The first local time."""
        self.seen.append(("start", orders.now))

    def on_book(self, market, orders, account):
        """Local time, BBO, clock."""
        prices = tuple(None if p == UNDEFINED_PRICE else p // P for p in (market.bid_price, market.ask_price))
        self.seen.append(("book", orders.now, *prices, market.ts_event, market.ts_recv))

    def on_end(self, market, orders, account):
        """The last local time."""
        self.seen.append(("end", orders.now))


def test_a_notice_arrives_at_its_ts_recv_plus_the_feed_latency():
    """Each at its own time, never before the one in front of it; on_end comes at the greatest time of the data."""
    stream = Stream().add(1, "B", 100, 5, ts=100, recv=130).add(2, "A", 101, 5, ts=110, recv=120).quiet(200, recv=201)
    strategy = Watcher()
    journals = play(stream, strategy, latency=Latency(feed=7))
    assert strategy.seen == [("start", 100), ("book", 137, 100, None, 100, 130), ("book", 137, 100, 101, 110, 120), ("end", 201)]
    assert (journals.counters["notices"], journals.counters["callbacks"], journals.counters["clock_clamps"]) == (2, 4, 0)


def test_local_time_is_never_before_what_the_exchange_has_passed():
    """A notice due before the ts_event of a record that was already processed is late, and counted."""
    stream = Stream().add(1, "B", 100, 5, ts=100, recv=101).quiet(200, recv=201).add(2, "B", 99, 1, ts=150, recv=151).add(3, "B", 101, 1, recv=152).quiet(300)
    strategy = Watcher()
    journals = play(stream, strategy)
    assert [seen[:3] for seen in strategy.seen if seen[0] == "book"] == [("book", 101, 100), ("book", 200, 101)]
    assert (journals.counters["clock_clamps"], journals.counters["ts_event_backwards"]) == (1, 1)


def test_a_view_is_published_only_when_what_it_shows_has_changed():
    """BBO by default: deeper levels wake only those who declared them; sizes and counts do wake."""

    class Deep(Watcher):
        depth = 2

    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 99, 1, ts=200).add(3, "B", 98, 1, ts=300).add(4, "B", 100, 1, ts=400).quiet(500)
    shallow, deep = Watcher(), Deep()
    play(stream, shallow, deep)
    assert [seen[1] for seen in shallow.seen[1:-1]] == [101, 401]
    assert [seen[1] for seen in deep.seen[1:-1]] == [101, 201, 401]


def test_snapshots_publish_nothing_until_the_next_ordinary_event():
    """They move no clock either: the run starts with the first ordinary event."""
    stream = Stream().add(1, "B", 100, 5, ts=50, flags=SNAPSHOT).quiet(500)
    strategy = Watcher()
    play(stream, strategy)
    assert strategy.seen == [("start", 500), ("book", 501, 100, None, 500, 501), ("end", 501)]


def test_a_market_of_several_records_is_seen_at_the_end_of_the_event():
    """Inside an event nobody sees the book, nor does an order arrive; a trade is told with its own ts_recv, with the view before it."""

    class Tape(Watcher):
        def on_trade(self, trade, market, orders, account):
            self.seen.append(("trade", orders.now, trade.price // P, market.last_size, market.bid_size))

        def on_event(self, event, market, orders, account):
            self.seen.append(("event", orders.now, event.kind, event.size))

    stream = Stream().add(1, "B", 100, 5, ts=100, recv=101)
    stream.trade("A", 100, 2, ts=200, recv=210, last=False).fill(1, 2, recv=211, last=False).cancel(1, 2, recv=212).quiet(300)
    strategy = Tape()
    play(stream, strategy)
    assert strategy.seen[3:-2] == [
        ("event", 210, 4, 2), ("trade", 210, 100, 2, 5), ("event", 211, 3, 2), ("event", 212, 2, 2), ("book", 212, 100, None, 200, 212),
    ]  # fmt: skip


def test_an_order_arrives_after_every_record_of_its_time():
    """An arrival at 200 finds the 3 lots that came at 200 in front of it; one at 199 does not."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3, ts=200).quiet(300)
    for entry, ahead in ((99, 5), (100, 8)):
        strategy = Scripted((101, lambda orders: orders.buy(100 * P, 1)))
        play(stream, strategy, latency=Latency(entry=entry - 1))
        assert strategy.told == [("ACCEPTED", 1, "NONE", 100 + entry, ahead)]


def test_at_one_time_responses_come_first_then_the_market_then_timers():
    """All three at local time 201."""

    class Order(Watcher):
        def on_start(self, market, orders, account):
            orders.buy(100 * P, 1)
            orders.wake_at(201)

        def on_order(self, update, market, orders, account):
            self.seen.append(("order", orders.now))

        def on_timer(self, market, orders, account):
            self.seen.append(("timer", orders.now))

    strategy = Order()
    play(Stream().quiet(100).add(1, "B", 100, 5, ts=200, recv=201).quiet(300), strategy, latency=Latency(response=101))
    assert [seen[:2] for seen in strategy.seen] == [("order", 201), ("book", 201), ("timer", 201), ("end", 301)]


def test_requests_and_responses_do_not_overtake():
    """A fast cancel waits for the slow order in front of it; an acknowledgement comes before its fills."""
    stream = Stream().add(1, "A", 101, 5, ts=100).quiet(500)
    strategy = Scripted((200, lambda o: (o.buy(100 * P, 1), o.cancel(1))))
    play(stream, strategy, latency=Latency(entry=50, cancel=5, response=10))
    assert strategy.told == [("ACCEPTED", 1, "NONE", 250, 0), ("CANCELLED", 1, "REQUESTED", 250, -1)]
    strategy = Scripted((200, lambda o: o.buy(101 * P, 1)))
    play(stream, strategy, latency=Latency(response=10))
    assert [told[0] for told in strategy.told] == ["ACCEPTED", "FILL"]


def test_a_timer_is_replaced_by_a_later_call_and_is_never_in_the_past():
    """One timer per row."""

    class Timers(Watcher):
        def on_start(self, market, orders, account):
            orders.wake_at(200)
            orders.wake_at(150)
            with pytest.raises(ValueError, match="wake_at"):
                orders.wake_at(orders.now)

        def on_timer(self, market, orders, account):
            self.seen.append(("timer", orders.now))

    strategy = Timers()
    play(Stream().quiet(100).quiet(300), strategy)
    assert strategy.seen == [("timer", 150), ("end", 301)]


def two_books() -> Stream:
    """Book 1 at 100, then only book 2 until 400, then book 1 again."""
    stream = Stream().add(1, "B", 100, 5, ts=100)
    stream.add(2, "B", 50, 5, ts=150, instrument=2).add(3, "B", 50, 5, ts=250, instrument=2).add(4, "B", 50, 5, ts=350, instrument=2)
    return stream.add(5, "B", 100, 2, ts=400).quiet(500)


class BuyAt200:
    """Buys in the first book at 200."""

    def __init__(self):
        """Nothing told."""
        self.told = []

    def on_start(self, market, orders, account):
        """Wait."""
        orders.wake_at(200)

    def on_timer(self, market, orders, account):
        """Buy."""
        orders[0].buy(100 * P, 1)

    def on_order(self, update, market, orders, account):
        """Note local time, exchange time and queue."""
        self.told.append((orders.now, update.ts_event, update.ahead, market.instrument))


@pytest.mark.parametrize(("response", "told"), [(30, (240, 210, 5, 0)), (500, None), (210, (420, 210, 5, 0))])
def test_a_quiet_book_answers_in_time(response, told):
    """An arrival at 210, while only the other book moves, is answered after the response latency; its queue is that of 210 in any case."""
    strategy = BuyAt200()
    journals = run(two_books().chunks(), instruments(several=True), [RowSpec(strategy, Venue(latency=Latency(entry=10, response=response)), "")], 10**9)
    assert strategy.told == ([told] if told else [])
    assert journals.orders[0][5] == 210
    assert journals.counters["records_after_arrival"] == 0


def test_a_record_older_than_an_arrival_that_was_let_in_is_counted():
    """Book 1 was quiet, its order of 210 answered at 240; then it has a record of 205."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(3, "B", 50, 5, ts=250, instrument=2).add(5, "B", 100, 2, ts=205).quiet(500)
    strategy = BuyAt200()
    journals = run(stream.chunks(), instruments(several=True), [RowSpec(strategy, Venue(latency=Latency(entry=10, response=30)), "")], 10**9)
    assert journals.counters["records_after_arrival"] == 1
    assert journals.orders[0][9] == 5


def test_at_the_end_what_is_due_happens_and_what_is_under_way_is_booked_or_lost():
    """T is 301. An order that arrives at 300 is filled, and booked though its answer would come at 350; one that arrives at 310 never does."""

    class Late(Watcher):
        def on_start(self, market, orders, account):
            orders.wake_at(200)

        def on_timer(self, market, orders, account):
            if orders.now == 200:
                orders.buy(101 * P, 2)
                orders.wake_at(210)
            else:
                orders.buy(101 * P, 1)

        def on_fill(self, fill, market, orders, account):
            self.seen.append("fill")

        def on_end(self, market, orders, account):
            self.seen.append((orders.now, account.position, orders.is_live(1), orders.is_live(2)))
            orders.buy(101 * P, 1)
            orders.buy(101 * P, 0)

    strategy = Late()
    stream = Stream().add(1, "A", 101, 5, ts=100, recv=100).quiet(300, recv=301)
    journals = play(stream, strategy, latency=Latency(entry=100, response=50))
    assert strategy.seen[-1] == (301, 2, False, True)
    assert "fill" not in strategy.seen
    assert [(o[5], o[6], o[7], o[16]) for o in journals.orders] == [(300, 300, 301, 3), (-1, -1, -1, 1), (-1, -1, -1, 1), (-1, -1, 301, 6)]
    assert [(f[0], f[1], f[4]) for f in journals.fills] == [(300, 301, 2)]
    assert journals.equity[-1][:3] == (301, 2, -202)


def test_nothing_happens_in_a_run_without_ordinary_events():
    """No callbacks, no records."""
    strategy = Watcher()
    journals = play(Stream().add(1, "B", 100, 5, flags=SNAPSHOT), strategy)
    assert (strategy.seen, journals.equity) == ([], [])


def test_the_queue_ahead_is_what_the_feed_has_shown():
    """Bids 100: 5 *1; the 5 leave at 300 (recv 310). With a feed latency of 50 the row sees that at 360, not before."""

    class Ahead(Scripted):
        def on_timer(self, market, orders, account):
            self.told.append((orders.now, orders.ahead(1)))
            super().on_timer(market, orders, account)

    def nothing(orders):
        return None

    stream = Stream().add(1, "B", 100, 5, ts=100).cancel(1, 5, ts=300, recv=310).quiet(500)
    steps = [(t, nothing) for t in (205, 210, 359, 360)]
    strategy = Ahead((200, lambda o: o.buy(100 * P, 1)), *steps)
    play(stream, strategy, latency=Latency(feed=50, response=10))
    assert [t for t in strategy.told if len(t) == 2] == [(200, 0), (205, -1), (210, 5), (359, 5), (360, 0)]


def test_equity_is_sampled_at_multiples_as_it_was_before():
    """Every 100: a fill at 200 and one at 260 show at 200 (as of 200 inclusive) and 300; a mark as soon as there is one."""
    stream = Stream().add(1, "A", 101, 5, ts=120).add(2, "B", 99, 5, ts=130).quiet(420)
    strategy = Scripted((200, lambda o: o.buy(101 * P, 1)), (260, lambda o: o.buy(101 * P, 1)))
    journals = play(stream, strategy, equity_every_ns=100, fees=Fees(taker=1.0))
    assert [(e[0], e[1], e[2], e[3], e[5]) for e in journals.equity] == [(200, 1, -101, 200, 1), (300, 2, -202, 200, 2), (421, 2, -202, 200, 2)]


def test_other_rows_change_nothing():
    """A row's records are the same alone and beside rows of another class, another latency, another book of orders."""

    class Busy(Watcher):
        depth = 3
        features = (Feature.MICROPRICE,)

        def on_event(self, event, market, orders, account):
            orders.buy_market(1)

    stream = Stream().add(1, "A", 101, 5, ts=120).add(2, "B", 99, 5, ts=130)
    for ts in range(150, 400, 10):
        stream.add(ts, "B", 98, 1, ts=ts, recv=ts + 3)
    stream.execute(2, 5, ts=410).quiet(500)

    def row():
        return Scripted((200, lambda o: o.buy(101 * P, 2)), (300, lambda o: o.buy(100 * P, 2)))

    alone = play(stream, row(), equity_every_ns=50)
    beside = play(stream, row(), Busy(), Watcher(), equity_every_ns=50)
    for name, column in (("fills", 7), ("orders", 10), ("equity", 9)):
        assert [r for r in getattr(beside, name) if r[column] == 0] == getattr(alone, name)
