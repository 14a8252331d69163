"""The book of the simulated market: price levels with FIFO queues, order lookup by index, and the records it writes. Compiled.

Orders are rows of a table, linked into their level's queue; index 0 means none, and row 0 serves as the aggressor of the event at hand.
Every step is constant-time, but for the search of the next best level when one empties, which is a level or two away nearly always.
"""
# Numba infers the types of kernels and mypy cannot see them:
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors

from typing import Final

import numpy as np

from tapeline.constants import Action, RecordFlag, Side
from tapeline.feeds.dbn_kernels import MBO_RTYPE, MBO_WORDS
from tapeline.jit import entry
from tapeline.memory import record_at
from tapeline.record import Record, float64, int32, int64, uint64
from tapeline.schema import MBO

PUBLISHER_ID: Final = 65_000
"""None of Databento's."""
END_OF_EVENT: Final = int(RecordFlag.LAST) | 2
"""As in CME's files, where 2 is publisher-specific."""
RECENT: Final = 64
"""Orders per book that are remembered as recent: those that get cancelled and modified most."""
TOUCHED_MAX: Final = 48
"""Fills of one aggressive order, refills counted; what it still wants is dropped."""


class Order(Record):
    """One order, 64 bytes: a cache line."""

    order_id: int64  # 0: this row is free
    event: int64  # the last event that filled it
    book: int32
    level: int32  # ticks above the book's window
    size: int32  # displayed
    hidden: int32  # of an iceberg
    display: int32  # what an iceberg shows when refilled
    shown: int32  # size before the last event that filled it
    record: int32  # where that event's F is
    touch: int32  # its place in `touched`
    before: int32
    behind: int32
    place: int32  # in its book's list of live orders
    side: int32


class Queue(Record):
    """The orders of one level of one book."""

    first: int32
    last: int32


class Book(Record):
    """One instrument."""

    price: int64  # of level 0, in 1e-9
    tick: int64
    instrument_id: int64
    pressure: float64  # -1 … 1: more buyers than sellers
    bid: int32  # best levels; -1 and the number of levels where there are none
    ask: int32
    bids: int32  # orders
    asks: int32
    live: int32  # orders in the list of live ones: those in queues, and those just filled
    recent: int32  # how many orders were entered as recent


class Recent(Record):
    """An order that was live when it was entered."""

    order_id: int64
    row: int64


class Row(Record):
    """A row of the table of orders, in a list of them."""

    row: int32


class Market(Record):
    """The whole simulation: settings, clocks and counters, and the addresses of its tables."""

    trade_share: float64  # of events
    modify_share: float64
    touch_share: float64  # of new orders outside the spread
    partial_cancel_share: float64  # of cancels
    iceberg_share: float64  # of new orders near the touch
    sweep_share: float64  # of aggressive orders
    crossing_share: float64  # of aggressive orders: live ones modified into the market
    live_orders: float64  # per book
    delay_ns: int64  # smallest time from the exchange to the recorder
    levels: int64  # per book
    capacity: int64  # live orders per book
    book_count: int64
    room: int64  # records that `out` holds

    books: int64  # Book
    queues: int64  # Queue: book × level
    orders: int64  # Order; row 0 is the aggressor
    live: int64  # Row: book × capacity
    recent: int64  # Recent: book × RECENT, rings
    free: int64  # Row, a stack
    touched: int64  # Row: filled by this event
    gaps: int64  # float64
    out: int64  # schema.MBO

    random: uint64
    slow: float64  # what makes gaps cluster
    fast: float64
    ts_event: int64
    ts_recv: int64
    delta: int64
    sequence: int64
    order_id: int64
    event: int64
    free_count: int64
    book: int64  # of the event at hand
    written: int64
    touched_count: int64
    snapshot_book: int64  # where the snapshot has got to
    snapshot_side: int64
    snapshot_level: int64
    snapshot_row: int64


ORDER, QUEUE, BOOK, RECENT_ORDER, ROW = Order.dtype_, Queue.dtype_, Book.dtype_, Recent.dtype_, Row.dtype_
QUEUE_SIZE, ROW_SIZE = QUEUE.itemsize, ROW.itemsize


@entry
def draw_bits(market):
    """64 random bits: SplitMix64 (Steele, Lea, Flood 2014)."""
    x = market.random + np.uint64(0x9E3779B97F4A7C15)
    market.random = x
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@entry
def uniform(market):
    """A float in [0, 1)."""
    return np.float64(draw_bits(market) >> np.uint64(11)) * 2.0**-53


@entry
def nearly_normal(market):
    """A draw with mean 0 and variance 1: the sum of four uniform ones of 16 bits. Sums of several are normal enough; exact ones took ten times as long."""
    bits = draw_bits(market)
    low = np.uint64(0xFFFF)
    total = (bits & low) + (bits >> np.uint64(16) & low) + (bits >> np.uint64(32) & low) + (bits >> np.uint64(48))
    return (np.float64(total) / 65_535.0 - 2.0) * 1.7320508075688772


@entry
def link(market, row):
    """Put an order at the back of its level."""
    order = record_at(market.orders, row, ORDER)
    book = record_at(market.books, order.book, BOOK)
    level = order.level
    queue = record_at(market.queues, np.int64(order.book) * market.levels + level, QUEUE)
    order.before = queue.last
    order.behind = 0
    if queue.last:
        record_at(market.orders, queue.last, ORDER).behind = row
    else:
        queue.first = row
    queue.last = row
    if order.side == Side.BID:
        book.bids += 1
        book.bid = max(book.bid, level)
    else:
        book.asks += 1
        book.ask = min(book.ask, level)


@entry
def unlink(market, row):
    """Take an order out of its level; its place among the live orders stays."""
    order = record_at(market.orders, row, ORDER)
    book = record_at(market.books, order.book, BOOK)
    queues = market.queues + np.int64(order.book) * market.levels * QUEUE_SIZE
    queue = record_at(queues, order.level, QUEUE)
    if order.before:
        record_at(market.orders, order.before, ORDER).behind = order.behind
    else:
        queue.first = order.behind
    if order.behind:
        record_at(market.orders, order.behind, ORDER).before = order.before
    else:
        queue.last = order.before
    if order.side == Side.BID:
        book.bids -= 1
        if book.bids == 0:
            book.bid = -1
        else:
            while record_at(queues, book.bid, QUEUE).first == 0:
                book.bid -= 1
    else:
        book.asks -= 1
        if book.asks == 0:
            book.ask = market.levels
        else:
            while record_at(queues, book.ask, QUEUE).first == 0:
                book.ask += 1


@entry
def enter(market, index, side, level, size):
    """A new order at the back of a level; returns its row."""
    book = record_at(market.books, index, BOOK)
    market.free_count -= 1
    row = np.int64(record_at(market.free, market.free_count, ROW).row)
    market.order_id += 1 + np.int64(uniform(market) * 4.0)
    order = record_at(market.orders, row, ORDER)
    order.order_id = market.order_id
    order.event = -1
    order.book = index
    order.level = level
    order.size = size
    order.hidden = 0
    order.side = side
    order.place = book.live
    book.live += 1
    record_at(market.live, index * market.capacity + order.place, ROW).row = row
    link(market, row)
    return row


@entry
def leave(market, row):
    """Forget an order that is in no queue any more."""
    order = record_at(market.orders, row, ORDER)
    live = market.live + np.int64(order.book) * market.capacity * ROW_SIZE
    book = record_at(market.books, order.book, BOOK)
    book.live -= 1
    last = record_at(live, book.live, ROW).row
    record_at(live, order.place, ROW).row = last
    record_at(market.orders, last, ORDER).place = order.place
    order.order_id = 0
    record_at(market.free, market.free_count, ROW).row = row
    market.free_count += 1


@entry
def remember(market, row):
    """Enter an order among its book's recent ones."""
    order = record_at(market.orders, row, ORDER)
    book = record_at(market.books, order.book, BOOK)
    entry = record_at(market.recent, np.int64(order.book) * RECENT + book.recent % RECENT, RECENT_ORDER)
    entry.order_id = order.order_id
    entry.row = row
    book.recent += 1


@entry
def write(market, row, action, size):
    """Write a record about an order, at its price, with the times of the event at hand."""
    order = record_at(market.orders, row, ORDER)
    book = record_at(market.books, order.book, BOOK)
    record = record_at(market.out, market.written, MBO)
    market.written += 1
    record["length"] = MBO_WORDS
    record["rtype"] = MBO_RTYPE
    record["publisher_id"] = PUBLISHER_ID
    record["instrument_id"] = book.instrument_id
    record["ts_event"] = market.ts_event
    record["order_id"] = order.order_id
    record["price"] = book.price + book.tick * order.level
    record["size"] = size
    record["flags"] = 0
    record["channel_id"] = 0
    record["action"] = action
    record["side"] = order.side
    record["ts_recv"] = market.ts_recv
    record["ts_in_delta"] = market.delta
    record["sequence"] = market.sequence


@entry
def fill(market, row, size):
    """Execute part of a resting order: its F, or more in the F that it has; out of its queue, or behind it again, when what it showed is gone."""
    order = record_at(market.orders, row, ORDER)
    if order.event != market.event:
        order.event = market.event
        order.shown = order.size
        order.record = market.written
        write(market, row, Action.FILL, size)
        _touch(market, row)
    else:
        record_at(market.out, order.record, MBO)["size"] += size
    order.size -= size
    if order.size > 0:
        return
    unlink(market, row)
    if order.hidden > 0:
        order.size = min(order.display, order.hidden)
        order.hidden -= order.size
        link(market, row)
        record_at(market.touched, order.touch, ROW).row = 0  # its M comes in the order of the refills, as that is the order of the queue
        _touch(market, row)


@entry
def _touch(market, row):
    record_at(market.orders, row, ORDER).touch = market.touched_count
    record_at(market.touched, market.touched_count, ROW).row = row
    market.touched_count += 1


@entry
def settle(market):
    """Write what the fills of this event did to the orders: C where nothing is left, M where something is."""
    for i in range(market.touched_count):
        row = record_at(market.touched, i, ROW).row
        if row == 0:
            continue
        order = record_at(market.orders, row, ORDER)
        if order.size == 0:
            write(market, row, Action.CANCEL, order.shown)
            leave(market, row)
        else:
            write(market, row, Action.MODIFY, order.size)
    market.touched_count = 0
