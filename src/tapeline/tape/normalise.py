"""DBN records → tape events, one compiled pass over a chunk that stays in the cache.

The rules are those of docs/ARCHITECTURE.md, in numbers; `tapeline.reference.normaliser` says the same at leisure. The common case walks straight through;
whatever is unusual (a snapshot, a top-of-book venue, a clock that ran backwards) is seen by one combined test and handled out of line.
"""

from typing import Final

import numpy as np

from tapeline.constants import LEVEL_MAX, UNDEFINED_PRICE
from tapeline.jit import entry, leaf
from tapeline.memory import load_u64, prefetch, record_at
from tapeline.tape.cursor import local_cursor, move
from tapeline.tape.emit import OFF_GRID_TICKS, count, emit, emit_nothing, marks, next_stamp, ticks_of
from tapeline.tape.order_table import SLOT, erase, erase_rarely, find, is_full, is_taken, slot_address
from tapeline.tape.records import (  # noqa: F401 - for the importers of this module
    ADD,
    ASK,
    BAD_RECORD,
    BAD_TS_RECV,
    BID,
    BUFFER_FULL,
    CLEAR,
    COUNTER,
    EVENT,
    EVENT_SIZE,
    EVENTS_PER_RECORD_MAX,
    EXCESS,
    FILL,
    GONE,
    LAST,
    MAYBE_BAD_BOOK,
    MBO_RECORD,
    MODIFIED,
    N_AGGRESSOR_F,
    N_BEYOND,
    N_LIVE_ADD,
    N_NO_PRICE,
    N_NO_SIDE,
    N_OVERSIZED_C,
    N_PARTIAL_C,
    N_REFILL,
    N_UNKNOWN_C,
    N_UNKNOWN_F,
    N_UNKNOWN_M,
    N_ZERO,
    NEED_DATA,
    NEW_INSTRUMENT,
    NO_SIDE,
    OFF_GRID,
    PROCEED,
    REMOVE,
    RTYPE_MBO,
    SKIPPED,
    SNAPSHOT,
    SOURCE,
    STATUS,
    TABLE_FULL,
    TOP_OF_BOOK,
    TRADE,
    A,
    C,
    F,
    M,
    R,
    T,
    TapeEvent,
)  # fmt: skip
from tapeline.tape.unusual import after_unusual, before_unusual, clear_book, event_goes_on, select

UNUSUAL_FLAGS: Final = TOP_OF_BOOK | SNAPSHOT | BAD_TS_RECV | MAYBE_BAD_BOOK
PREFETCH_RECORDS: Final = 16


@leaf
def emit_order(here, record, slot, marked, delta):
    """A tape event of a resting order, at its place."""
    emit(here, record, marked | slot.side << 16, slot.level, delta).priority = slot.priority


@leaf
def stamp_for(here, source, record, level):
    """The next stamp; in a snapshot, the old one of an order that was live at this place when the book was voided."""
    if record.flags & SNAPSHOT:
        place = find(source.voided, record.order_id)
        old = record_at(source.voided.slots, place, SLOT)
        if old.priority != 0 and old.level == level and old.side == record.side:
            return old.priority
    return next_stamp(here)


@leaf
def on_add(here, reader, source, record, place, last):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """A, and M of an unknown id: an order joins the back of a level."""
    if (record.side != BID) & (record.side != ASK):
        count(reader, N_NO_SIDE)
        return PROCEED
    if record.price == UNDEFINED_PRICE:
        count(reader, N_NO_PRICE)
        return PROCEED
    if record.size == 0:
        count(reader, N_ZERO)
        return PROCEED
    ticks = ticks_of(source, record.price)
    if ticks == OFF_GRID_TICKS:
        return OFF_GRID
    level = -ticks if record.side == ASK else ticks
    table = source.table
    slot = record_at(table.slots, place, SLOT)
    if slot.priority != 0:
        count(reader, N_LIVE_ADD)
        emit_order(here, record, slot, marks(REMOVE, GONE, 0), -np.int64(slot.size))
        table.live -= 1
    table.live += 1
    slot.order_id = record.order_id
    slot.priority = stamp_for(here, source, record, level)
    slot.level = level
    slot.size = record.size
    slot.filled = 0
    slot.side = record.side
    emit_order(here, record, slot, marks(ADD, last, 0), np.int64(record.size))
    return TABLE_FULL if is_full(table) else PROCEED


@leaf
def on_cancel(here, reader, source, record, place, last):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """C: the order loses what the record says, at most what it has."""
    table = source.table
    slot = record_at(table.slots, place, SLOT)
    if slot.priority == 0:
        count(reader, N_UNKNOWN_C)
        return
    if record.size == 0:
        count(reader, N_ZERO)
        return
    if record.size < slot.size:
        count(reader, N_PARTIAL_C)
        emit_order(here, record, slot, marks(REMOVE, last, 0), -np.int64(record.size))
        slot.size -= record.size
        slot.filled = 0
        return
    if record.size > slot.size:
        count(reader, N_OVERSIZED_C)
    emit_order(here, record, slot, marks(REMOVE, GONE | last, 0), -np.int64(slot.size))
    erase(table, place)


@leaf
def on_modify(here, reader, source, record, place, last):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """M: keeps its priority if it stays at its level and does not grow beyond what the FILLs left; otherwise it queues anew, in the same slot."""
    table = source.table
    slot = record_at(table.slots, place, SLOT)
    if record.size == 0:
        count(reader, N_ZERO)
        emit_order(here, record, slot, marks(REMOVE, GONE | last, 0), -np.int64(slot.size))
        erase_rarely(table, place)
        return PROCEED
    if record.price == UNDEFINED_PRICE:
        count(reader, N_NO_PRICE)
        return PROCEED
    side = slot.side if (record.side != BID) & (record.side != ASK) else np.uint32(record.side)
    ticks = ticks_of(source, record.price)
    if ticks == OFF_GRID_TICKS:
        return OFF_GRID
    level = -ticks if side == ASK else ticks
    size, left = np.int64(record.size), np.int64(slot.size) - np.int64(slot.filled)
    stays = (level == slot.level) & (side == slot.side)
    if stays & (size <= left):
        if size != slot.size:
            emit_order(here, record, slot, marks(REMOVE, last, 0), size - np.int64(slot.size))
    else:
        if stays & (slot.filled > 0):
            count(reader, N_REFILL)
        emit_order(here, record, slot, marks(REMOVE, GONE | MODIFIED, 0), -np.int64(slot.size))
        slot.priority = next_stamp(here)
        slot.level = level
        slot.side = side
        emit_order(here, record, slot, marks(ADD, MODIFIED | last, 0), size)
    slot.size = record.size
    slot.filled = 0
    return PROCEED


@leaf
def on_fill(here, reader, source, record, place, last):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """F: the aggressor's own is ignored; what exceeds the displayed rest of an order came from refills behind and is a FILL of its own, with a new stamp."""
    slot = record_at(source.table.slots, place, SLOT)
    if (record.order_id == source.trade_order_id) & (record.order_id != 0):
        count(reader, N_AGGRESSOR_F)
        return
    if slot.priority == 0:
        count(reader, N_UNKNOWN_F)
        return
    if record.size == 0:
        count(reader, N_ZERO)
        return
    size = np.int64(record.size)
    displayed = min(size, max(np.int64(slot.size) - np.int64(slot.filled), 0))
    if displayed > 0:
        emit_order(here, record, slot, marks(FILL, last if displayed == size else 0, 0), -displayed)
    if size > displayed:
        count(reader, N_BEYOND)
        emit(here, record, marks(FILL, EXCESS | last, np.int64(slot.side)), slot.level, displayed - size).priority = next_stamp(here)
    slot.filled = min(np.int64(slot.filled) + size, 0xFFFFFFFF)


@leaf
def on_trade(here, source, record, last):
    """T: the print. Its exact price travels in `priority`, for prints lie between ticks at times."""
    source.trade_order_id = record.order_id
    level = max(min(record.price // source.grid, LEVEL_MAX + 1), -LEVEL_MAX - 1)
    side = NO_SIDE if (record.side != BID) & (record.side != ASK) else np.int64(record.side)
    emit(here, record, marks(TRADE, last, side), level, np.int64(record.size)).priority = record.price


@leaf
def dispatch(here, reader, source, record, last):
    """One record into its tape events; PROCEED, OFF_GRID, or TABLE_FULL: done, but the table is to grow before the next record.

    Each branch has a search of its own, though that repeats its code: by the action it is predictable where the search ends (6 ns).
    """
    action = record.action
    if action == M:
        place = find(source.table, record.order_id)
        if is_taken(source.table, place):
            return on_modify(here, reader, source, record, place, last)
        count(reader, N_UNKNOWN_M)
    if (action == A) | (action == M):
        place = find(source.table, record.order_id)
        return on_add(here, reader, source, record, place, last)
    if action == C:
        place = find(source.table, record.order_id)
        on_cancel(here, reader, source, record, place, last)
    elif action == F:
        place = find(source.table, record.order_id)
        on_fill(here, reader, source, record, place, last)
    elif action == T:
        on_trade(here, source, record, last)
    elif action == R:
        move(reader.here, here)
        clear_book(reader, source, record)
        here.out = reader.here.out
        if last:
            record_at(here.out, -1, EVENT).flags |= LAST
    return PROCEED


@entry
def normalise(reader):  # noqa: C901, PLR0912, PLR0915 - one loop whose positions stay in registers; a call would spill them
    """Turn records into tape events until the buffer is full, the data ends, or the driver has to act; says which."""
    stride = reader.stride
    last_position = reader.end - stride
    out_end = reader.out + (reader.out_capacity - EVENTS_PER_RECORD_MAX) * EVENT_SIZE
    here = local_cursor()
    reader.here.out = reader.out + reader.n * EVENT_SIZE
    move(here, reader.here)
    same_until = last_position - stride if here.source != 0 else np.int64(-1)
    while True:
        position = here.position
        if here.out > out_end:
            status = BUFFER_FULL
            break
        if position > same_until or load_u64(position) != here.word:
            move(reader.here, here)
            status = select(reader)
            move(here, reader.here)
            if status == SKIPPED:
                continue
            if status != PROCEED:
                break
            same_until = last_position - stride
        record = record_at(position, 0, MBO_RECORD)
        source = record_at(here.source, 0, SOURCE)
        prefetch(slot_address(source.table, load_u64(min(position + PREFETCH_RECORDS * stride, last_position) + 16)))
        last = np.int64(record.flags) & LAST
        following = record_at(min(position + stride, last_position), 0, MBO_RECORD)
        if (last != 0) & ((following.sequence == record.sequence) | (following.rtype != RTYPE_MBO)):
            reader.here.position = position
            goes_on = event_goes_on(reader)
            if goes_on == NEED_DATA:
                status = NEED_DATA
                break
            if goes_on:
                last = np.int64(0)
        record_at(reader.actions, np.int64(record.action), COUNTER).n += 1
        first = here.out
        status = PROCEED
        unusual = ((record.flags & UNUSUAL_FLAGS) | source.in_snapshot) != 0
        unusual |= (record.ts_event < source.ts_event) | (record.ts_recv < record.ts_event) | (record.ts_event < 0)
        if unusual:
            move(reader.here, here)
            status = before_unusual(reader, source, record)
            move(here, reader.here)
            own = reader.first
        else:
            own = first
            source.ts_event = record.ts_event
        if status == PROCEED:
            status = dispatch(here, reader, source, record, last)
        if status == OFF_GRID:
            here.out = first
            break
        if (last != 0) & (here.out == own):
            emit_nothing(here, record, STATUS, last)
        if unusual:
            move(reader.here, here)
            after_unusual(reader, record, last)
            move(here, reader.here)
        here.records += 1
        here.position = position + stride
        if status == TABLE_FULL:
            break
    move(reader.here, here)
    reader.n = (here.out - reader.out) // EVENT_SIZE
    return status
