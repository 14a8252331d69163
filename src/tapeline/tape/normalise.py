"""DBN records → tape events, one compiled pass over a chunk that stays in the cache.

What nearly all records are walks straight through here; a record that is anything else, seen before anything of it is done, goes to `tapeline.tape.rules`.
Instructions and mispredicted branches per record (`benchmarks/instructions.py normalise`): 200 and 0.53 where every record went through all rules in one loop,
140 and 0.18 so, without those of the jump by action, which is as hard to predict as the stream (0.7 both times).
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, leaf
from tapeline.memory import load_u64, prefetch, record_at, unseen
from tapeline.tape.cursor import local_cursor, move
from tapeline.tape.emit import emit, emit_order, marks, next_stamp, ticks_above_least
from tapeline.tape.order_table import SLOT, address_in, bucket_address, erase
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
from tapeline.tape.rules import do_record
from tapeline.tape.unusual import event_goes_on, select

UNUSUAL_FLAGS: Final = TOP_OF_BOOK | SNAPSHOT | BAD_TS_RECV | MAYBE_BAD_BOOK


@leaf
def _level_of(record, ticks):
    """A price in ticks as a level: asks upside down."""
    return -ticks if record.side == ASK else ticks


@leaf
def _has_no_side(record):
    return (record.side != BID) & (record.side != ASK)


@leaf
def _add(here, source, record, last):
    """A of an id that is new and finds room in its bucket."""
    table, order_id, size = source.table, record.order_id, np.int64(record.size)
    above = ticks_above_least(source, record.price)
    bucket = bucket_address(table, order_id)
    first, second = record_at(bucket, 0, SLOT), record_at(bucket, 1, SLOT)
    slot = record_at(bucket, np.int64(first.priority != 0), SLOT)
    if _has_no_side(record) or size == 0 or above > source.ticks_span or table.room <= 1:
        return False
    if first.order_id == order_id or second.order_id == order_id or slot.priority != 0:
        return False
    table.room -= 1
    slot.order_id = order_id
    slot.priority = next_stamp(here)
    slot.level = _level_of(record, np.int64(above) - source.ticks_max)
    slot.size = size
    slot.filled = 0
    slot.side = record.side
    slot.crowded = 0
    emit_order(here, record, slot, marks(ADD, last), size)
    return True


@leaf
def _cancel(here, source, record, last):
    """C of a whole order."""
    place = address_in(source.table, record.order_id)
    slot = record_at(place, 0, SLOT)
    if place == 0 or slot.size != record.size:
        return False
    emit_order(here, record, slot, marks(REMOVE, GONE | last), -np.int64(slot.size))
    erase(source.table, place)
    return True


@leaf
def _modify(here, source, record, last):
    """M that makes an order smaller, or lets it queue anew."""
    place = address_in(source.table, record.order_id)
    slot = record_at(place, 0, SLOT)
    size = np.int64(record.size)
    above = ticks_above_least(source, record.price)
    if place == 0 or size == 0 or above > source.ticks_span or _has_no_side(record):
        return False
    had = np.int64(slot.size)
    level = _level_of(record, np.int64(above) - source.ticks_max)
    elsewhere = (level != slot.level) | (slot.side != record.side)
    if unseen(np.int64(elsewhere | (size > had - np.int64(slot.filled)))):
        if slot.filled != 0 and not elsewhere:
            return False
        emit_order(here, record, slot, marks(REMOVE, GONE | MODIFIED), -had)
        slot.priority = next_stamp(here)
        slot.level = level
        slot.side = record.side
        emit_order(here, record, slot, marks(ADD, MODIFIED | last), size)
    else:
        if size == had:
            return False
        emit_order(here, record, slot, marks(REMOVE, last), size - had)
    slot.size = size
    slot.filled = 0
    return True


@leaf
def _fill(here, source, record, last):
    """F of what an order displays."""
    place = address_in(source.table, record.order_id)
    slot = record_at(place, 0, SLOT)
    size = np.int64(record.size)
    if place == 0 or record.order_id == source.trade_order_id or size == 0 or size > np.int64(slot.size) - np.int64(slot.filled):
        return False
    emit_order(here, record, slot, marks(FILL, last), -size)
    slot.filled += size
    return True


@leaf
def _trade(here, source, record, last):
    """T at a price of the grid."""
    above = ticks_above_least(source, record.price)
    if above > source.ticks_span:
        return False
    source.trade_order_id = record.order_id
    side = NO_SIDE if _has_no_side(record) else np.int64(record.side)
    emit(here, record, marks(TRADE, last) | side << 16, np.int64(above) - source.ticks_max, np.int64(record.size)).priority = record.price
    return True


@leaf
def _is_done(here, source, record, last):
    """Whether the record was one of the usual, and was done."""
    action = record.action
    if action == A:
        return _add(here, source, record, last)
    if action == C:
        return _cancel(here, source, record, last)
    if action == M:
        return _modify(here, source, record, last)
    if action == F:
        return _fill(here, source, record, last)
    if action == T:
        return _trade(here, source, record, last)
    return False


@leaf
def _may_go_on(record, following):
    """Whether it takes a closer look to tell if the event ends with a record that says LAST; one branch, for what says LAST is a guess."""
    alike = (following.sequence == record.sequence) | (following.rtype != RTYPE_MBO)
    return unseen(np.int64(alike)) & np.int64(record.flags >> 7)


@leaf
def _is_odd(source, record):
    """Whether a record is of a snapshot, or anything about its flags or times is out of the ordinary.

    A time is if it is negative, the venue's is before the last one, or it arrived before it was sent: one sign for all of them.
    """
    times = record.ts_event | record.ts_recv | (record.ts_event - source.ts_event) | (record.ts_recv - record.ts_event)
    return times < 0 or (record.flags & UNUSUAL_FLAGS) | source.in_snapshot != 0


@entry
def normalise(reader):  # noqa: C901 - one loop whose positions stay in registers; a call would spill them
    """Turn records into tape events until the buffer is full, the data ends, or the driver has to act; says which."""
    reader.out_end = reader.out + (reader.out_capacity - EVENTS_PER_RECORD_MAX) * EVENT_SIZE
    reader.here.out = reader.out + reader.n * EVENT_SIZE
    reader.near_end = -1
    here = local_cursor()
    move(here, reader.here)
    while True:
        if here.out > reader.out_end:
            status = BUFFER_FULL
            break
        if here.position > reader.near_end or load_u64(here.position) != here.word:
            move(reader.here, here)
            status = select(reader)
            move(here, reader.here)
            if status == SKIPPED:
                continue
            if status != PROCEED:
                break
        record, source = record_at(here.position, 0, MBO_RECORD), record_at(here.source, 0, SOURCE)
        prefetch(bucket_address(source.table, load_u64(here.position + reader.to_prefetched + 16)))
        last = np.int64(record.flags) & LAST
        if _may_go_on(record, record_at(here.position + reader.to_next, 0, MBO_RECORD)):
            move(reader.here, here)
            goes_on = event_goes_on(reader)
            if goes_on == NEED_DATA:
                status = NEED_DATA
                break
            if goes_on:
                last = np.int64(0)
        if _is_odd(source, record) or not _is_done(here, source, record, last):
            move(reader.here, here)
            reader.last = last
            status = do_record(reader)
            move(here, reader.here)
            if status != PROCEED:
                break
            continue
        source.ts_event = record.ts_event
        record_at(reader.actions, np.int64(record.action), COUNTER).n += 1
        reader.records += 1
        here.position += reader.stride
    move(reader.here, here)
    reader.n = (here.out - reader.out) // EVENT_SIZE
    return status
