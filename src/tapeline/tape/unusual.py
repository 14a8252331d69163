"""What is rare in an input: snapshots, top-of-book venues, odd times, other instruments, the end of the data.

These are calls that work on `Reader.here`, so that the common records' code stays small.
"""

import numpy as np

from tapeline.constants import TIME_END, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP
from tapeline.jit import kernel, leaf
from tapeline.memory import address_of, copy, load_u64, prefetch, record_at, unit
from tapeline.order_table import bucket_address, find, is_taken, wipe
from tapeline.tape.adds import is_no_side, level_of
from tapeline.tape.emit import JOINS, LEAVES, NOTHING, OFF_GRID_TICKS, count, emit, emit_nothing, next_stamp, ticks_of
from tapeline.tape.records import (
    ADD,
    BAD_RECORD,
    BAD_TS_RECV,
    BUFFER_FULL,
    CLEAR,
    COMING_OFFSET,
    COUNTER,
    DONE,
    EVENT,
    EVENT_SIZE,
    EVENTS_PER_USUAL_MAX,
    HEADER_SIZE,
    IN_SNAPSHOT,
    KEY,
    LAST,
    LOOKED_AT,
    MAYBE_BAD_BOOK,
    MBO_RECORD,
    N_BACKWARDS,
    N_BAD_BOOK,
    N_BAD_RECV,
    N_EXCLUDED,
    N_NO_CLEAR,
    N_NO_LAST,
    N_NO_SIDE,
    N_NO_TIME,
    N_OTHER_INSTRUMENT,
    N_RECV_FIRST,
    N_SKIPPED,
    N_UNKNOWN_M,
    NEED_DATA,
    NEW_INSTRUMENT,
    OFF_GRID,
    ORDER_ID,
    PREFETCH_RECORDS,
    PROCEED,
    REMOVE,
    RTYPE_MBO,
    SKIPPED,
    SNAPSHOT,
    SOURCE,
    SOURCE_SIZE,
    STATUS,
    TOP_OF_BOOK,
    A,
    C,
    M,
    R,
    side_index,
)  # fmt: skip

_FIBONACCI = np.uint64(0x9E3779B97F4A7C15)
_UNREGISTERED = np.int64(-2)
_ORDER_ID_OFFSET = np.int64(MBO_RECORD.fields["order_id"][1])


@kernel
def clear_book(reader, source, record):
    """CLEAR, with the orders put aside for the snapshot that may follow."""
    table, voided = source.table, source.voided
    slots, bits, room = table.slots, table.bits, table.room
    table.lay(voided.slots, voided.bits)
    voided.lay(slots, bits)
    source.voided_n = voided.room - room
    voided.room = room
    wipe(table)
    source.top_bid.size = 0
    source.top_ask.size = 0
    emit_nothing(reader.here, record, CLEAR, NOTHING)


@leaf
def before_unusual(reader, source, record):
    """Begins or ends a snapshot, counts odd times, and does the whole of a top-of-book record: DONE or OFF_GRID. PROCEED: the record is still to be done."""
    here = reader.here
    if record.flags & SNAPSHOT:
        reader.first = here.out
        if source.oddity & IN_SNAPSHOT == 0 and record.action != R:
            count(reader, N_NO_CLEAR)
            clear_book(reader, source, record)
        source.oddity |= IN_SNAPSHOT
        source.snapshot_ended = (record.flags & LAST) != 0
        source.snapshot_ts_event = _ts_event(record)
        source.snapshot_ts_recv = _ts_recv(record)
        source.snapshot_sequence = record.sequence
    else:
        if source.oddity & IN_SNAPSHOT:
            _end_snapshot(reader, source, record)
        reader.first = here.out
        _count_times(reader, source, record)
    if record.flags & TOP_OF_BOOK:
        return _on_top_of_book(reader, source, record)
    return PROCEED


@leaf
def _ts_event(record):
    return record.ts_recv if record.ts_event == UNDEFINED_TIMESTAMP else record.ts_event


@leaf
def _ts_recv(record):
    return record.ts_event if record.ts_recv == UNDEFINED_TIMESTAMP else record.ts_recv


@leaf
def is_no_time(record):
    """Rule 8: whether a record that is no SNAPSHOT is of a time that none can be. With their highest bit times are seen as negative."""
    ts_event, ts_recv = _ts_event(record), _ts_recv(record)
    return record.flags & SNAPSHOT == 0 and (min(ts_event, ts_recv) < 0 or max(ts_event, ts_recv) >= TIME_END)


@kernel
def _end_snapshot(reader, source, record):
    """The first record without SNAPSHOT: if the book's last one left its event open, STATUS ends it."""
    source.oddity &= ~IN_SNAPSHOT
    if source.snapshot_ended == 0:
        count(reader, N_NO_LAST)
        emit_nothing(reader.here, record, STATUS, LAST | SNAPSHOT)
        event = record_at(reader.here.out, -1, EVENT)
        event.ts_event = source.snapshot_ts_event
        event.ts_recv = source.snapshot_ts_recv
        event.sequence = source.snapshot_sequence


@kernel
def _count_times(reader, source, record):
    """Rule 8, for records that are no SNAPSHOT."""
    ts_event, ts_recv = _ts_event(record), _ts_recv(record)
    if record.ts_event == UNDEFINED_TIMESTAMP or record.ts_recv == UNDEFINED_TIMESTAMP:
        count(reader, N_NO_TIME)
    if ts_recv < ts_event:
        count(reader, N_RECV_FIRST)
    if record.flags & BAD_TS_RECV:
        count(reader, N_BAD_RECV)
    if record.flags & MAYBE_BAD_BOOK:
        count(reader, N_BAD_BOOK)
    if ts_event < source.ts_event:
        count(reader, N_BACKWARDS)
    source.ts_event = ts_event


@kernel
def is_excluded(reader, order_id):
    """Whether an order is to be taken out of the tape."""
    low, high = np.int64(0), reader.excluded_n
    while low < high:
        middle = (low + high) >> 1
        if record_at(reader.excluded, middle, ORDER_ID).order_id < order_id:
            low = middle + 1
        else:
            high = middle
    return low < reader.excluded_n and record_at(reader.excluded, low, ORDER_ID).order_id == order_id


@kernel
def take_out(reader, record):
    """Rule 12: an excluded order's ADDs and REMOVEs are not for the tape; its FILLs are."""
    if record.action != A and record.action != C and record.action != M:
        return
    count(reader, N_EXCLUDED)
    kept = np.int64(0)
    for i in range((reader.here.out - reader.first) // EVENT_SIZE):
        event = record_at(reader.first, i, EVENT)
        if event.kind == ADD or event.kind == REMOVE:
            continue
        if kept < i:
            copy(reader.first + kept * EVENT_SIZE, address_of(event), EVENT_SIZE)
        kept += 1
    reader.here.out = reader.first + kept * EVENT_SIZE


@leaf
def after_unusual(reader, record, last):
    """Mends the times of the record's tape events, marks those of a SNAPSHOT, and the last of them with `last`: a CLEAR may be all there is."""
    if reader.excluded_n > 0 and record.flags & TOP_OF_BOOK == 0 and is_excluded(reader, record.order_id):
        take_out(reader, record)
        if last and reader.here.out == reader.first:
            emit_nothing(reader.here, record, STATUS, LAST)
    ts_event, ts_recv, snapshot = _ts_event(record), _ts_recv(record), record.flags & SNAPSHOT
    place = reader.first
    while place < reader.here.out:
        event = record_at(place, 0, EVENT)
        event.ts_event = ts_event
        event.ts_recv = ts_recv
        event.flags |= snapshot
        place += EVENT_SIZE
    if last:
        record_at(place, -1, EVENT).flags |= LAST


@kernel
def _on_top_of_book(reader, source, record):
    """A, C, and M of an unknown id, of a top-of-book venue: the side is replaced, or emptied."""
    action = record.action
    if action == M and not is_taken(source.table, find(source.table, record.order_id)):
        count(reader, N_UNKNOWN_M)
    elif action != A and action != C:
        return PROCEED
    side = np.int64(record.side)
    if is_no_side(side):
        count(reader, N_NO_SIDE)
        return DONE
    ticks = np.int64(0)
    fills_side = action != C and record.price != UNDEFINED_PRICE and record.size > 0
    if fills_side:
        ticks = ticks_of(source, record.price)
        if ticks == OFF_GRID_TICKS:
            return OFF_GRID
    top = source.top_ask if side_index(side) else source.top_bid
    if top.size > 0:
        emit(reader.here, record, LEAVES | side << 16, np.int64(top.level), -top.size, top.priority)
        top.size = 0
    if fills_side:
        top.size = record.size
        top.level = level_of(side, ticks)
        top.priority = next_stamp(reader.here)
        emit(reader.here, record, JOINS | side << 16, np.int64(top.level), top.size, top.priority)
    return DONE


@kernel
def _lookup_instrument(reader, word):
    """Index of the book of a record's first word; -1 if it is not wanted, UNREGISTERED if it was never seen."""
    mask = np.uint64((1 << reader.keys_bits) - 1)
    place = (word * _FIBONACCI) >> np.uint64(64 - reader.keys_bits)
    while True:
        key = record_at(reader.keys, np.int64(place), KEY)
        if key.word == word:
            return key.source
        if key.word == 0:
            return _UNREGISTERED
        place = (place + np.uint64(1)) & mask


@leaf
def _look_ahead(reader):
    """Note how far the records reach that have others behind them, and room for two tape events each."""
    here = reader.here
    left = reader.end - here.position
    ahead = PREFETCH_RECORDS * reader.stride
    reader.to_next = reader.stride if left >= 2 * reader.stride else 0
    reader.to_prefetched = ahead if left >= ahead + reader.stride else 0
    with_room = (reader.out_end - here.out) // (EVENTS_PER_USUAL_MAX * EVENT_SIZE) * reader.stride
    reader.near_end = min(reader.end - reader.stride - max(reader.to_next, reader.to_prefetched), here.position + with_room)


@unit("ask_for_others")
def ask_for_others(reader):
    """Ask for what the next records will look at, which may be of as many books: for these, then for the buckets of the orders, which they tell.

    So all of them are waited for at once, and not one after the other: a record of one of five thousand takes 61 to 77 ns in place of 207 to 239, one of fifty
    50 to 57 in place of 77, one of four 30 to 49 in place of 65 to 81.
    """
    here, stride, coming = reader.here.position, reader.stride, address_of(reader) + COMING_OFFSET
    n = min((reader.end - here) // stride, LOOKED_AT)
    for i in range(n):
        source = reader.sources + max(_lookup_instrument(reader, load_u64(here + i * stride)), 0) * SOURCE_SIZE
        record_at(coming, i, COUNTER).n = source
        prefetch(source)
        prefetch(source + 64)
    for i in range(n):
        source = record_at(record_at(coming, i, COUNTER).n, 0, SOURCE)
        prefetch(bucket_address(source.table, load_u64(here + i * stride + _ORDER_ID_OFFSET)))
    reader.looked_to = here + n * stride
    return 0


@kernel
def select(reader):  # noqa: PLR0911 - one answer per reason
    """A record unlike the one before: of another type, another instrument, or close to the end of the data or of the buffer."""
    here = reader.here
    if here.out > reader.out_end:
        return BUFFER_FULL
    left = reader.end - here.position
    if left < HEADER_SIZE:
        return NEED_DATA
    word = load_u64(here.position)
    length, rtype = np.int64(word & np.uint64(0xFF)) * 4, np.int64((word >> np.uint64(8)) & np.uint64(0xFF))
    if length < HEADER_SIZE or (rtype == RTYPE_MBO and length != reader.stride):
        return BAD_RECORD
    if length > left:
        return NEED_DATA
    if rtype != RTYPE_MBO:
        count(reader, N_SKIPPED)
    else:
        if (here.position >= reader.looked_to) & (reader.ask_for_others != 0):
            ask_for_others(reader)
        index = _lookup_instrument(reader, word)
        if index == _UNREGISTERED:
            return NEW_INSTRUMENT
        if index >= 0:
            reader.index = index
            here.source = reader.sources + index * SOURCE_SIZE
            record_at(here.source, 0, SOURCE).word = word
            _look_ahead(reader)
            return PROCEED
        count(reader, N_OTHER_INSTRUMENT)
        reader.records += 1
    here.position += length
    return SKIPPED


@kernel
def event_goes_on(reader):
    """Whether the next record of the file belongs to the same event, though this one says LAST: 0, 1, or NEED_DATA."""
    record = record_at(reader.here.position, 0, MBO_RECORD)
    position = reader.here.position + reader.stride
    while position + HEADER_SIZE <= reader.end:
        word = load_u64(position)
        length = np.int64(word & np.uint64(0xFF)) * 4
        if (word >> np.uint64(8)) & np.uint64(0xFF) == RTYPE_MBO or length < HEADER_SIZE:
            if position + reader.stride > reader.end:
                break
            other = record_at(position, 0, MBO_RECORD)
            same = word == load_u64(reader.here.position) and other.ts_event == record.ts_event and other.sequence == record.sequence
            return 1 if same and (other.flags | record.flags) & SNAPSHOT == 0 else 0
        position += length
    return 0 if reader.final else NEED_DATA
