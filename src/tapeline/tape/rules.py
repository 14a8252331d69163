"""The rules for one record, whatever it may be: docs/ARCHITECTURE.md, in numbers; `tapeline.reference.normaliser` says the same at leisure.

`normalise` does by itself what nearly all records are, and comes here with the rest; so this is compiled by itself, and works on `Reader.here`.
"""

import numpy as np

from tapeline.constants import LEVEL_MAX, UNDEFINED_PRICE
from tapeline.jit import leaf
from tapeline.memory import address_of, record_at, unit
from tapeline.order_table import SLOT, enter, erase, find, is_full, is_taken
from tapeline.tape.adds import add_snapshot, is_no_side, level_of, stamp_for
from tapeline.tape.emit import JOINS, LEAVES, NOTHING, OFF_GRID_TICKS, count, emit, emit_nothing, emit_order, marks, next_stamp, ticks_of
from tapeline.tape.records import (
    COUNTER,
    EXCESS,
    FILL,
    LAST,
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
    NO_SIDE,
    NO_TIME,
    OFF_GRID,
    PROCEED,
    REMOVE,
    SNAPSHOT,
    SOURCE,
    STATUS,
    TABLE_FULL,
    TRADE,
    A,
    C,
    F,
    M,
    R,
    T,
)  # fmt: skip
from tapeline.tape.unusual import after_unusual, before_unusual, clear_book, event_goes_on, is_no_time


@leaf
def _on_add(reader, source, record, place, last):
    """A, and M of an unknown id: an order joins the back of a level."""
    here, table = reader.here, source.table
    side = np.int64(record.side)
    if is_no_side(side):
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
    level = level_of(side, ticks)
    slot = record_at(table.slots, place, SLOT)
    if slot.priority != 0:
        count(reader, N_LIVE_ADD)
        emit_order(here, record, slot, LEAVES, -np.int64(slot.size))
    else:
        enter(table, place, record.order_id)
    slot.priority = stamp_for(here, source, record, level)
    slot.level = level
    slot.size = record.size
    slot.filled = 0
    slot.side = record.side
    emit_order(here, record, slot, JOINS | marks(NOTHING, last), np.int64(record.size))
    return TABLE_FULL if is_full(table) else PROCEED


@leaf
def _on_cancel(reader, source, record, place, last):
    """C: the order loses what the record says, at most what it has."""
    here, table = reader.here, source.table
    slot = record_at(table.slots, place, SLOT)
    if slot.priority == 0:
        count(reader, N_UNKNOWN_C)
        return
    if record.size == 0:
        count(reader, N_ZERO)
        return
    if record.size < slot.size:
        count(reader, N_PARTIAL_C)
        emit_order(here, record, slot, marks(REMOVE, last), -np.int64(record.size))
        slot.size -= record.size
        slot.filled = 0
        return
    if record.size > slot.size:
        count(reader, N_OVERSIZED_C)
    emit_order(here, record, slot, LEAVES | marks(NOTHING, last), -np.int64(slot.size))
    erase(table, address_of(slot))


@leaf
def _on_modify(reader, source, record, place, last):
    """M: keeps its priority if it stays at its level and does not grow beyond what the FILLs left; otherwise it queues anew, in the same slot."""
    here, table = reader.here, source.table
    slot = record_at(table.slots, place, SLOT)
    if record.size == 0:
        count(reader, N_ZERO)
        emit_order(here, record, slot, LEAVES | marks(NOTHING, last), -np.int64(slot.size))
        erase(table, address_of(slot))
        return PROCEED
    if record.price == UNDEFINED_PRICE:
        count(reader, N_NO_PRICE)
        return PROCEED
    side = np.int64(slot.side if is_no_side(np.int64(record.side)) else record.side)
    ticks = ticks_of(source, record.price)
    if ticks == OFF_GRID_TICKS:
        return OFF_GRID
    level = level_of(side, ticks)
    size, left = np.int64(record.size), np.int64(slot.size) - np.int64(slot.filled)
    stays = (level == slot.level) & (side == slot.side)
    if stays & (size <= left):
        if size != slot.size:
            emit_order(here, record, slot, marks(REMOVE, last), size - np.int64(slot.size))
    else:
        if stays & (slot.filled > 0):
            count(reader, N_REFILL)
        emit_order(here, record, slot, LEAVES | marks(NOTHING, MODIFIED), -np.int64(slot.size))
        slot.priority = next_stamp(here)
        slot.level = level
        slot.side = side
        emit_order(here, record, slot, JOINS | marks(NOTHING, MODIFIED | last), size)
    slot.size = record.size
    slot.filled = 0
    return PROCEED


@leaf
def _on_fill(reader, source, record, place, last):
    """F: the aggressor's own is ignored; what exceeds the displayed rest of an order came from refills behind and is a FILL of its own, with a new stamp."""
    here, slot = reader.here, record_at(source.table.slots, place, SLOT)
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
        emit_order(here, record, slot, marks(FILL, last if displayed == size else NOTHING), -displayed)
    if size > displayed:
        count(reader, N_BEYOND)
        emit(here, record, marks(FILL, EXCESS | last) | np.int64(slot.side) << 16, np.int64(slot.level), displayed - size, next_stamp(here))
    slot.filled = min(np.int64(slot.filled) + size, 0xFFFFFFFF)


@leaf
def _on_trade(reader, source, record, last):
    """T: the print. Its exact price travels in `priority`, for prints lie between ticks at times."""
    source.trade_order_id = record.order_id
    level = max(min(record.price // source.grid, LEVEL_MAX + 1), -LEVEL_MAX - 1)
    side = NO_SIDE if is_no_side(np.int64(record.side)) else np.int64(record.side)
    emit(reader.here, record, marks(TRADE, last) | side << 16, level, np.int64(record.size), record.price)


@unit("do_record")
def do_record(reader):  # noqa: C901, PLR0912 - one question per action
    """The record at `reader.here`, and the orders of a snapshot behind it.

    PROCEED; OFF_GRID, NO_TIME or NEED_DATA: not done; or TABLE_FULL: done, but the table is to grow before the next record.
    """
    here = reader.here
    record, source = record_at(here.position, 0, MBO_RECORD), record_at(here.source, 0, SOURCE)
    last = np.int64(record.flags) & LAST
    if record.action == R and record.flags & SNAPSHOT == 0:  # flagged or not: hours may pass before the next record
        last = np.int64(LAST)
    if last:
        goes_on = event_goes_on(reader)
        if goes_on == NEED_DATA:
            return NEED_DATA
        last = NOTHING if goes_on else last
    if is_no_time(record):
        return NO_TIME
    action, first = record.action, here.out
    record_at(reader.actions, np.int64(action), COUNTER).n += 1
    status = before_unusual(reader, source, record)
    if status != PROCEED:
        pass
    elif action == T:
        _on_trade(reader, source, record, last)
    elif action == R:
        clear_book(reader, source, record)
    elif (action == A) | (action == M) | (action == C) | (action == F):
        place = find(source.table, record.order_id)
        if action == C:
            _on_cancel(reader, source, record, place, last)
        elif action == F:
            _on_fill(reader, source, record, place, last)
        elif (action == M) & is_taken(source.table, place):
            status = _on_modify(reader, source, record, place, last)
        else:
            if action == M:
                count(reader, N_UNKNOWN_M)
            status = _on_add(reader, source, record, place, last)
    if status == OFF_GRID:
        here.out = first
        return OFF_GRID
    if (last != 0) & (here.out == reader.first):
        emit_nothing(here, record, STATUS, last)
    after_unusual(reader, record, last)
    reader.records += 1
    here.position += reader.stride
    if status == TABLE_FULL:
        return TABLE_FULL
    if record.flags & SNAPSHOT:
        add_snapshot(reader, source)
    return PROCEED
