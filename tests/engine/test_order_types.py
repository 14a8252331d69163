"""Orders by type and time in force, in both engines: what they do, and what happens when requests race with the market.

Books are drawn with sizes; ours is marked by *. Latencies are 0 unless said: what is done at local time t arrives behind all records up to t.
"""

import pytest
from scripts import (
    BUY,
    BUY_MARKET,
    BUY_STOP,
    BUY_STOP_LIMIT,
    CANCEL,
    CANCEL_ALL,
    MODIFY,
    MODIFY_STOP,
    ON_END,
    ON_START,
    SELL,
    SELL_MARKET,
    SELL_STOP,
    SELL_STOP_LIMIT,
    play,
    run,
    script,
    told,
)  # fmt: skip
from status_files import HALT, write_status
from streams import Stream

import tapeline as tl

P = 10**9


def book() -> Stream:
    """Bids 100: 5 (id 1) + 3 (id 2), 99: 7 (id 3). Asks 101: 4 (id 4), 102: 6 (id 5)."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(3, "B", 99, 7)
    return stream.add(4, "A", 101, 4).add(5, "A", 102, 6)


# ---------------------------------------------------------------------- FOK


def test_fok_fills_whole_or_not_at_all(tmp_path):
    """Asks 101: 4, 102: 6. A FOK for 5 at 101 finds 4: nothing happens to the book, and it expires. For 10 at 102 it takes 4 and 6."""
    lines = run(tmp_path, book().quiet(900), (200, BUY, 101 * P, 5, tl.FOK), (300, BUY, 102 * P, 10, tl.FOK))
    assert lines == [("EXPIRED", 1, "FOK_UNFILLABLE", 200, -1), ("FILL", 2, 101, 300, 4), ("FILL", 2, 102, 300, 6)]


def test_a_market_order_may_say_that_it_does_not_rest(tmp_path):
    """Asks 101: 4, 102: 6. A market order is an IOC, and may be one by name: for 12 it takes 4 and 6, and the rest expires. A DAY order it cannot be."""
    lines = run(tmp_path, book().quiet(900), (200, BUY_MARKET, 12, tl.IOC), (210, BUY_MARKET, 1, tl.DAY))
    assert lines == [("FILL", 1, 101, 200, 4), ("FILL", 1, 102, 200, 6), ("EXPIRED", 1, "NO_LIQUIDITY", 200, -1), ("REJECTED", 2, "INSTRUCTION", 210, -1)]


def test_fok_counts_what_is_available_to_it(tmp_path):
    """Asks 101: 4 *2, 102: 6. 3 of the 4 were taken, ours of 2 is cancelled when met: 1 + 6 are there, so 8 are not and 7 are."""
    steps = ((200, BUY, 101 * P, 3, tl.IOC), (210, SELL, 101 * P, 2), (220, BUY, 102 * P, 8, tl.FOK), (230, BUY, 102 * P, 7, tl.FOK))
    lines = run(tmp_path, book().quiet(900), *steps)
    assert lines[1:] == [
        ("EXPIRED", 3, "FOK_UNFILLABLE", 220, -1),
        ("FILL", 4, 101, 230, 1), ("CANCELLED", 2, "SELF_MATCH", 230, -1), ("FILL", 4, 102, 230, 6),
    ]  # fmt: skip
    rules = tl.FillRules(self_match="cancel_aggressor")
    assert run(tmp_path, book().quiet(900), *steps, rules=rules)[1:] == [("EXPIRED", k, "FOK_UNFILLABLE", ts, -1) for k, ts in ((3, 220), (4, 230))]


def test_fok_that_ends_at_our_own_order_counts_what_is_in_front_of_it(tmp_path):
    """Asks 101: 4 *2 3. Where meeting ours ends what arrives, 4 can be had and 5 cannot, though 7 are displayed."""
    stream = book().add(6, "A", 101, 3, ts=205).quiet(900)
    steps = ((200, SELL, 101 * P, 2), (220, BUY, 101 * P, 5, tl.FOK), (230, BUY, 101 * P, 4, tl.FOK))
    lines = run(tmp_path, stream, *steps, rules=tl.FillRules(self_match="cancel_aggressor"))
    assert lines == [("EXPIRED", 2, "FOK_UNFILLABLE", 220, -1), ("FILL", 3, 101, 230, 4)]


def test_fok_market_orders(tmp_path):
    """Bids 100: 8, 99: 7. A market FOK for 16 expires, one for 15 empties the side."""
    lines = run(tmp_path, book().quiet(900), (200, SELL_MARKET, 16, tl.FOK), (300, SELL_MARKET, 15, tl.FOK))
    assert lines == [("EXPIRED", 1, "FOK_UNFILLABLE", 200, -1), ("FILL", 2, 100, 300, 8), ("FILL", 2, 99, 300, 7)]


# ---------------------------------------------------------------------- GTD


def test_gtd_expires_after_the_records_of_its_time(tmp_path):
    """Bids 100: 5 3 *1. Good till 400: a trade at 400 that reaches us still fills; without it the order expires at 400, whatever comes later."""
    kept = book().execute(3, 1, ts=400).quiet(900)
    assert run(tmp_path, kept, (200, BUY, 100 * P, 1, tl.GTD, 400)) == [("FILL", 1, 100, 400, 1)]
    late = book().execute(3, 1, ts=401).quiet(900)
    assert run(tmp_path, late, (200, BUY, 100 * P, 1, tl.GTD, 400)) == [("EXPIRED", 1, "EXPIRY", 400, -1)]


def test_gtd_times_that_are_past(tmp_path):
    """Refused at once where the gateway sees it, by the exchange where it passes on the way; a time without GTD, or GTD without a time, makes no sense."""
    steps = ((200, BUY, 99 * P, 1, tl.GTD, 200), (210, BUY, 99 * P, 1, tl.GTD, 240), (220, BUY, 99 * P, 1, tl.GTD), (230, BUY, 99 * P, 1, tl.GTC, 900))
    lines = run(tmp_path, book().quiet(900), *steps, latency=tl.Latency(entry=30))
    assert lines == [("REJECTED", k, "EXPIRY", ts, -1) for k, ts in ((1, 200), (3, 220), (4, 230), (2, 240))]


def test_gtd_ends_a_stop_that_waits_and_outlives_nothing(tmp_path):
    """A stop waits till 400. An order that was cancelled is told of no expiry."""
    steps = ((200, BUY_STOP, 105 * P, 1, tl.GTD, 400), (210, BUY, 99 * P, 1, tl.GTD, 400), (300, CANCEL, 2))
    assert run(tmp_path, book().quiet(900), *steps) == [("CANCELLED", 2, "REQUESTED", 300, -1), ("EXPIRED", 1, "EXPIRY", 400, -1)]


# ---------------------------------------------------------------------- stops


def test_stop_is_triggered_by_a_trade_at_its_price(tmp_path):
    """Asks 101: 4, 102: 6; a stop to buy 5 at 101. A trade at 100 does nothing, one at 101 (all 4) triggers: it buys behind that event, at 102."""
    stream = book().trade("A", 100, 1, ts=300).trade("B", 101, 4, ts=400, last=False).fill(4, 4, last=False).cancel(4, 4).quiet(900)
    result = play(tmp_path, stream, script((200, BUY_STOP, 101 * P, 5)))
    assert told(result)[1:] == [("TRIGGERED", 1, "NONE", 400, -1), ("FILL", 1, 102, 400, 5)]
    order = result.orders.row(0, named=True)
    assert (order["type"], order["stop"], order["price"], order["status"]) == ("stop", 101, None, "filled")


def test_stop_sells_below_and_limits_hold(tmp_path):
    """Bids 100: 8, 99: 7; a stop-limit to sell 9 at 100, limit 100. A trade at 100 triggers: 8 are sold at 100, 1 rests there, first in its queue."""
    stream = book().trade("A", 100, 1, ts=300).quiet(900)
    result = play(tmp_path, stream, script((200, SELL_STOP_LIMIT, 100 * P, 100 * P, 9)))
    assert told(result)[1:] == [("TRIGGERED", 1, "NONE", 300, 0), ("FILL", 1, 100, 300, 8)]
    assert result.orders.row(0, named=True)["status"] == "open"


def test_stop_on_quote(tmp_path):
    """Asks 101: 4. A stop to buy on the quote at 102: trades at 103 do nothing; when the 4 leave, the best ask is 102, and it buys there."""
    stream = book().trade("B", 103, 1, ts=300).cancel(4, 4, ts=400).quiet(900)
    lines = run(tmp_path, stream, (200, BUY_STOP, 102 * P, 1, tl.ON_QUOTE))
    assert lines == [("TRIGGERED", 1, "NONE", 400, -1), ("FILL", 1, 102, 400, 1)]
    assert run(tmp_path, stream, (200, SELL_STOP, 99 * P, 1, tl.ON_QUOTE)) == []


def test_a_side_without_quotes_triggers_nothing(tmp_path):
    """Stops on the quote to buy at 103 and to sell at 98, when asks and then bids leave: no price is none that is reached."""
    stream = book().cancel(4, 4, ts=400).cancel(5, 6).cancel(1, 5).cancel(2, 3).cancel(3, 7).quiet(900)
    steps = ((200, BUY_STOP, 103 * P, 1, tl.ON_QUOTE), (210, SELL_STOP, 98 * P, 1, tl.ON_QUOTE))
    assert run(tmp_path, stream, *steps) == []


def test_stop_that_is_reached_already_enters_at_once(tmp_path):
    """The last trade was at 101: a stop to buy at 101 is accepted, triggered and filled on arrival."""
    stream = book().trade("B", 101, 1, ts=150).quiet(900)
    lines = run(tmp_path, stream, (200, BUY_STOP, 101 * P, 1))
    assert lines == [("TRIGGERED", 1, "NONE", 200, -1), ("FILL", 1, 101, 200, 1)]


def test_stop_sees_every_trade_of_an_event(tmp_path):
    """An event trades at 103, then at 100: a stop to buy at 103 is triggered, one to sell at 100 too; the next event has no trade, and one at 99 waits."""
    stream = book().trade("B", 103, 1, ts=300, last=False).trade("A", 100, 1).quiet(400).quiet(900)
    lines = run(tmp_path, stream, (200, BUY_STOP, 103 * P, 1), (210, SELL_STOP, 100 * P, 1), (220, SELL_STOP, 99 * P, 1))
    assert [line[:2] for line in lines] == [("TRIGGERED", 1), ("FILL", 1), ("TRIGGERED", 2), ("FILL", 2)]


def test_stops_wait_while_the_book_is_crossed(tmp_path):
    """Bids 101 over asks 101: a trade at 105 triggers nothing until the book uncrosses."""
    stream = book().add(6, "B", 101, 1, ts=150).trade("B", 105, 1, ts=300).cancel(6, 1, ts=400).quiet(900)
    lines = run(tmp_path, stream, (200, BUY_STOP, 105 * P, 1))
    assert lines == [("TRIGGERED", 1, "NONE", 400, -1), ("FILL", 1, 101, 400, 1)]


def test_stop_prices_and_sizes_can_be_moved(tmp_path):
    """A stop-limit at 110 moves to 103 (nothing: the last trade was 102), its limit to 102 and size 2; a trade at 103 triggers it; then its stop is gone."""
    stream = book().trade("B", 102, 1, ts=150).trade("B", 103, 1, ts=400).quiet(900)
    steps = ((200, BUY_STOP_LIMIT, 110 * P, 101 * P, 1), (210, MODIFY_STOP, 1, 103 * P), (220, MODIFY, 1, 100 * P, 2), (500, MODIFY_STOP, 1, 104 * P))
    lines = run(tmp_path, stream, *steps)
    assert lines == [
        ("MODIFIED", 1, "NONE", 210, -1), ("MODIFIED", 1, "NONE", 220, -1), ("TRIGGERED", 1, "NONE", 400, 8), ("MODIFY_REJECTED", 1, "NOT_WAITING", 500, -1),
    ]  # fmt: skip
    moved = run(tmp_path, stream, (200, BUY_STOP, 110 * P, 1), (210, MODIFY_STOP, 1, 102 * P))
    assert moved == [("MODIFIED", 1, "NONE", 210, -1), ("TRIGGERED", 1, "NONE", 210, -1), ("FILL", 1, 101, 210, 1)]


def test_a_stop_that_was_moved_counts_with_its_last_size(tmp_path):
    """Of ten lots allowed a stop for 8 leaves 2; moved, and made smaller to 2, it leaves 8: they may be bought, and one more may not."""
    stop = ((200, BUY_STOP_LIMIT, 105 * P, 106 * P, 8), (210, MODIFY_STOP, 1, 104 * P), (220, MODIFY, 1, 106 * P, 2))
    lines = run(tmp_path, book().quiet(900), *stop, (230, BUY, 99 * P, 8), (240, BUY, 99 * P, 1), limits=tl.Limits(position_max=10))
    assert lines == [("MODIFIED", 1, "NONE", ts, -1) for ts in (210, 220)] + [("REJECTED", 3, "POSITION_LIMIT", 240, -1)]


def test_stop_requests_that_make_no_sense(tmp_path):
    """A stop price off the tick, POST_ONLY, IOC for a stop at the market, another stop for an order that has none, a price for one without a limit."""
    steps = (
        (200, BUY_STOP, 101 * P + 1, 1), (210, BUY_STOP_LIMIT, 101 * P, 101 * P, 1, tl.POST_ONLY), (220, BUY_STOP, 105 * P, 1, tl.IOC),
        (230, BUY, 99 * P, 1), (240, MODIFY_STOP, 4, 99 * P), (250, BUY_STOP, 105 * P, 1), (260, MODIFY, 5, 99 * P, 1), (270, BUY, 99 * P, 1, tl.ON_QUOTE),
        (280, MODIFY_STOP, 9, 99 * P),
    )  # fmt: skip
    assert [line[:3] for line in run(tmp_path, book().quiet(900), *steps)] == [
        ("REJECTED", 1, "PRICE"), ("REJECTED", 2, "INSTRUCTION"), ("REJECTED", 3, "INSTRUCTION"), ("MODIFY_REJECTED", 4, "INSTRUCTION"),
        ("MODIFY_REJECTED", 5, "INSTRUCTION"), ("REJECTED", 6, "INSTRUCTION"), ("MODIFY_REJECTED", 9, "UNKNOWN_ORDER"),
    ]  # fmt: skip


def test_stops_at_negative_prices(tmp_path):
    """Bids -101: 5, asks -99: 4. A stop to sell at -100 is triggered by a trade at -100, and sells at -101; one to buy at -98 waits."""
    stream = Stream().add(1, "B", -101, 5, ts=100).add(2, "A", -99, 4).trade("B", -99, 1).trade("A", -100, 1, ts=300).quiet(900)
    lines = run(tmp_path, stream, (200, SELL_STOP, -100 * P, 2), (210, BUY_STOP, -98 * P, 2))
    assert lines == [("TRIGGERED", 1, "NONE", 300, -1), ("FILL", 1, -101, 300, 2)]


def test_a_stop_that_was_reached_cannot_be_moved_any_more(tmp_path):
    """A trade at the stop price and a request to move the stop away, both at 300: the stop was reached by an event of that time, behind which requests come."""
    stream = book().trade("A", 100, 1, ts=300).quiet(900)
    lines = run(tmp_path, stream, (200, SELL_STOP, 100 * P, 2), (250, MODIFY_STOP, 1, 98 * P), latency=tl.Latency(modify=50))
    assert lines == [("MODIFY_REJECTED", 1, "NOT_WAITING", 300, -1), ("TRIGGERED", 1, "NONE", 300, -1), ("FILL", 1, 100, 300, 2)]


# ---------------------------------------------------------------------- reduce-only


def test_reduce_only_needs_a_position(tmp_path):
    """Flat: a REDUCE_ONLY sell is refused. Long 2: one for 5 at the bid sells 2, and the rest is cancelled."""
    steps = ((200, SELL, 100 * P, 5, tl.REDUCE_ONLY), (210, BUY_MARKET, 2), (220, SELL, 100 * P, 5, tl.REDUCE_ONLY))
    assert run(tmp_path, book().quiet(900), *steps) == [
        ("REJECTED", 1, "NOTHING_TO_REDUCE", 200, -1), ("FILL", 2, 101, 210, 2), ("FILL", 3, 100, 220, 2), ("CANCELLED", 3, "NOTHING_TO_REDUCE", 220, -1),
    ]  # fmt: skip


def test_reduce_only_orders_that_rest_never_open_a_position(tmp_path):
    """Long 2; asks 101: 4 *2 *2, both reduce-only. A trade through 101 fills the first, which leaves nothing to reduce: the second is cancelled."""
    stream = book().execute(5, 6, ts=300).quiet(900)
    steps = ((200, BUY, 101 * P, 2, tl.IOC), (210, SELL, 101 * P, 2, tl.REDUCE_ONLY), (220, SELL, 101 * P, 2, tl.REDUCE_ONLY))
    result = play(tmp_path, stream, script(*steps))
    assert told(result)[2:] == [
        ("ACCEPTED", 2, "NONE", 210, 4), ("ACCEPTED", 3, "NONE", 220, 4),
        ("FILL", 2, 101, 300, 2), ("CANCELLED", 3, "NOTHING_TO_REDUCE", 300, -1),
    ]  # fmt: skip
    assert result.fills["position"].to_list() == [2, 0]


def test_reduce_only_orders_without_a_purpose_go_the_last_to_come_first(tmp_path):
    """Long 2; three reduce-only asks of 2. The first is filled, then the third and the second are cancelled, in this order."""
    sells = [(210 + k, SELL, (101 + k) * P, 2, tl.REDUCE_ONLY) for k in range(3)]
    lines = run(tmp_path, book().execute(5, 6, ts=300).quiet(900), (200, BUY, 101 * P, 2, tl.IOC), *sells)
    assert lines[1:] == [("FILL", 2, 101, 300, 2), *(("CANCELLED", k, "NOTHING_TO_REDUCE", 300, -1) for k in (4, 3))]


def test_reduce_only_stops_are_looked_at_when_triggered(tmp_path):
    """A protective stop may be sent first, while flat: triggered when long it sells, when flat it is cancelled."""
    stream = book().trade("A", 100, 1, ts=300).quiet(900)
    stop = (200, SELL_STOP, 100 * P, 2, tl.REDUCE_ONLY)
    assert run(tmp_path, stream, stop) == [("CANCELLED", 1, "NOTHING_TO_REDUCE", 300, -1)]
    assert run(tmp_path, stream, stop, (210, BUY_MARKET, 1))[1:] == [
        ("TRIGGERED", 1, "NONE", 300, -1), ("FILL", 1, 100, 300, 1), ("CANCELLED", 1, "NOTHING_TO_REDUCE", 300, -1),
    ]  # fmt: skip


# ---------------------------------------------------------------------- cancel-all, and requests that race


def test_cancel_all_is_one_request(tmp_path):
    """Two resting orders and a stop go together, the last to come first, stops behind; what is sent afterwards lives."""
    steps = ((200, BUY, 99 * P, 1), (201, BUY_STOP, 105 * P, 1), (202, SELL, 103 * P, 1), (210, CANCEL_ALL), (211, BUY, 99 * P, 1))
    result = play(tmp_path, book().quiet(900), script(*steps), latency=tl.Latency(cancel=50))
    assert [line for line in told(result) if line[0] != "ACCEPTED"] == [("CANCELLED", k, "REQUESTED", 260, -1) for k in (3, 1, 2)]
    assert result.orders["status"].to_list() == ["cancelled"] * 3 + ["open"]


def test_cancel_all_reaches_orders_that_are_on_their_way(tmp_path):
    """An order that is still in flight is asked for too: it arrives first, since requests never overtake. A fill may win, and nothing is told twice."""
    stream = book().execute(3, 1, ts=230).quiet(900)
    steps = ((200, BUY, 100 * P, 1), (215, BUY, 99 * P, 1), (216, CANCEL_ALL), (217, CANCEL, 1), (218, MODIFY, 2, 98 * P, 1))
    result = play(tmp_path, stream, script(*steps), latency=tl.Latency(entry=30, cancel=5))
    assert [line[:4] for line in told(result)] == [
        ("CANCEL_REJECTED", 1, "CANCEL_PENDING", 217), ("MODIFY_REJECTED", 2, "CANCEL_PENDING", 218),
        ("ACCEPTED", 1, "NONE", 230), ("ACCEPTED", 2, "NONE", 245), ("CANCELLED", 2, "REQUESTED", 245), ("CANCELLED", 1, "REQUESTED", 245),
    ]  # fmt: skip


def test_a_refused_cancel_all_gives_back_what_it_asked_for_and_nothing_else(tmp_path):
    """Two mass cancels are refused. When that is told of the first, its orders may be cancelled again; the order of the second is still being cancelled."""
    latency = tl.Latency(entry=10, response=50, messages_max=2, messages_per=1000, messages_excess="reject")
    steps = ((200, BUY, 99 * P, 1), (201, BUY, 98 * P, 1), (211, CANCEL_ALL), (212, BUY, 99 * P, 1), (213, CANCEL_ALL), (271, CANCEL, 3), (271, CANCEL, 1))
    assert [line[:4] for line in told(play(tmp_path, book().quiet(900), script(*steps), latency=latency))] == [
        ("ACCEPTED", 1, "NONE", 210), ("ACCEPTED", 2, "NONE", 211), ("CANCEL_REJECTED", 0, "MESSAGE_RATE", 221), ("CANCEL_REJECTED", 3, "CANCEL_PENDING", 271),
        ("REJECTED", 3, "MESSAGE_RATE", 222), ("CANCEL_REJECTED", 0, "MESSAGE_RATE", 223), ("CANCEL_REJECTED", 1, "MESSAGE_RATE", 281),
    ]  # fmt: skip


class Refused(tl.Strategy):
    """Signals what it is told of an order whose modify and cancel are refused."""

    signals = ("price", "size", "size_left")

    def on_start(self, market, orders, account):
        """An order, and requests of it."""
        orders.buy(99 * P, 3)
        orders.wake_at(210)

    def on_timer(self, market, orders, account):
        """Of a live order."""
        orders.modify(1, 98 * P, 2)
        orders.cancel(1)

    def on_order(self, update, market, orders, account):
        """Of the refusals alone."""
        if update.what in (tl.Update.MODIFY_REJECTED, tl.Update.CANCEL_REJECTED):
            self.signal(0, update.price / P)
            self.signal(1, update.size)
            self.signal(2, update.size_left)


@pytest.mark.parametrize(
    ("refused", "settings"),
    [(2, {"latency": tl.Latency(messages_max=1, messages_per=1000, messages_excess="reject")}), (1, {"status": [(205, 1, HALT)]})],
)
def test_a_refusal_tells_of_the_order_that_lives(tmp_path, refused, settings):
    """Where the gateway's rate or a halt refuses a request of a live order, price, size and what is left are the order's, as they are in any other refusal."""
    if "status" in settings:
        settings = {"status": write_status(tmp_path / "status.dbn", settings["status"])}
    result = play(tmp_path, book().quiet(900), Refused(), **settings)
    assert result.signals["value"].to_list() == [99.0, 3.0, 3.0] * refused


def test_a_modify_in_flight_can_lose_to_a_fill(tmp_path):
    """Bids *2 at 100 in front of nothing: a modify to 5 under way while 2 are filled: the fill is told first, then UNKNOWN_ORDER."""
    stream = book().execute(3, 4, ts=300).quiet(900)
    lines = run(tmp_path, stream, (200, BUY, 100 * P, 2), (295, MODIFY, 1, 100 * P, 5), latency=tl.Latency(entry=10))
    assert lines == [("FILL", 1, 100, 300, 2), ("MODIFY_REJECTED", 1, "UNKNOWN_ORDER", 305, -1)]


def test_a_modify_below_what_was_filled_on_its_way_cancels(tmp_path):
    """*5 of which 3 are filled while a modify to 3 is under way: nothing is left, and it is cancelled."""
    stream = book().execute(3, 3, ts=300).quiet(900)
    lines = run(tmp_path, stream, (200, BUY, 100 * P, 5), (295, MODIFY, 1, 100 * P, 3), latency=tl.Latency(entry=10))
    assert lines == [("FILL", 1, 100, 300, 3), ("CANCELLED", 1, "MODIFY_BELOW_FILLED", 305, -1)]


def test_a_second_cancel_is_refused_at_once_and_one_after_the_end_too(tmp_path):
    """CANCEL_PENDING while the first is under way, UNKNOWN_ORDER after its answer."""
    lines = run(tmp_path, book().quiet(900), (200, BUY, 99 * P, 1), (210, CANCEL, 1), (211, CANCEL, 1), (300, CANCEL, 1), latency=tl.Latency(cancel=20))
    assert [line[:4] for line in lines] == [
        ("CANCEL_REJECTED", 1, "CANCEL_PENDING", 211), ("CANCELLED", 1, "REQUESTED", 230), ("CANCEL_REJECTED", 1, "UNKNOWN_ORDER", 300),
    ]  # fmt: skip


def test_orders_of_on_start_and_on_end(tmp_path):
    """on_start comes before the first event: its order arrives behind all records of that time. on_end's never arrives, and is IN_FLIGHT in the result."""
    result = play(tmp_path, book().quiet(900), script((ON_START, BUY, 100 * P, 1), (ON_END, BUY, 100 * P, 1), (ON_END, BUY, 100 * P, 0)))
    assert told(result) == [("ACCEPTED", 1, "NONE", 100, 8)]
    assert result.orders["status"].to_list() == ["open", "in_flight", "rejected"]
    assert result.orders["ts_arrived"].is_null().to_list() == [False, True, True]


@pytest.mark.parametrize("orders", [4096])
def test_thousands_of_live_orders(tmp_path, orders):
    """Limits(orders_live_max=4096): all of them rest, each has its place, and a mass cancel ends them all; in both engines."""
    stream = book().execute(3, 1, ts=5000).quiet(900_000)
    limits = tl.Limits(orders_live_max=orders)
    result = play(tmp_path, stream, Crowd(n=orders), limits=limits)
    assert result.orders.height == orders
    assert set(result.orders["status"]) == {"cancelled", "filled"}
    assert result.fills.height == 1


class Crowd(tl.Strategy):
    """Sends n orders at once, a level each, and cancels them all later."""

    n: tl.int64 = 1

    def on_start(self, market, orders, account):
        """All of them, from the best bid down."""
        for k in range(self.n):
            orders.buy((100 - k) * P, 1)
        orders.wake_at(orders.now + 100_000)

    def on_timer(self, market, orders, account):
        """All of them."""
        orders.cancel_all()
