"""Whether executions hit the front of their queue: the share of passive fills that price-time priority explains, a check of data and of the book built from it.

A fill is *first* if every order in front of the one that was hit, at its price, was executed in full in the same event (as mbo-queue, SPEC 3, counts it: an
exchange may list the fills of a sweep in any order). Orders are known by their stamps, queues are circular lists in order of them, and both are found through
the normaliser's own hash table: an order by its stamp, the head of a queue by its book, side and level.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.memory import address_of, record_at
from tapeline.order_table import SLOT, Table, address_in, enter, erase, find, is_full
from tapeline.record import Record, int64, uint64
from tapeline.tape.records import ADD, ASK, CLEAR, EVENT, EXCESS, FILL, LAST, REMOVE

# what count_fifo() answers
DONE, MORE_ORDERS, MORE_STAMPS, MORE_LEVELS = range(4)
PENDING_MAX: Final = 1 << 16
"""Fills, by order in front, that wait for the end of their event."""
AHEAD_MAX: Final = 256
"""A fill with more orders in front that have not been executed yet is not first."""
FREE_MIN: Final = 1 << 12
"""So many places of orders stay free: the one freed longest ago is taken, so that what an event frees is there until it has ended."""


class Resting(Record):
    """One order; number 0 is none."""

    stamp: int64  # 0: a free place
    size: int64
    executed: int64  # in event number `event` of its book
    event: int64
    next: int64  # in its queue, or among the free places
    previous: int64
    level: uint64  # the key of its queue


class Pending(Record):
    """A fill that is first if an order in front of it is executed in full before the event ends."""

    fill: int64
    order: int64
    stamp: int64
    size: int64
    book: int64


class BookEvents(Record):
    """The number of a book's present event, and how many orders it has."""

    event: int64
    orders: int64


class Fifo(Record):
    """Where the count is."""

    stamps: Table
    levels: Table
    events: int64  # address of `n` tape events; `x` is the next
    n: int64
    x: int64
    books: int64  # address of a BookEvents per book
    orders: int64  # address
    orders_n: int64  # places, number 0 included
    free: int64  # first and last free place, and how many there are
    free_last: int64
    free_n: int64
    pending: int64  # address of PENDING_MAX records
    pending_n: int64
    fills: int64
    first: int64


RESTING, PENDING, BOOK_EVENTS = Resting.dtype_, Pending.dtype_, BookEvents.dtype_


@leaf
def level_key(event):
    """Book, side and level in one word."""
    side = np.uint64(1) if event.side == ASK else np.uint64(0)
    return np.uint64(event.instrument) << np.uint64(34) | side << np.uint64(33) | np.uint64(np.int64(event.level) + (1 << 32))


@kernel
def set_head(state, key, order):
    """Make an order the head of its queue; 0: the queue is empty."""
    place = find(state.levels, key)
    slot = record_at(state.levels.slots, place, SLOT)
    if order == 0:
        erase(state.levels, address_of(slot))
        return
    if slot.priority == 0:
        enter(state.levels, place, key)
    slot.priority = order


@kernel
def join(state, event):
    """An order takes its place: at the end, but for orders of a snapshot, which may have older stamps than those before them."""
    number = state.free
    order = record_at(state.orders, number, RESTING)
    state.free = order.next
    state.free_n -= 1
    key = level_key(event)
    order.stamp = event.priority
    order.size = event.delta
    order.event = -1
    order.level = key
    stamp = np.uint64(event.priority)
    place = find(state.stamps, stamp)
    enter(state.stamps, place, stamp)
    record_at(state.stamps.slots, place, SLOT).priority = number
    record_at(state.books, np.int64(event.instrument), BOOK_EVENTS).orders += 1
    head = record_at(state.levels.slots, find(state.levels, key), SLOT).priority
    if head == 0:
        order.next = number
        order.previous = number
        set_head(state, key, number)
        return
    before = record_at(state.orders, head, RESTING).previous
    is_first = False
    while record_at(state.orders, before, RESTING).stamp > order.stamp:
        if before == head:
            is_first = True
            before = record_at(state.orders, head, RESTING).previous
            break
        before = record_at(state.orders, before, RESTING).previous
    order.previous = before
    order.next = record_at(state.orders, before, RESTING).next
    record_at(state.orders, order.next, RESTING).previous = number
    record_at(state.orders, before, RESTING).next = number
    if is_first:
        set_head(state, key, number)


@kernel
def leave(state, address, number):
    """An order leaves its queue; `address`: of its stamp's slot."""
    order = record_at(state.orders, number, RESTING)
    head = record_at(state.levels.slots, find(state.levels, order.level), SLOT).priority
    if order.next == number:
        set_head(state, order.level, np.int64(0))
    elif head == number:
        set_head(state, order.level, order.next)
    record_at(state.orders, order.previous, RESTING).next = order.next
    record_at(state.orders, order.next, RESTING).previous = order.previous
    erase(state.stamps, address)
    record_at(state.books, np.int64(order.level >> np.uint64(34)), BOOK_EVENTS).orders -= 1
    order.stamp = -order.stamp
    record_at(state.orders, state.free_last, RESTING).next = number
    state.free_last = number
    state.free_n += 1


@kernel
def clear_book(state, instrument):
    """All orders of a book leave: who has none, as each has at its first snapshot, costs nothing, however many the others have."""
    book = record_at(state.books, instrument, BOOK_EVENTS)
    number = np.int64(0)
    while book.orders > 0 and number + 1 < state.orders_n:
        number += 1
        order = record_at(state.orders, number, RESTING)
        if order.stamp > 0 and np.int64(order.level >> np.uint64(34)) == instrument:
            leave(state, address_in(state.stamps, np.uint64(order.stamp)), number)


@kernel
def hit(state, event, number):
    """An order was executed: whether it was first, if that is known already; otherwise it waits for the end of the event."""
    book = np.int64(event.instrument)
    now = record_at(state.books, book, BOOK_EVENTS).event
    order = record_at(state.orders, number, RESTING)
    state.fills += 1
    at = record_at(state.levels.slots, find(state.levels, order.level), SLOT).priority
    waiting = state.pending_n
    while at != number:
        ahead = record_at(state.orders, at, RESTING)
        if ahead.event != now or ahead.executed < ahead.size:
            if state.pending_n == PENDING_MAX or state.pending_n - waiting == AHEAD_MAX:
                state.pending_n = waiting
                waiting = np.int64(-1)
                break
            entry_ = record_at(state.pending, state.pending_n, PENDING)
            entry_.fill = state.fills
            entry_.order = at
            entry_.stamp = ahead.stamp
            entry_.size = ahead.size
            entry_.book = book
            state.pending_n += 1
        at = ahead.next
    if state.pending_n == waiting:
        state.first += 1
    if order.event != now:
        order.event = now
        order.executed = 0
    order.executed -= event.delta


@kernel
def end_event(state, book):
    """An event of a book has ended: its fills that waited were first if all in front of them has been executed. Those of other books wait on."""
    now = record_at(state.books, book, BOOK_EVENTS).event
    kept = np.int64(0)
    fill = np.int64(0)
    is_first = True
    for i in range(state.pending_n):
        entry_ = record_at(state.pending, i, PENDING)
        if entry_.book != book:
            to = record_at(state.pending, kept, PENDING)
            to.fill, to.order, to.stamp, to.size, to.book = entry_.fill, entry_.order, entry_.stamp, entry_.size, entry_.book
            kept += 1
            continue
        if entry_.fill != fill:
            state.first += fill != 0 and is_first
            fill = entry_.fill
            is_first = True
        order = record_at(state.orders, entry_.order, RESTING)
        is_first &= abs(order.stamp) == entry_.stamp and order.event == now and order.executed >= entry_.size
    state.first += fill != 0 and is_first
    state.pending_n = kept


@kernel
def change(state, event):
    """A REMOVE, or a FILL of what was displayed; of orders that are not known, nothing."""
    address = address_in(state.stamps, np.uint64(event.priority))
    if address != 0:
        number = record_at(address, 0, SLOT).priority
        if event.kind == FILL:
            hit(state, event, number)
        elif event.orders < 0:
            leave(state, address, number)
        else:
            record_at(state.orders, number, RESTING).size += event.delta


@leaf
def needs(state):
    """Which table has to grow before the next tape event, if one has to."""
    if state.free_n <= FREE_MIN:
        return MORE_ORDERS
    if is_full(state.stamps):
        return MORE_STAMPS
    return MORE_LEVELS if is_full(state.levels) else DONE


@entry
def count_fifo(state):
    """Go on until all tape events of the chunk are counted, or a table has to grow."""
    while state.x < state.n:
        event = record_at(state.events, state.x, EVENT)
        needed = needs(state)
        if needed != DONE:
            return needed
        if event.kind == ADD:
            join(state, event)
        elif event.kind == REMOVE or (event.kind == FILL and event.flags & EXCESS == 0):
            change(state, event)
        elif event.kind == CLEAR:
            clear_book(state, np.int64(event.instrument))
        if event.flags & LAST:
            if state.pending_n > 0:
                end_event(state, np.int64(event.instrument))
            record_at(state.books, np.int64(event.instrument), BOOK_EVENTS).event += 1
        state.x += 1
    return DONE
