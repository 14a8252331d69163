"""What is known of a real hour of ES futures: CME, March 2024 contract, evening of 2023-12-25, with snapshot, pre-open and opening auction."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zstandard
from streams import instruments

from tapeline.config import Fees, Latency, RowSpec, Venue
from tapeline.constants import Kind, Side
from tapeline.reference import depth_rows, run, tape
from tapeline.reference.book import ExchangeBook
from tapeline.schema import MBO

ES = Path(__file__).parents[3] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
TICK = 250_000_000
OPEN = 1_703_545_200_000_000_000
"""2023-12-25 23:00 UTC."""

pytestmark = pytest.mark.skipif(not ES.exists(), reason=f"real market data is not here: {ES}")


@pytest.fixture(scope="module")
def records():
    """All records of the file; the header is 8 bytes and as many as the number at byte 4 says."""
    with ES.open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file).read()
    return np.frombuffer(raw, MBO, offset=8 + int.from_bytes(raw[4:8], "little"))


@pytest.fixture(scope="module")
def replay(records):
    """Tape events, counters."""
    counters = {}
    return list(tape([(records, True)], instruments(grid=TICK), counters)), counters


def test_every_cancel_and_modify_is_of_a_known_order(replay):
    """No id is unknown; every cancel is whole; 107 fills name the aggressor; the snapshot has neither R nor LAST."""
    _, counters = replay
    zero = ("cancels_unknown", "modifies_unknown", "cancels_partial", "cancels_oversized", "adds_of_live_id", "actions_unknown", "ts_event_backwards")
    assert [counters[name] for name in zero] == [0] * len(zero)
    assert (counters["records"], counters["records_T"], counters["fills_of_aggressor"]) == (68_792, 2_973, 107)
    assert (counters["snapshots_without_clear"], counters["snapshots_without_last"]) == (1, 1)


def test_passive_fills_add_up_to_their_trade(records):
    """For 2,972 of 2,973 trades the sum of F sizes, less the aggressor's own, is the size of the T; the other one is the auction."""
    chars = [(chr(action), order, size) for action, order, size in zip(records["action"], records["order_id"].tolist(), records["size"].tolist(), strict=True)]
    starts = [i for i, (action, *_) in enumerate(chars) if action == "T"]
    equal = 0
    for start, end in pairwise([*starts, len(chars)]):
        _, aggressor, size = chars[start]
        passive = sum(s for action, order, s in chars[start + 1 : end] if action == "F" and (order == 0 or order != aggressor))
        equal += passive == size
    assert (len(starts), equal) == (2_973, 2_972)


def test_tape_fills_are_the_records_passive_fills(replay):
    """FILLs carry what passive F records of known orders say: nothing is lost or doubled when one exceeds what was displayed."""
    events, counters = replay
    fills = [e for e in events if e.kind == Kind.FILL]
    assert len(fills) == counters["records_F"] - counters["fills_of_aggressor"] - counters["fills_unknown"] + counters["fills_beyond_displayed"]


def test_the_book_is_crossed_in_891_events_all_before_the_open(replay):
    """Crossed or locked at the end of an event: before 23:00:00 UTC 891 times, never after."""
    events, _ = replay
    book = ExchangeBook(instruments(grid=TICK).describe((1, 1), 0))
    crossed = []
    for event in events:
        book.apply(event)
        if event.is_last and not event.is_snapshot and book.was_crossed:
            crossed.append(event.ts_event)
    assert len(crossed) == 891
    assert max(crossed) < OPEN


def test_depth_rows_are_of_consistent_books(records):
    """Ten levels a side, better first, sizes and counts positive; two rows in a row differ."""
    previous = None
    for row in depth_rows([(records, True)], instruments(grid=TICK), 10):
        assert (row.bids, row.asks) != previous
        previous = (row.bids, row.asks)
        bids, asks = ([quote for quote in side if quote.size] for side in previous)
        assert [q.price for q in bids] == sorted((q.price for q in bids), reverse=True)
        assert [q.price for q in asks] == sorted(q.price for q in asks)
        assert all(q.size >= q.count > 0 for q in bids + asks)
    assert previous is not None


class Quoter:
    """Quotes one lot on both sides of the touch, and follows it."""

    def __init__(self):
        """No orders."""
        self.ids = {Side.BID: 0, Side.ASK: 0}
        self.aheads: list[int] = []

    def on_book(self, market, orders, account):
        """Send, or move, both orders."""
        if not (market.has_bid and market.has_ask):
            return
        for side, price, send, sign in ((Side.BID, market.bid_price, orders.buy, 1), (Side.ASK, market.ask_price, orders.sell, -1)):
            order = self.ids[side]
            if not orders.is_live(order):
                if account.position * sign < 5:
                    self.ids[side] = send(price, 1)
            elif orders.price(order) != price:
                orders.modify(order, price, 1)
            else:
                self.aheads.append(orders.ahead(order))


def test_a_market_maker_on_a_real_hour(records):
    """Its journals agree with one another, and our place in the queue is never negative."""
    strategy = Quoter()
    venue = Venue(latency=Latency(feed="50us", entry="100us", response="100us"), fees=Fees(maker=0.5, taker=1.0))
    journals = run([(records, True)], instruments(grid=TICK), [RowSpec(strategy, venue, "quoter")], 60 * 10**9)
    assert len(journals.fills) > 100
    assert min(strategy.aheads) >= -1
    position = sum(fill[4] if fill[9] == Side.BID else -fill[4] for fill in journals.fills)
    cash = sum((-1 if fill[9] == Side.BID else 1) * fill[4] * (fill[3] // TICK) for fill in journals.fills)
    assert journals.equity[-1][1:3] == (position, cash)
    assert sum(order[3] for order in journals.orders) == sum(fill[4] for fill in journals.fills)
    assert all(fill[1] >= fill[0] + 100_000 or fill[1] == journals.equity[-1][0] for fill in journals.fills)
    assert all(order[9] >= -1 for order in journals.orders)
