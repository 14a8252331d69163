"""Rule 4 and `on_gap`, in both engines. Books are drawn with sizes; ours is marked by *. Latencies are 0."""

import pytest
from scripts import BUY, MODIFY, SELL, agreed, play, run, script, told
from streams import SNAPSHOT, Stream

import tapeline as tl

P = 10**9


def crossed() -> Stream:
    """Before an auction. Bids 102: 4 (id 1), 101: 5 (id 2), 100: 7 (id 3). Asks 100: 3 (id 4), 101: 6 (id 5), 103: 9 (id 6)."""
    stream = Stream().add(1, "B", 102, 4, ts=100).add(2, "B", 101, 5).add(3, "B", 100, 7)
    return stream.add(4, "A", 100, 3).add(5, "A", 101, 6).add(6, "A", 103, 9)


def uncross(stream: Stream) -> Stream:
    """The auction at 101, at 300: 8 lots; bids 102: 4 and 4 of 101, asks 100: 3 and 5 of 101 trade and leave."""
    stream.trade("N", 101, 8, ts=300, last=False)
    for order, size in ((1, 4), (2, 4), (4, 3), (5, 5)):
        stream.fill(order, size, last=False)
    for order, size in ((1, 4), (2, 4), (4, 3)):
        stream.cancel(order, size, last=False)
    return stream.cancel(5, 5).quiet(900)


def test_auction_better_prices_are_filled_whole_at_its_price(tmp_path):
    """Bids 102: 4 *9, asks 100: 3 *2. The auction at 101 fills all 9 and all 2 at 101, whatever it traded."""
    lines = run(tmp_path, uncross(crossed()), (200, BUY, 102 * P, 9), (210, SELL, 100 * P, 2), rules=tl.FillRules(self_match="cancel_resting"))
    assert lines == [("FILL", 1, 101, 300, 9), ("FILL", 2, 101, 300, 2)]


def test_auction_at_its_price_orders_are_filled_by_stamp(tmp_path):
    """Bids 101: 5 *3, then 2 (id 7) behind us. The 5 are executed: nothing for us; had the 2 behind us been, 2 of ours would."""
    stream = crossed().add(7, "B", 101, 2, ts=250)
    stream.trade("N", 101, 2, ts=300, last=False).fill(2, 5, last=False).cancel(2, 5).quiet(900)
    assert run(tmp_path, stream, (200, BUY, 101 * P, 3)) == []
    stream = crossed().add(7, "B", 101, 2, ts=250)
    stream.trade("N", 101, 2, ts=300, last=False).fill(7, 2, last=False).cancel(7, 2).quiet(900)
    result = play(tmp_path, stream, script((200, BUY, 101 * P, 3)))
    assert told(result)[1:] == [("FILL", 1, 101, 300, 2)]
    assert result.fills["rule"].to_list() == ["auction"]


def test_auction_worse_prices_get_nothing(tmp_path):
    """Bids 100: 7 *3: FILLs of better bids and asks, and of the 7 itself, are no budget for us: the auction was at 101."""
    stream = crossed().trade("N", 101, 3, ts=300, last=False).fill(3, 3, last=False).cancel(3, 3).quiet(900)
    assert run(tmp_path, stream, (200, BUY, 100 * P, 3)) == []


def test_auction_off_the_grid(tmp_path):
    """A cross at 101.5: a bid of ours at 102 pays 102, rounded against us; an ask at 101 gets 101."""
    stream = crossed().add(7, "B", 103, 1, ts=150)
    stream.grid = P // 2
    stream.trade("N", 203, 1, ts=300)
    stream.grid = P
    lines = run(tmp_path, stream.quiet(900), (200, BUY, 102 * P, 1), (210, SELL, 101 * P, 1))
    assert lines == [("FILL", 1, 102, 300, 1), ("FILL", 2, 101, 300, 1)]


def test_auction_prints_that_no_auction_could_make(tmp_path):
    """Bids 102 over asks 100: a print at 99 or at 103 is none of this book's auction, and neither is one while the book is in order."""
    stream = crossed().trade("N", 99, 1, ts=300).trade("N", 103, 1, ts=310).quiet(900)
    assert run(tmp_path, stream, (200, BUY, 102 * P, 9), (210, SELL, 100 * P, 2)) == []
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "A", 101, 5).trade("N", 100, 3, ts=300).quiet(900)
    assert run(tmp_path, stream, (200, BUY, 100 * P, 1)) == []


def test_fills_at_a_print_that_no_auction_could_make(tmp_path):
    """Asks 103: 9 *2, then 2 (id 7): a print at 103 and the FILL of the 2 behind us fill our 2 by stamp, and nothing of our ask at 101, priced better."""
    stream = crossed().add(7, "A", 103, 2, ts=250).trade("N", 103, 2, ts=300, last=False).fill(7, 2, last=False).cancel(7, 2).quiet(900)
    assert run(tmp_path, stream, (200, SELL, 103 * P, 2), (210, SELL, 101 * P, 1)) == [("FILL", 1, 103, 300, 2)]


def test_auction_off(tmp_path):
    """FillRules(auction=False): an auction fills nobody."""
    assert run(tmp_path, uncross(crossed()), (200, BUY, 102 * P, 9), rules=tl.FillRules(auction=False)) == []


def test_auction_at_negative_prices(tmp_path):
    """Bids -98: 4 *2 over asks -100: an auction at -99 fills our bid at -99."""
    stream = Stream().add(1, "B", -98, 4, ts=100).add(2, "A", -100, 4).trade("N", -99, 4, ts=300).quiet(900)
    assert run(tmp_path, stream, (200, BUY, -98 * P, 2)) == [("FILL", 1, -99, 300, 2)]


# ---------------------------------------------------------------------- on_gap


def rebuilt(*orders: tuple[int, int], flags: int = SNAPSHOT) -> Stream:
    """Bids 100: 5 (id 1) + 3 (id 2), asks 101: 4 (id 4); at 400 a CLEAR, then a snapshot with these bids (id, size) at 100 and ask 101: 4 (id 40)."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(4, "A", 101, 4).quiet(300).clear(ts=400, last=False, flags=flags)
    for order, size in orders:
        stream.add(order, "B", 100, size, last=False, flags=flags)
    return stream.add(40, "A", 101, 4, flags=flags)


def place(path, stream, *steps, **settings):
    """Our order in the result."""
    return play(path, stream, script((200, BUY, 100 * P, 2), *steps), **settings).orders.row(0, named=True)


def test_on_gap_nothing_came_back_so_we_are_behind_everything(tmp_path):
    """Bids 100: 5 3 *2, then a snapshot of other orders, 100: 6 1 (ids 8, 9): *2 stands behind 7, flagged; a FILL of the 1 behind it in time is not ours."""
    order = place(tmp_path, rebuilt((8, 6), (9, 1)).execute(9, 1, ts=500).quiet(900))
    assert (order["ahead_at_end"], order["gaps"], order["filled"], order["status"]) == (6, 1, 0, "open")


def test_on_gap_one_order_that_came_back_is_enough(tmp_path):
    """The snapshot has the old 3 (id 2) and a new 6: ours keeps its stamp, with 3 in front; the 6 are behind it, and their FILL is ours."""
    order = place(tmp_path, rebuilt((2, 3), (9, 6)).execute(9, 1, ts=500).quiet(900))
    assert (order["ahead_at_end"], order["gaps"], order["filled"]) == (3, 0, 1)


def test_on_gap_of_two_clears_the_first_counts(tmp_path):
    """A snapshot of other orders, then one that brings back these: nothing that was there when ours came is, so ours is behind everything."""
    stream = rebuilt((8, 6)).clear(ts=410, last=False, flags=SNAPSHOT).add(8, "B", 100, 6, last=False, flags=SNAPSHOT)
    order = place(tmp_path, stream.add(40, "A", 101, 4, flags=SNAPSHOT).quiet(500).quiet(900))
    assert (order["ahead_at_end"], order["gaps"]) == (6, 1)


def test_on_gap_an_order_that_moved_before_it_was_known_has_lost_nothing(tmp_path):
    """Moved between the snapshot and the next ordinary event, an order has a place of its own in the new book."""
    order = place(tmp_path, rebuilt((8, 6)).quiet(500).quiet(900), (450, MODIFY, 1, 99 * P, 2))
    assert (order["ahead_at_end"], order["gaps"], order["price"]) == (0, 0, 99)


def test_on_gap_an_estimator_guesses_afresh(tmp_path):
    """Bids 100: 5 3 *2, then a snapshot of 6 1: guessed behind 7, as if it had come now, so that with 7 more behind it half of a cancel of 4 is in front."""
    order = place(tmp_path, rebuilt((8, 6), (9, 1)).add(11, "B", 100, 7, ts=500).cancel(11, 4, ts=600).quiet(900), rules=tl.FillRules(queue="power1"))
    assert (order["ahead_at_end"], order["gaps"]) == (5, 1)


def test_on_gap_cancel(tmp_path):
    """FillRules(on_gap="cancel"): our order is cancelled when the first ordinary event after the gap begins."""
    stream = rebuilt((8, 6)).quiet(500).quiet(900)
    lines = run(tmp_path, stream, (200, BUY, 100 * P, 2), rules=tl.FillRules(on_gap="cancel"))
    assert lines == [("CANCELLED", 1, "GAP", 500, -1)]
    assert run(tmp_path, rebuilt((2, 3)).quiet(500).quiet(900), (200, BUY, 100 * P, 2), rules=tl.FillRules(on_gap="cancel")) == []


def test_on_gap_a_venue_that_starts_over(tmp_path):
    """R without a snapshot: nothing is displayed, so nothing is in front of us, and we are flagged."""
    stream = rebuilt((8, 6), flags=0).add(11, "B", 100, 2, ts=500).quiet(900)
    order = place(tmp_path, stream)
    assert (order["ahead_at_end"], order["gaps"]) == (6, 1)


def test_on_gap_a_modify_gives_a_new_place(tmp_path):
    """An order that is moved after the gap queues as any other: behind 6 at 100, then, at 99, first."""
    order = place(tmp_path, rebuilt((8, 6)).quiet(500).quiet(900), (600, MODIFY, 1, 99 * P, 2))
    assert (order["ahead_at_end"], order["gaps"], order["price"]) == (0, 1, 99)


class TwoBids(tl.Strategy):
    """Bids for one lot of the first of two instruments at 200, and again at 550."""

    def on_start(self, market, orders, account):
        """Wait for the first."""
        orders.wake_at(200)

    def on_timer(self, market, orders, account):
        """One bid; then wait for the second."""
        orders[0].buy(100 * P, 1)
        if orders.now == 200:
            orders.wake_at(550)


@pytest.mark.parametrize(("lots", "filled"), [(1, [0, 1]), (2, [1, 1])])
def test_on_gap_what_came_meanwhile_stands_in_front(lots, filled, tmp_path):
    """Our second order comes after the CLEAR (another instrument's events let it in), then a snapshot's 5: the first goes behind these, and is filled last."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "A", 101, 4).add(51, "B", 100, 5, instrument=2).quiet(300)
    stream.clear(ts=400, flags=SNAPSHOT).quiet(500, instrument=2).quiet(600, instrument=2)
    stream.add(8, "B", 100, 5, last=False, flags=SNAPSHOT).add(40, "A", 101, 4, flags=SNAPSHOT)
    stream.quiet(700).add(9, "B", 100, lots).execute(9, lots, ts=800).quiet(900)
    result = agreed(stream.write(tmp_path / "case.dbn"), TwoBids(), tick_size="1", multiplier=1.0, instruments=[1, 2])
    assert result.orders["filled"].to_list() == filled
    assert result.orders["gaps"].to_list() == [1, 0]


@pytest.mark.parametrize("at", [250, 650])
def test_on_gap_of_two_orders_the_first_stays_the_first(at, tmp_path):
    """A second order of ours comes before the CLEAR, or when the whole snapshot is there: both stand behind that, and the first is filled first."""
    stream = rebuilt((8, 6)).quiet(700).add(9, "B", 100, 1).execute(9, 1, ts=800).quiet(900)
    orders = play(tmp_path, stream, script((200, BUY, 100 * P, 1), (at, BUY, 100 * P, 1))).orders
    assert orders["filled"].to_list() == [1, 0]
    assert orders["gaps"].to_list() == [1, int(at < 400)]


def test_several_days_in_one_run(tmp_path):
    """A second file starts with a CLEAR and a snapshot of its own ids: the book is renewed, the position is carried over, and what rested is behind it."""
    first, second = Stream().add(1, "B", 100, 5, ts=100).add(2, "A", 101, 5).quiet(900), Stream()
    second.clear(ts=2000, last=False, flags=SNAPSHOT).add(8, "B", 99, 6, last=False, flags=SNAPSHOT).add(9, "A", 103, 6, flags=SNAPSHOT)
    second.quiet(2100).quiet(2900)
    first.rows += second.rows
    result = play(tmp_path, first, script((200, BUY, 101 * P, 2), (210, BUY, 99 * P, 1), (2500, SELL, 99 * P, 2)))
    assert result.fills["price"].to_list() == [101, 99]
    assert result.fills["position"].to_list() == [2, 0]
    assert result.orders["gaps"].to_list() == [0, 1, 0]
    assert result.orders["ahead_at_end"].to_list()[1] == 6


def test_choices_are_checked():
    """Unknown choices are refused by name."""
    with pytest.raises(tl.ConfigError, match="on_gap"):
        tl.FillRules(on_gap="sideways")
