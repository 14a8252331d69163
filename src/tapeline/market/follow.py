"""Tape events into books, to be looked at event by event: the loop behind `tapeline view`.

It stops where it is told: at an event, a trade, or a time. What it knows of a book besides the book itself (`Seen`) is one record, so that a checkpoint is a
copy. Our own orders, as a run recorded them, stand in the book again: each joins before the first event that begins after its arrival, and what was there
before it (an older stamp, at its price) is ahead of it, as in `tapeline.lives`.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, note_event
from tapeline.market.book import BOOK, DONE
from tapeline.market.observe import CLOCK_START
from tapeline.market.replay import Replay, apply
from tapeline.market.view import update_view
from tapeline.memory import address_of, copy, record_at
from tapeline.record import Record, int64
from tapeline.tape.records import ADD, CLEAR, EVENT, EVENT_SIZE, FILL, LAST, SNAPSHOT, TRADE, TapeEvent

THERE: Final = 10
"""What follow() answers besides DONE and MAKE_ROOM: it is where it was told to stop."""
KEPT: Final = 64
"""So many of the last tape events and trades are kept; a power of two."""
TOUCHES_KEPT: Final = 256
"""So many of the last changes of the best prices are kept; likewise."""
OWN_MAX: Final = 256
"""So many own orders may rest in a book at a time."""
NEVER: Final = np.int64(2**62)
UNKNOWN: Final = np.int64(-1)


class Own(Record):
    """An order of ours, as a run recorded it."""

    arrived: int64
    end: int64
    side: int64  # as a tape event's
    level: int64
    ahead: int64  # lots in front of it; UNKNOWN where a run did not know, or does not tell
    stamp: int64  # of the first order behind it
    number: int64  # which order it is, to the caller


class Trade(Record):
    """A print, and the event that it was part of."""

    event: int64
    tape: TapeEvent


class Touch(Record):
    """Best prices from a time on, 1e-9; UNDEFINED_PRICE where a side is empty."""

    ts: int64
    bid: int64
    ask: int64


class Seen(Record):
    """What has been seen of one book."""

    events: int64  # ordinary events that have ended
    trades: int64  # in them
    volume: int64  # lots
    clock: int64 = int(CLOCK_START)  # the greatest ts_event at which an ordinary event began or ended
    ts_event: int64  # of the last record of the last of them
    ts_recv: int64
    sequence: int64
    in_event: int64
    stamp: int64 = 1  # of the next order to join
    tape_n: int64  # tape events; number k lies at k & (KEPT - 1)
    tape_event: int64  # of those, before the last ordinary event that has ended began,
    tape_ended: int64  # and when it had ended
    tape_begun: int64  # and before the event under way
    prints_n: int64  # likewise
    prints_ended: int64
    volume_begun: int64  # lots of the event under way, too
    touches_n: int64  # changes of the best prices
    first_ts: int64  # the clock when the first event had ended,
    first_bid: int64  # and the best prices
    first_ask: int64
    own_next: int64  # how many of our orders have come
    own_n: int64  # how many rest
    tape: (TapeEvent, (KEPT,))  # type: ignore[syntax]
    prints: (Trade, (KEPT,))  # type: ignore[syntax]
    touches: (Touch, (TOUCHES_KEPT,))  # type: ignore[syntax]
    own: (Own, (OWN_MAX,))  # type: ignore[syntax]


class OwnTable(Record):
    """The orders that a run sent to one book, in order of their arrival."""

    first: int64  # address
    n: int64


class Follow(Replay):
    """Where the loop is, and where it is to stop. Only `only` is followed, unless it is -1; the limits are its."""

    seen: int64  # address of a Seen per book
    own: int64  # address of an OwnTable per book
    only: int64 = -1
    until_events: int64 = int(NEVER)  # stop when so many events have ended,
    until_trades: int64 = int(NEVER)  # or so many trades have been seen,
    until_ts: int64 = int(NEVER)  # or before the first event that begins after this time


OWN, TRADE_SEEN, TOUCH, SEEN, OWN_TABLE = Own.dtype_, Trade.dtype_, Touch.dtype_, Seen.dtype_, OwnTable.dtype_
TAPE_OFFSET, PRINTS_OFFSET, TOUCHES_OFFSET, OWN_OFFSET = (np.int64(SEEN.fields[name][1]) for name in ("tape", "prints", "touches", "own"))
OWN_SIZE: Final = OWN.itemsize
_MASK: Final = np.int64(KEPT - 1)


@kernel
def drop_ended(seen, ts):
    """Our orders that ended before an event at a time are gone."""
    first = address_of(seen) + OWN_OFFSET
    kept = np.int64(0)
    for i in range(seen.own_n):
        own = record_at(first, i, OWN)
        if own.end >= ts:
            if kept != i:
                copy(address_of(record_at(first, kept, OWN)), address_of(own), OWN_SIZE)
            kept += 1
    seen.own_n = kept


@kernel
def join_arrived(seen, table, ts):
    """Our orders that arrived before an event at a time take their place behind all that is there."""
    while seen.own_next < table.n:
        own = record_at(table.first, seen.own_next, OWN)
        if own.arrived >= ts:
            break
        seen.own_next += 1
        if own.end >= ts and seen.own_n < OWN_MAX:
            place = record_at(address_of(seen) + OWN_OFFSET, seen.own_n, OWN)
            copy(address_of(place), address_of(own), OWN_SIZE)
            place.stamp = seen.stamp
            seen.own_n += 1


@kernel
def change_queues(seen, event):
    """What an ADD, REMOVE or CLEAR does to the size in front of our orders."""
    for i in range(seen.own_n):
        own = record_at(address_of(seen) + OWN_OFFSET, i, OWN)
        if own.ahead == UNKNOWN:
            continue
        if event.kind == CLEAR:
            own.ahead = 0
        elif event.side == own.side and np.int64(event.level) == own.level and event.priority < own.stamp:
            own.ahead += event.delta


@leaf
def begin(state, seen, event):
    """Before the first tape event of an event: whether it is beyond the asked time; if not, time passes up to it."""
    if event.flags & SNAPSHOT:
        seen.tape_begun = seen.tape_n
        return False
    if max(event.ts_event, seen.clock) > state.until_ts:
        return True
    seen.tape_begun = seen.tape_n
    seen.clock = max(event.ts_event, seen.clock)
    if seen.own_n > 0:
        drop_ended(seen, event.ts_event)
    table = record_at(state.own, np.int64(event.instrument), OWN_TABLE)
    if seen.own_next < table.n:
        join_arrived(seen, table, event.ts_event)
    return False


@leaf
def remember(seen, event):
    """Keep a tape event, and note what it means to our orders."""
    copy(address_of(seen) + TAPE_OFFSET + (seen.tape_n & _MASK) * EVENT_SIZE, address_of(event), EVENT_SIZE)
    seen.tape_n += 1
    if event.kind < FILL or event.kind == CLEAR:
        if seen.own_n > 0:
            change_queues(seen, event)
        if event.kind == ADD:
            seen.stamp = max(seen.stamp, event.priority + 1)
    elif event.kind == TRADE:
        place = record_at(address_of(seen) + PRINTS_OFFSET, seen.prints_n & _MASK, TRADE_SEEN)
        place.event = seen.events + 1
        copy(address_of(place.tape), address_of(event), EVENT_SIZE)
        seen.prints_n += 1
        seen.volume_begun += event.delta


@leaf
def note_touch(seen, market):
    """Keep the best prices, if they have changed."""
    if seen.touches_n == 0:
        seen.first_ts = seen.clock
        seen.first_bid = market.bid_price
        seen.first_ask = market.ask_price
    first = address_of(seen) + TOUCHES_OFFSET
    last = record_at(first, (seen.touches_n - 1) & (TOUCHES_KEPT - 1), TOUCH)
    if seen.touches_n == 0 or last.bid != market.bid_price or last.ask != market.ask_price:
        place = record_at(first, seen.touches_n & (TOUCHES_KEPT - 1), TOUCH)
        place.ts = seen.clock
        place.bid = market.bid_price
        place.ask = market.ask_price
        seen.touches_n += 1


@leaf
def end(state, book, seen, event):
    """An ordinary event has ended: whether that is where to stop."""
    dirty = book.dirty
    if dirty:
        book.dirty = 0
        update_view(book, event, state.plan, dirty)
    seen.events += 1
    seen.clock = max(seen.clock, event.ts_event)
    note_touch(seen, book.market)
    seen.trades += seen.prints_n - seen.prints_ended
    seen.prints_ended = seen.prints_n
    seen.volume = seen.volume_begun
    seen.ts_event = event.ts_event
    seen.ts_recv = event.ts_recv
    seen.sequence = np.int64(event.sequence)
    seen.tape_event = seen.tape_begun
    seen.tape_ended = seen.tape_n
    return state.only >= 0 and (seen.events >= state.until_events or seen.trades >= state.until_trades)


@entry
def follow(state):
    """Go on until all tape events of the chunk are in their books, the place to stop is reached, or the driver has to act."""
    state.plan.events = state.events
    while state.x < state.n:
        event = record_at(state.events, state.x, EVENT)
        instrument = np.int64(event.instrument)
        if state.only >= 0 and instrument != state.only:
            state.x += 1
            continue
        book = record_at(state.books, instrument, BOOK)
        seen = record_at(state.seen, instrument, SEEN)
        if not state.applied:
            if not seen.in_event and begin(state, seen, event):
                return THERE
            seen.in_event = 1
            result = apply(state, book, event)
            if result != DONE:
                return result
        state.applied = 0
        state.x += 1
        if state.plan.features & ACTIVITY_FEATURES and event.flags & SNAPSHOT == 0:
            note_event(book, event)
        remember(seen, event)
        if event.flags & LAST:
            seen.in_event = 0
            if event.flags & SNAPSHOT == 0 and end(state, book, seen, event):
                return THERE
    return DONE
