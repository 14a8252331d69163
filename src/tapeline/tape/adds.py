"""Orders that join a book: in the normaliser's loop, and one after the other in a snapshot."""

import numpy as np

from tapeline.constants import UNDEFINED_TIMESTAMP
from tapeline.jit import kernel, leaf
from tapeline.memory import load_u64, prefetch, record_at, unseen
from tapeline.order_table import SLOT, SLOT_SIZE, bucket_address, find, likely_slot
from tapeline.tape.cursor import local, move
from tapeline.tape.emit import JOINS, NOTHING, marks, next_stamp, ticks_above_least
from tapeline.tape.records import ASK, BID, CURSOR, EXCLUDES, IN_SNAPSHOT, LAST, MBO_RECORD, SNAPSHOT, TOP_OF_BOOK, A


@leaf
def level_of(side, ticks):
    """A price in ticks as a level: asks upside down. The sign is made of the side's letter, for BID and ASK follow each other."""
    return ticks * (2 * side - (BID + ASK))


@leaf
def is_no_side(side):
    """Whether an order of this side is none of a book."""
    return (side != BID) & (side != ASK)


@leaf
def stamp_for(here, source, record, level):
    """The next stamp; in a snapshot, the old one of an order that was live at this place when the book was voided."""
    if record.flags & SNAPSHOT and source.voided_n != 0:
        place = find(source.voided, record.order_id)
        old = record_at(source.voided.slots, place, SLOT)
        if old.priority != 0 and old.level == level and old.side == record.side:
            return old.priority
    return next_stamp(here)


@leaf
def add(reader, here, source, record, bucket, order_id, marked, is_snapshot):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """A of an id that is new and finds room in its bucket: whether it was that, and was done."""
    table = source.table
    size, side, above = np.int64(record.size), np.int64(record.side), ticks_above_least(source, record.price)
    slot = record_at(unseen(bucket if record_at(bucket, 0, SLOT).priority == 0 else bucket + SLOT_SIZE), 0, SLOT)
    if size == 0 or above > source.ticks_span or is_no_side(side):
        return False
    if likely_slot(bucket, order_id).order_id == order_id or slot.priority != 0:
        return False
    room = table.room - 1
    if room <= 0:
        return False
    table.room = room
    level = level_of(side, np.int64(above) - source.ticks_max)
    stamp = stamp_for(here, source, record, level) if is_snapshot else next_stamp(here)
    slot.order_id = order_id
    slot.priority = stamp
    slot.level = level
    slot.size = size
    slot.filled = 0
    slot.side = side
    slot.crowded = 0
    here.put(marked | JOINS | side << 16, level, size, stamp)
    reader.adds += 1
    return True


@leaf
def _is_of_snapshot(source, record):
    """Whether a record of a book in a snapshot is an order of it, about whose times nothing is odd."""
    flags = record.flags & (SNAPSHOT | TOP_OF_BOOK)
    has_times = record.ts_event != UNDEFINED_TIMESTAMP and record.ts_recv != UNDEFINED_TIMESTAMP
    return record.action == A and flags == SNAPSHOT and has_times and source.oddity & (IN_SNAPSHOT | EXCLUDES) == IN_SNAPSHOT


@kernel
def add_snapshot(reader, source):
    """The orders of a snapshot that follow, up to the first record that is anything else: a million of them took 60 ns each by the rules for all records."""
    here = local(CURSOR)
    move(here, reader.here)
    while here.position <= reader.near_end and load_u64(here.position) == source.word:
        record = record_at(here.position, 0, MBO_RECORD)
        coming = load_u64(here.position + reader.to_prefetched + 16)
        prefetch(bucket_address(source.table, coming))
        prefetch(bucket_address(source.voided, coming))
        if not _is_of_snapshot(source, record):
            break
        last = record.flags & LAST
        here.begin(source, record.ts_event, record.ts_recv, record.sequence)
        bucket = bucket_address(source.table, record.order_id)
        if not add(reader, here, source, record, bucket, record.order_id, marks(NOTHING, SNAPSHOT | last), True):
            break
        source.snapshot_ended = last != 0
        source.snapshot_ts_event = record.ts_event
        source.snapshot_ts_recv = record.ts_recv
        source.snapshot_sequence = record.sequence
        here.position += reader.stride
    move(reader.here, here)
