"""The fill rules, by name.

Books are drawn with sizes; ours is marked by *. Latencies are 0: what is done at local time t arrives behind all records up to t.
"""

import pytest
from streams import SNAPSHOT, Scripted, Stream, play

from tapeline.config import FillRules, Latency
from tapeline.constants import IOC, POST_ONLY, FillRule

P = 10**9


def book() -> Stream:
    """Bids 100: 5 (id 1) + 3 (id 2), 99: 7 (id 3). Asks 101: 4 (id 4), 102: 6 (id 5)."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(3, "B", 99, 7)
    return stream.add(4, "A", 101, 4).add(5, "A", 102, 6)


def told(stream: Stream, *steps, rules: FillRules | None = None, equity_every_ns: int = 10**9):
    """What a scripted strategy is told after ACCEPTED's, and the journals."""
    strategy = Scripted(*steps)
    journals = play(stream, strategy, rules=rules, equity_every_ns=equity_every_ns)
    return [t for t in strategy.told if t[0] != "ACCEPTED"], journals


def fills(journals):
    """(order id, price in ticks, size, rule, market size) of each fill."""
    return [(f[2], f[3] // P, f[4], FillRule(f[11]).name, f[6]) for f in journals.fills]


def buy(price, size=1, instruction=0):
    """A step."""
    return lambda orders: orders.buy(price * P, size, instruction)


def sell(price, size=1, instruction=0):
    """A step."""
    return lambda orders: orders.sell(price * P, size, instruction)


# ---------------------------------------------------------------------- rule 1: queue


def test_queue_an_order_joins_behind_all_displayed_size():
    """Bids 100: 5 3 *1. ACCEPTED tells ahead 8; what leaves in front moves us up, what comes or leaves behind does not."""
    stream = book().add(6, "B", 100, 9, ts=300).cancel(6, 2, ts=301).cancel(1, 5, ts=302).cancel(2, 1, ts=303).quiet(400)
    strategy = Scripted((200, buy(100)))
    journals = play(stream, strategy)
    assert strategy.told == [("ACCEPTED", 1, "NONE", 200, 8)]
    ahead_at_entry, ahead_at_end = journals.orders[0][8:10]
    assert (ahead_at_entry, ahead_at_end) == (8, 2)


def test_queue_fills_do_not_move_us_but_their_cancels_do():
    """Bids 100: 5 3 *1. A FILL of 5 in front, then its REMOVE: ahead goes 8 → 3, once."""
    _, journals = told(book().execute(1, 5, ts=300).quiet(400), (200, buy(100)))
    assert (journals.fills, journals.orders[0][9]) == ([], 3)


def test_queue_comes_back_after_a_snapshot():
    """Bids 100: 5 3 *1 4. A CLEAR, then a snapshot without the order of 5, and with a new order of 2: only the old 3 is in front."""
    stream = book().add(6, "B", 100, 4, ts=300).clear(ts=400, last=False, flags=SNAPSHOT)
    for order, size in ((9, 2), (2, 3), (6, 4)):
        stream.add(order, "B", 100, size, last=False, flags=SNAPSHOT)
    stream.add(4, "A", 101, 4, flags=SNAPSHOT).quiet(500)
    _, journals = told(stream, (200, buy(100)))
    assert journals.orders[0][9] == 3


def test_queue_a_smaller_modify_keeps_the_place_and_anything_else_loses_it():
    """Bids 100: 5 3 *4, then 6 behind. Down to 2: still 8 in front. Up to 5: 14 in front. To 99: 7."""
    stream = book().add(6, "B", 100, 6, ts=300).quiet(900)
    steps = [(400, lambda o: o.modify(1, 100 * P, 2)), (500, lambda o: o.modify(1, 100 * P, 5)), (600, lambda o: o.modify(1, 99 * P, 5))]
    strategy = Scripted((200, buy(100, 4)), *steps)
    journals = play(stream, strategy)
    assert [t[4] for t in strategy.told] == [8, 8, 14, 7]
    order = journals.orders[0]
    assert (order[1] // P, order[2], order[8], order[12]) == (99, 5, 8, 3)


def test_queue_modify_sizes_are_totals():
    """*4 of which 3 are filled: a modify to 3 leaves nothing, and cancels."""
    stream = book().fill(3, 3, ts=300, last=False).cancel(3, 3).quiet(900)
    what, _ = told(stream, (200, buy(100, 4)), (400, lambda o: o.modify(1, 100 * P, 3)))
    assert what == [("FILL", 1, 100, 3, 300), ("CANCELLED", 1, "MODIFY_BELOW_FILLED", 400, -1)]


def test_queue_off_puts_us_in_front():
    """Bids 100: *1 5 3. The first FILL at 100 fills us."""
    _, journals = told(book().execute(1, 5, ts=300).quiet(400), (200, buy(100)), rules=FillRules(queue="none"))
    assert fills(journals) == [(1, 100, 1, "FILL_BEHIND", 5)]


# ---------------------------------------------------------------------- rule 2: fill behind, trade through


def test_trade_through_a_fill_behind_us_was_ours():
    """Bids 100: 5 3 *2 6. A FILL of the 6 fills us first."""
    _, journals = told(book().add(6, "B", 100, 6, ts=300).execute(6, 1, ts=400).quiet(500), (200, buy(100, 2)))
    assert fills(journals) == [(1, 100, 1, "FILL_BEHIND", 1)]


def test_trade_through_spends_its_budget_best_place_first():
    """Bids *100a: 1, *100b: 2, 99: 7 *3. A FILL of 4 at 99 (in front of ours there): 1 and 2 at 100, ours at 99 nothing: it stands behind."""
    steps = ((200, buy(99, 3)), (210, buy(100, 1)), (220, buy(100, 2)))
    _, journals = told(book().execute(3, 4, ts=300).quiet(500), *steps)
    assert fills(journals) == [(2, 100, 1, "TRADE_THROUGH", 4), (3, 100, 2, "TRADE_THROUGH", 4)]


def test_trade_through_several_fills_are_several_budgets_and_each_row_has_its_own():
    """Bids *100: 3, 99: 7. Two FILLs of 1 at 99 fill 2 of each row's 3."""
    stream = book().fill(3, 1, ts=300, last=False).fill(3, 1, last=False).cancel(3, 2).quiet(400)
    journals = play(stream, Scripted((200, buy(100, 3))), Scripted((200, buy(100, 3))))
    assert [(f[7], f[4], f[5]) for f in journals.fills] == [(0, 1, 2), (0, 1, 1), (1, 1, 2), (1, 1, 1)]


def test_trade_through_off_fills_at_our_level_only():
    """Bids *100, 99: 7: a FILL at 99 does nothing."""
    _, journals = told(book().execute(3, 4, ts=300).quiet(400), (200, buy(100)), rules=FillRules(trade_through=False))
    assert journals.fills == []


def test_trade_through_gives_nothing_while_the_book_is_crossed():
    """Bids 101: 1 over asks 101: locked at the last boundary, so a FILL is an auction's."""
    stream = book().add(6, "B", 101, 1, ts=300).execute(3, 4, ts=400).quiet(500)
    _, journals = told(stream, (200, buy(100)))
    assert (journals.fills, journals.counters["crossed_events"]) == ([], 3)


@pytest.mark.parametrize(("excess", "filled"), [(True, 1), (False, 0)])
def test_trade_through_excess_fills(excess, filled):
    """Bids 100: 5 3 *1. An iceberg's F of 7 on the 5: the 2 in excess came from behind us, if we believe that."""
    stream = book().fill(1, 7, ts=300, last=False).modify(1, "B", 100, 5).quiet(400)
    _, journals = told(stream, (200, buy(100)), rules=FillRules(iceberg_excess=excess))
    assert len(journals.fills) == filled


# ---------------------------------------------------------------------- rule 3: crossing


def test_crossing_an_opposite_order_at_our_price_meets_us():
    """Asks 101: 4 *3 *2. A bid of 4 comes to rest at 101 after history's 4 are gone: 3 and 1 of ours are filled, at our price."""
    stream = book().cancel(4, 4, ts=300).add(6, "B", 101, 4, ts=400).quiet(500)
    _, journals = told(stream, (200, sell(101, 3)), (210, sell(101, 2)))
    assert fills(journals) == [(1, 101, 3, "CROSSING", 4), (2, 101, 1, "CROSSING", 4)]


def test_crossing_what_we_met_cannot_be_taken_again():
    """Asks *101: 3. A bid of 4 rests at 101 and fills 3; a market sell then finds 1 there, and 5 + 3 at 100."""
    stream = book().cancel(4, 4, ts=300).add(6, "B", 101, 4, ts=400).quiet(600)
    _, journals = told(stream, (200, sell(101, 3)), (500, lambda o: o.sell_market(2)))
    assert fills(journals)[1:] == [(2, 101, 1, "TAKING", 4), (2, 100, 1, "TAKING", 8)]


def test_crossing_of_a_modify_at_its_level_only_the_increase_is_new():
    """Bids 101: 4; asks *101 (resting under the bid, since POST_ONLY cannot, by a modify of history): an increase from 4 to 6 brings 2."""
    stream = Stream().add(1, "B", 99, 4, ts=100).add(4, "A", 105, 4)
    stream.modify(1, "B", 101, 4, ts=300).modify(1, "B", 101, 6, ts=400).quiet(500)
    _, journals = told(stream, (200, sell(101, 9)))
    assert fills(journals) == [(1, 101, 4, "CROSSING", 4), (1, 101, 2, "CROSSING", 6)]


def test_crossing_not_while_crossed_nor_in_snapshots_nor_when_off():
    """Asks *103: a bid at 104 fills us, unless the book is crossed already, or a snapshot shows it, or the rule is off."""
    plain = book().cancel(4, 4, ts=300).cancel(5, 6).add(6, "B", 104, 1, ts=400).quiet(500)
    crossed = book().add(6, "B", 104, 1, ts=150).add(7, "B", 104, 1, ts=400).quiet(500)
    snapshot = book().quiet(250).clear(ts=300, last=False, flags=SNAPSHOT).add(6, "B", 104, 1, flags=SNAPSHOT).quiet(500)
    steps = (200, sell(103))
    assert len(told(plain, steps)[1].fills) == 1
    assert told(crossed, steps)[1].fills == []
    assert told(snapshot, steps)[1].fills == []
    assert told(plain, steps, rules=FillRules(crossing=False))[1].fills == []


# ---------------------------------------------------------------------- rule 5: taking


def test_taking_walks_the_book_to_its_limit_and_rests():
    """Asks 101: 4, 102: 6. A buy of 12 at 102 takes 4 and 6; 2 rest at 102."""
    what, journals = told(book().quiet(900), (200, buy(102, 12)))
    assert what == [("FILL", 1, 101, 4, 200), ("FILL", 1, 102, 6, 200)]
    assert fills(journals)[1] == (1, 102, 6, "TAKING", 6)
    order = journals.orders[0]
    assert (order[3], order[8], order[16]) == (10, 0, 2)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (buy(101, 5, IOC), [("FILL", 1, 101, 4, 200), ("EXPIRED", 1, "IOC_REMAINDER", 200, -1)]),
        (lambda o: o.buy_market(11), [("FILL", 1, 101, 4, 200), ("FILL", 1, 102, 6, 200), ("EXPIRED", 1, "NO_LIQUIDITY", 200, -1)]),
        (buy(101, 5, POST_ONLY), [("REJECTED", 1, "POST_ONLY_WOULD_TAKE", 200, -1)]),
        (buy(100, 5, POST_ONLY), []),
    ],
)
def test_taking_remainders(act, expected):
    """Asks 101: 4, 102: 6. What an order cannot take rests, expires or is refused, as its instruction says."""
    assert told(book().quiet(900), (200, act))[0] == expected


def test_taking_nothing_takes_while_crossed():
    """Bids 101 over asks 101: an IOC expires, a GTC rests, a POST_ONLY at the ask is refused all the same."""
    stream = book().add(6, "B", 101, 1, ts=150).quiet(900)
    what, _ = told(stream, (200, buy(102, 1, IOC)), (210, buy(102, 1)), (220, buy(101, 1, POST_ONLY)))
    assert [t[:3] for t in what] == [("EXPIRED", 1, "IOC_REMAINDER"), ("REJECTED", 3, "POST_ONLY_WOULD_TAKE")]


def test_impact_consume_what_was_taken_stays_taken_while_it_is_displayed():
    """Asks 101: 4. Take 3; 1 is left; a new order of 2 is whole; when the 4 go down to 2, no more than 2 can be taken of them, and they are."""
    stream = book().add(6, "A", 101, 2, ts=300).cancel(4, 2, ts=500).quiet(900)
    ioc = buy(101, 9, IOC)
    _, journals = told(stream, (200, buy(101, 3, IOC)), (250, ioc), (400, ioc), (600, ioc))
    assert fills(journals) == [(1, 101, 3, "TAKING", 4), (2, 101, 1, "TAKING", 4), (3, 101, 2, "TAKING", 6)]


def test_impact_consume_is_forgotten_when_the_orders_are_gone():
    """Asks 101: 4 taken. They leave, others come: all is there again; after a CLEAR too."""
    stream = book().cancel(4, 4, ts=300).add(6, "A", 101, 2, ts=310).quiet(900)
    _, journals = told(stream, (200, buy(101, 4, IOC)), (400, buy(101, 9, IOC)))
    assert [f[2] for f in fills(journals)] == [4, 2]


def test_impact_none_lets_everything_be_there_again():
    """Asks 101: 4: two takes of 4."""
    _, journals = told(book().quiet(900), (200, buy(101, 4, IOC)), (210, buy(101, 4, IOC)), rules=FillRules(impact="none"))
    assert [f[2] for f in fills(journals)] == [4, 4]


# ---------------------------------------------------------------------- rule 9: self-match


def test_self_match_cancel_resting():
    """Asks 101: 4 *2, 102: 6. A buy of 7 at 102 takes the 4 in front of our 2, cancels them, and takes 3 at 102."""
    what, _ = told(book().quiet(900), (200, sell(101, 2)), (210, buy(102, 7)))
    assert what == [("FILL", 2, 101, 4, 210), ("CANCELLED", 1, "SELF_MATCH", 210, -1), ("FILL", 2, 102, 3, 210)]


def test_self_match_cancel_aggressor():
    """Asks 101: 4 *2 5. A buy of 7 takes the 4 in front, then its rest is cancelled; ours keeps its place."""
    stream = book().add(6, "A", 101, 5, ts=205).quiet(900)
    what, journals = told(stream, (200, sell(101, 2)), (210, buy(102, 7)), rules=FillRules(self_match="cancel_aggressor"))
    assert what == [("FILL", 2, 101, 4, 210), ("CANCELLED", 2, "SELF_MATCH", 210, -1)]
    assert journals.orders[0][16] == 2


def test_self_match_reject():
    """Asks 101: 4 *2. A buy at 101 is refused whole, a modify of a bid to 101 too; a buy at 100 is not."""
    steps = [(200, sell(101, 2)), (210, buy(101)), (220, buy(100)), (230, lambda o: o.modify(3, 101 * P, 1)), (240, lambda o: o.buy_market(1))]
    what, _ = told(book().quiet(900), *steps, rules=FillRules(self_match="reject"))
    assert [t[:3] for t in what] == [("REJECTED", 2, "SELF_MATCH"), ("MODIFY_REJECTED", 3, "SELF_MATCH"), ("REJECTED", 4, "SELF_MATCH")]


def test_self_match_without_history_between():
    """Asks *103 beyond an empty side: a buy at 103 meets it, though nothing is displayed there."""
    stream = Stream().add(1, "B", 100, 5, ts=100).quiet(900)
    what, _ = told(stream, (200, sell(103, 2)), (210, buy(103, 1)))
    assert what == [("CANCELLED", 1, "SELF_MATCH", 210, -1)]


# ---------------------------------------------------------------------- rules 5, 10: modifies and late requests


def test_a_modified_order_may_take_and_a_post_only_one_is_left_as_it_was():
    """Asks 101: 4. Bids *100 modified to 101 take; a POST_ONLY one stays at 100 with its place."""
    move = (300, lambda o: o.modify(1, 101 * P, 6))
    what, _ = told(book().quiet(900), (200, buy(100, 6)), move)
    assert what == [("MODIFIED", 1, "NONE", 300, 0), ("FILL", 1, 101, 4, 300)]
    what, journals = told(book().quiet(900), (200, buy(100, 6, POST_ONLY)), move)
    assert what == [("MODIFY_REJECTED", 1, "POST_ONLY_WOULD_TAKE", 300, -1)]
    assert (journals.orders[0][1] // P, journals.orders[0][9], journals.orders[0][13]) == (100, 8, 1)


def test_a_cancel_can_lose_to_a_fill():
    """Bids 100: *1. A FILL at 99 while the cancel is under way: the fill comes first, then CANCEL_REJECTED; it is not counted against an ended order."""
    strategy = Scripted((200, buy(100)), (295, lambda o: o.cancel(1)))
    journals = play(book().execute(3, 4, ts=300).quiet(900), strategy, latency=Latency(cancel=10, response=50))
    assert strategy.told[1:] == [("FILL", 1, 100, 1, 300), ("CANCEL_REJECTED", 1, "UNKNOWN_ORDER", 305, -1)]
    assert (journals.orders[0][16], journals.orders[0][13]) == (3, 0)
