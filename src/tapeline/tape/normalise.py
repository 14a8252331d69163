"""DBN records → tape events, one compiled pass over a chunk that stays in the cache.

What nearly all records are walks straight through here; a record that is anything else, seen before anything of it is done, goes to `tapeline.tape.rules`.
Instructions per record (`benchmarks/instructions.py normalise`): 200 where every record went through all rules in one loop, 120 so, 96 of them in this loop.
What a tape event has from its record whatever it is, and where the record's order lies, is known before the action is looked at, which is as hard to predict
as the stream: compares one after the other took 1 ns less than a jump by a table. To look for all that is odd in a block of 64 records first, and do them then,
took 102 instructions in place of 96, and a fifth more time.
A and C in one straight path, their differences by masks, took 33 instructions more per record, guessed wrong 0.2 times less, and took 8 to 12 % more time: a
wrong guess is worth 4 to 5 ns here, as much as 40 instructions.
"""

from typing import Final

import numpy as np

from tapeline.constants import TIME_END
from tapeline.jit import entry, leaf
from tapeline.memory import address_of, load_u64, prefetch, record_at, unlikely, unseen
from tapeline.order_table import bucket_address, erase, likely_slot
from tapeline.tape.adds import add, is_no_side, level_of
from tapeline.tape.cursor import local, move
from tapeline.tape.emit import JOINS, LEAVES, NOTHING, marks, next_stamp, ticks_above_least
from tapeline.tape.records import (
    BAD_TS_RECV,
    COUNTER,
    CURSOR,
    EVENT_SIZE,
    EVENTS_PER_RECORD_MAX,
    FILL,
    MAYBE_BAD_BOOK,
    MBO_RECORD,
    MODIFIED,
    NEED_DATA,
    NO_SIDE,
    PROCEED,
    REMOVE,
    RTYPE_MBO,
    SKIPPED,
    SNAPSHOT,
    SOURCE,
    TOP_OF_BOOK,
    TRADE,
    A,
    C,
    F,
    M,
    T,
)  # fmt: skip
from tapeline.tape.rules import do_record
from tapeline.tape.unusual import event_goes_on, select

UNUSUAL_FLAGS: Final = TOP_OF_BOOK | SNAPSHOT | BAD_TS_RECV | MAYBE_BAD_BOOK
TIME_BITS: Final = TIME_END.bit_length() - 1
"""A time at or behind TIME_END has a bit above these: looked at among the flags, it takes no compare and no branch of its own."""


@leaf
def _cancel(reader, here, source, record, slot, marked):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """C of a whole order."""
    size = np.int64(slot.size)
    if size != record.size:
        return False
    here.put(marked | LEAVES | np.int64(slot.side) << 16, slot.level, -size, slot.priority)
    erase(source.table, address_of(slot))
    reader.cancels += 1
    return True


@leaf
def _modify(reader, here, source, record, slot, marked):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """M that makes an order smaller, or lets it queue anew."""
    size, side, had = np.int64(record.size), np.int64(record.side), np.int64(slot.size)
    above = ticks_above_least(source, record.price)
    if size == 0 or above > source.ticks_span or is_no_side(side):
        return False
    level = level_of(side, np.int64(above) - source.ticks_max)
    elsewhere = (level != slot.level) | (side != slot.side)
    if unseen(np.int64(elsewhere | (size > had - np.int64(slot.filled)))):
        if slot.filled != 0 and not elsewhere:
            return False
        stamp = next_stamp(here)
        here.put(LEAVES | marks(NOTHING, MODIFIED) | np.int64(slot.side) << 16, slot.level, -had, slot.priority)
        here.follow(source, record.ts_event, record.ts_recv, record.sequence)
        here.put(marked | JOINS | marks(NOTHING, MODIFIED) | side << 16, level, size, stamp)
        slot.priority = stamp
        slot.level = level
        slot.side = side
    else:
        if size == had:
            return False
        here.put(marked | REMOVE | side << 16, level, size - had, slot.priority)
    slot.size = size
    slot.filled = 0
    reader.modifies += 1
    return True


@leaf
def _fill(reader, here, source, record, slot, marked):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """F of what an order displays."""
    size = np.int64(record.size)
    if record.order_id == source.trade_order_id or size == 0 or size > np.int64(slot.size) - np.int64(slot.filled):
        return False
    here.put(marked | FILL | np.int64(slot.side) << 16, slot.level, -size, slot.priority)
    slot.filled += size
    reader.fills += 1
    return True


@leaf
def _trade(reader, here, source, record, marked):
    """T at a price of the grid."""
    above, side = ticks_above_least(source, record.price), np.int64(record.side)
    if above > source.ticks_span:
        return False
    source.trade_order_id = record.order_id
    here.put(marked | TRADE | (NO_SIDE if is_no_side(side) else side) << 16, np.int64(above) - source.ticks_max, np.int64(record.size), record.price)
    reader.trades += 1
    return True


@leaf
def _is_done(reader, here, source, record, marked):  # noqa: PLR0911 - one question per action
    """Whether the record was one of the usual, and was done.

    The order's slot is found before the action is looked at: a jump by action is a guess, and whatever it turns out to be, the slot is on its way then.
    """
    action, order_id = record.action, record.order_id
    bucket = bucket_address(source.table, order_id)
    slot = likely_slot(bucket, order_id)
    if action == A:
        return add(reader, here, source, record, bucket, order_id, marked, False)
    if action == T:
        return _trade(reader, here, source, record, marked)
    if slot.order_id != order_id or slot.priority == 0:
        return False
    if action == C:
        return _cancel(reader, here, source, record, slot, marked)
    if action == M:
        return _modify(reader, here, source, record, slot, marked)
    if action == F:
        return _fill(reader, here, source, record, slot, marked)
    return False


@leaf
def _count_done(reader, action, n):
    """Add records that the loop has done by itself."""
    record_at(reader.actions, action, COUNTER).n += n
    reader.records += n


@leaf
def count_all_done(reader):
    """Bring the numbers of records up to date."""
    _count_done(reader, A, reader.adds)
    _count_done(reader, C, reader.cancels)
    _count_done(reader, M, reader.modifies)
    _count_done(reader, F, reader.fills)
    _count_done(reader, T, reader.trades)
    reader.trades = reader.fills = reader.modifies = reader.cancels = reader.adds = 0


@leaf
def _prefetch_ahead(here, source, to_prefetched):
    """Ask for the bucket of a record some way on."""
    prefetch(bucket_address(source.table, load_u64(here.position + to_prefetched + 16)))


@leaf
def go(reader, here):
    """The usual records of one book that follow each other, from one that `select` found, and one that is anything else: as do_record answers."""
    source = record_at(here.source, 0, SOURCE)
    near_end, to_next, to_prefetched, stride = reader.near_end, reader.to_next, reader.to_prefetched, reader.stride
    is_odd = source.oddity != 0  # only do_record changes it: to ask here, and not of every record, takes 2 % less time
    if unlikely(is_odd):
        _prefetch_ahead(here, source, to_prefetched)
    while not is_odd:
        record = record_at(here.position, 0, MBO_RECORD)
        _prefetch_ahead(here, source, to_prefetched)
        following = record_at(here.position + to_next, 0, MBO_RECORD)
        ts_event, ts_recv, sequence, flags = record.ts_event, record.ts_recv, record.sequence, np.int64(record.flags)
        here.begin(source, ts_event, ts_recv, sequence)
        unlike = np.int64(following.sequence) ^ np.int64(sequence)
        if unlikely(load_u64(address_of(following)) != source.word):
            near_end = np.int64(-1)  # to look at it by `select`
            unlike = np.int64(following.rtype == RTYPE_MBO)
        if unlikely(ts_recv < ts_event or ts_event < source.ts_event or (flags | (ts_recv >> TIME_BITS) * SNAPSHOT) & UNUSUAL_FLAGS != 0):
            break
        source.ts_event = ts_event
        last = flags >> 7
        if unlikely(unlike < last):  # it may be that the event goes on: a sequence that repeats and LAST are guesses, both at once is rare
            move(reader.here, here)
            goes_on = event_goes_on(reader)
            if goes_on == NEED_DATA:
                return goes_on
            if goes_on:
                last = NOTHING
        if not _is_done(reader, here, source, record, last << 15):
            break
        is_stopped = here.is_stopped(last)
        here.position += stride
        if is_stopped or here.position > near_end:
            return np.int64(PROCEED)
    move(reader.here, here)
    status = do_record(reader)
    move(here, reader.here)
    return status


@leaf
def make_room(reader):
    """Say how far tape events may reach, so that the next record finds room for its own."""
    reader.out_end = reader.out + (reader.out_capacity - EVENTS_PER_RECORD_MAX) * EVENT_SIZE


@entry
def normalise(reader):
    """Turn records into tape events until the buffer is full, the data ends, or the driver has to act; says which."""
    make_room(reader)
    reader.here.out = reader.out + reader.n * EVENT_SIZE
    here = local(CURSOR)
    move(here, reader.here)
    while True:
        move(reader.here, here)
        status = select(reader)
        move(here, reader.here)
        if status == PROCEED:
            status = go(reader, here)
        if status != PROCEED and status != SKIPPED:
            break
    move(reader.here, here)
    reader.n = (here.out - reader.out) // EVENT_SIZE
    count_all_done(reader)
    return status
