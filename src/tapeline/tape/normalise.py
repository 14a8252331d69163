"""DBN records → tape events, one compiled pass over a chunk that stays in the cache.

The rules are those of docs/ARCHITECTURE.md, in numbers; `tapeline.reference.normaliser` says the same at leisure. The common case walks straight through;
whatever is unusual (a snapshot, a top-of-book venue, a clock that ran backwards) is seen by one combined test and handled out of line.
"""

from typing import Final

import numpy as np

from tapeline.constants import LEVEL_MAX, UNDEFINED_PRICE, Action, Kind, RecordFlag, Side, TapeFlag
from tapeline.jit import entry, kernel, leaf
from tapeline.memory import load_u64, prefetch, record_at
from tapeline.record import Record, int32, int64, uint8, uint16, uint32, uint64
from tapeline.tape.order_table import SLOT, Table, erase, find, is_taken, slot_address, wipe

A, C, M, R, T, F, N = (np.int64(a) for a in (Action.ADD, Action.CANCEL, Action.MODIFY, Action.CLEAR, Action.TRADE, Action.FILL, Action.NONE))
BID, ASK, NO_SIDE = np.int64(Side.BID), np.int64(Side.ASK), np.int64(Side.NONE)
ADD, REMOVE, FILL, TRADE, CLEAR, STATUS = (np.int64(k) for k in (Kind.ADD, Kind.REMOVE, Kind.FILL, Kind.TRADE, Kind.CLEAR, Kind.STATUS))
LAST, SNAPSHOT, TOP_OF_BOOK = np.int64(RecordFlag.LAST), np.int64(RecordFlag.SNAPSHOT), np.int64(RecordFlag.TOP_OF_BOOK)
BAD_TS_RECV, MAYBE_BAD_BOOK = np.int64(RecordFlag.BAD_TS_RECV), np.int64(RecordFlag.MAYBE_BAD_BOOK)
GONE, MODIFIED, EXCESS = np.int64(TapeFlag.GONE), np.int64(TapeFlag.MODIFIED), np.int64(TapeFlag.EXCESS)
UNUSUAL_FLAGS: Final = TOP_OF_BOOK | SNAPSHOT | BAD_TS_RECV | MAYBE_BAD_BOOK

# what normalise() answers
PROCEED, SKIPPED, BUFFER_FULL, NEED_DATA, NEW_INSTRUMENT, TABLE_FULL, OFF_GRID, BAD_RECORD = range(8)
EVENTS_PER_RECORD_MAX: Final = 6
"""Tape events that one record yields at most: STATUS or CLEAR for a snapshot, then up to REMOVE, REMOVE, ADD."""
PREFETCH_RECORDS: Final = 16

COUNTERS: Final = (
    *(f"records_{chr(int(a))}" for a in (A, C, M, R, T, F, N)), "actions_unknown", "records_skipped", "records_other_instruments",
    "adds_of_live_id", "modifies_unknown", "cancels_unknown", "cancels_partial", "cancels_oversized", "fills_unknown", "fills_of_aggressor",
    "fills_beyond_displayed", "iceberg_refills", "sides_missing", "prices_undefined", "sizes_zero", "snapshots_without_clear", "snapshots_without_last",
    "timestamps_undefined", "ts_recv_before_ts_event", "ts_event_backwards", "bad_ts_recv", "maybe_bad_book",
)  # fmt: skip
"""Names of the normaliser's counters, in order."""
(
    N_A, N_C, N_M, N_R, N_T, N_F, N_N, N_UNKNOWN_ACTION, N_SKIPPED, N_OTHER_INSTRUMENT,
    N_LIVE_ADD, N_UNKNOWN_M, N_UNKNOWN_C, N_PARTIAL_C, N_OVERSIZED_C, N_UNKNOWN_F, N_AGGRESSOR_F,
    N_BEYOND, N_REFILL, N_NO_SIDE, N_NO_PRICE, N_ZERO, N_NO_CLEAR, N_NO_LAST,
    N_NO_TIME, N_RECV_FIRST, N_BACKWARDS, N_BAD_RECV, N_BAD_BOOK,
) = (np.int64(n) for n in range(len(COUNTERS)))  # fmt: skip


class Mbo(Record, packed=True):
    """`schema.MBO` with attributes; may lie unaligned."""

    length: uint8
    rtype: uint8
    publisher_id: uint16
    instrument_id: uint32
    ts_event: int64
    order_id: uint64
    price: int64
    size: uint32
    flags: uint8
    channel_id: uint8
    action: uint8
    side: uint8
    ts_recv: int64
    ts_in_delta: int32
    sequence: uint32


class TapeEvent(Record):
    """`schema.TAPE_EVENT` with attributes."""

    ts_event: int64
    ts_recv: int64
    delta: int64
    priority: int64
    level: int32
    sequence: uint32
    instrument: uint32
    kind: uint8
    flags: uint8
    side: uint8
    spare: uint8


class Top(Record):
    """The one order per side that a top-of-book venue shows."""

    size: int64
    priority: int64
    level: int32


class Source(Record):
    """What the normaliser keeps of one book."""

    table: Table
    voided: Table  # the orders that the last CLEAR voided
    grid: int64
    grid_shift: int64  # trailing zero bits of the grid
    grid_inverse: uint64  # modular inverse of its odd part: exact division by one multiplication
    ticks_max: int64
    ts_event: int64  # of the last record that was no SNAPSHOT
    trade_order_id: uint64
    snapshot_ts_event: int64  # of the last SNAPSHOT record, for the STATUS that may have to end it
    snapshot_ts_recv: int64
    snapshot_sequence: uint32
    in_snapshot: uint8
    snapshot_ended: uint8
    top_bid: Top
    top_ask: Top


class Reader(Record):
    """State of the normaliser: input, output, and the counters."""

    position: int64  # address of the next input byte
    end: int64
    stride: int64  # of an MBO record: 56, or 64 with ts_out
    final: int64  # 1: no more bytes of this file follow
    word: uint64  # first eight bytes of the last record: length, type, publisher, instrument; equal means same book
    source: int64  # index of that book; -1: not wanted
    sources: int64  # address of the Source records
    keys: int64  # address of the instrument hash: Key records
    keys_bits: int64
    out: int64  # address of the tape events
    out_capacity: int64
    n: int64  # tape events written
    stamp: int64  # the next priority stamp
    records: int64
    counters: int64  # address


class Counter(Record):
    """One counter."""

    n: int64


class Key(Record):
    """One entry of the instrument hash; word 0: empty."""

    word: uint64
    source: int64


MBO_RECORD, EVENT, SOURCE, KEY, COUNTER = Mbo.dtype_, TapeEvent.dtype_, Source.dtype_, Key.dtype_, Counter.dtype_
_FIBONACCI: Final = np.uint64(0x9E3779B97F4A7C15)
_RTYPE_MBO: Final = 160


HEADER_SIZE: Final = 16
OFF_GRID_TICKS: Final = -(2**62)


UNREGISTERED: Final = -2


@leaf
def count(reader, which, n):
    """Add to a counter."""
    record_at(reader.counters, which, COUNTER).n += n


@kernel
def lookup_instrument(reader, word):
    """Index of the book of a record's first word; -1 if it is not wanted, UNREGISTERED if it was never seen."""
    mask = np.uint64((1 << reader.keys_bits) - 1)
    place = (word * _FIBONACCI) >> np.uint64(64 - reader.keys_bits)
    while True:
        key = record_at(reader.keys, np.int64(place), KEY)
        if key.word == word:
            return key.source
        if key.word == 0:
            return np.int64(UNREGISTERED)
        place = (place + np.uint64(1)) & mask


@leaf
def ticks_of(source, price):
    """A price in ticks of the grid, or OFF_GRID_TICKS. Exact division by the modular inverse: subtract, shift, multiply, no divide."""
    ticks = np.int64(np.uint64(price >> source.grid_shift) * source.grid_inverse)
    if abs(ticks) > source.ticks_max or ticks * source.grid != price:
        return np.int64(OFF_GRID_TICKS)
    return ticks


@leaf
def emit(reader, record, kind, level, delta):
    """The next tape event, with what every kind has; the caller adds priority, side and flags."""
    event = record_at(reader.out, reader.n, EVENT)
    reader.n += 1
    event.ts_event = record.ts_event
    event.ts_recv = record.ts_recv
    event.delta = delta
    event.level = level
    event.sequence = record.sequence
    event.instrument = reader.source
    event.kind = kind
    event.flags = 0
    return event


@leaf
def emit_place(reader, record, slot, kind, delta, flags):
    """A tape event at the place of a resting order."""
    event = emit(reader, record, kind, slot.level, delta)
    event.priority = abs(slot.priority)
    event.side = ASK if slot.priority < 0 else BID
    event.flags = flags


@leaf
def next_stamp(reader):
    """A new priority stamp."""
    reader.stamp += 1
    return reader.stamp - 1


@leaf
def remove_order(reader, record, table, place, flags):
    """An order leaves whole."""
    slot = record_at(table.slots, place, SLOT)
    emit_place(reader, record, slot, REMOVE, -slot.size, GONE | flags)
    erase(table, place)


@leaf
def stamp_for(reader, source, record, level, is_ask):
    """The next stamp; in a snapshot, the old one of an order that was live at this place when the book was voided. Negative for asks."""
    if record.flags & SNAPSHOT:
        place = find(source.voided, record.order_id)
        if is_taken(source.voided, place):
            old = record_at(source.voided.slots, place, SLOT)
            if old.level == level and (old.priority < 0) == is_ask:
                return old.priority
    stamp = next_stamp(reader)
    return -stamp if is_ask else stamp


@leaf
def place_order(reader, source, record, level, is_ask, flags):
    """An order joins the back of a level."""
    table = source.table
    slot = record_at(table.slots, find(table, record.order_id), SLOT)
    table.live += 1
    slot.order_id = record.order_id
    slot.size = record.size
    slot.level = level
    slot.filled = 0
    slot.priority = stamp_for(reader, source, record, level, is_ask)
    emit_place(reader, record, slot, ADD, slot.size, flags)


@leaf
def on_add(reader, source, record):
    """A, and M of an unknown id."""
    table = source.table
    place = find(table, record.order_id)
    if is_taken(table, place):
        count(reader, N_LIVE_ADD, 1)
        remove_order(reader, record, table, place, 0)
    if record.side != BID and record.side != ASK:
        count(reader, N_NO_SIDE, 1)
    elif record.price == UNDEFINED_PRICE:
        count(reader, N_NO_PRICE, 1)
    elif record.size == 0:
        count(reader, N_ZERO, 1)
    else:
        ticks = ticks_of(source, record.price)
        if ticks == OFF_GRID_TICKS:
            return OFF_GRID
        is_ask = record.side == ASK
        place_order(reader, source, record, -ticks if is_ask else ticks, is_ask, 0)
    return PROCEED


@leaf
def on_cancel(reader, source, record):
    """C: the order loses what the record says, at most what it has."""
    table = source.table
    place = find(table, record.order_id)
    if not is_taken(table, place):
        count(reader, N_UNKNOWN_C, 1)
        return
    if record.size == 0:
        count(reader, N_ZERO, 1)
        return
    slot = record_at(table.slots, place, SLOT)
    size = np.int64(record.size)
    if size >= slot.size:
        count(reader, N_OVERSIZED_C, size > slot.size)
        remove_order(reader, record, table, place, 0)
    else:
        count(reader, N_PARTIAL_C, 1)
        emit_place(reader, record, slot, REMOVE, -size, 0)
        slot.size -= size
        slot.filled = 0


@leaf
def on_modify(reader, source, record):
    """M: keeps its priority if it stays at its level and does not grow beyond what the FILLs left; otherwise it queues anew."""
    table = source.table
    place = find(table, record.order_id)
    if not is_taken(table, place):
        count(reader, N_UNKNOWN_M, 1)
        return on_add(reader, source, record)
    if record.size == 0:
        count(reader, N_ZERO, 1)
        remove_order(reader, record, table, place, 0)
        return PROCEED
    if record.price == UNDEFINED_PRICE:
        count(reader, N_NO_PRICE, 1)
        return PROCEED
    slot = record_at(table.slots, place, SLOT)
    is_ask = slot.priority < 0
    if record.side == BID or record.side == ASK:
        is_ask = record.side == ASK
    ticks = ticks_of(source, record.price)
    if ticks == OFF_GRID_TICKS:
        return OFF_GRID
    level = -ticks if is_ask else ticks
    size = np.int64(record.size)
    stays = level == slot.level and is_ask == (slot.priority < 0)
    if stays and size <= slot.size - slot.filled:
        if size != slot.size:
            emit_place(reader, record, slot, REMOVE, size - slot.size, 0)
        slot.size = size
        slot.filled = 0
    else:
        count(reader, N_REFILL, stays and slot.filled > 0)
        remove_order(reader, record, table, place, MODIFIED)
        place_order(reader, source, record, level, is_ask, MODIFIED)
    return PROCEED


@leaf
def on_fill(reader, source, record):
    """F: the aggressor's own is ignored; what exceeds the displayed rest of an order came from refills behind and is a FILL of its own, with a new stamp."""
    if record.order_id == source.trade_order_id and record.order_id != 0:
        count(reader, N_AGGRESSOR_F, 1)
        return
    table = source.table
    place = find(table, record.order_id)
    if not is_taken(table, place):
        count(reader, N_UNKNOWN_F, 1)
        return
    size = np.int64(record.size)
    if size == 0:
        count(reader, N_ZERO, 1)
        return
    slot = record_at(table.slots, place, SLOT)
    displayed = min(size, max(slot.size - slot.filled, 0))
    if displayed > 0:
        emit_place(reader, record, slot, FILL, -displayed, 0)
    if size > displayed:
        count(reader, N_BEYOND, 1)
        emit_place(reader, record, slot, FILL, displayed - size, EXCESS)
        record_at(reader.out, reader.n - 1, EVENT).priority = next_stamp(reader)
    slot.filled = np.uint32(min(slot.filled + size, 0xFFFFFFFF))


@leaf
def on_trade(reader, source, record):
    """T: the print. Its exact price travels in `priority`, for prints lie between ticks at times."""
    source.trade_order_id = record.order_id
    level = max(min(record.price // source.grid, LEVEL_MAX + 1), -LEVEL_MAX - 1)
    event = emit(reader, record, TRADE, level, np.int64(record.size))
    event.priority = record.price
    event.side = record.side


@kernel
def clear_book(reader, source, record, flags):
    """CLEAR, with the orders put aside for the snapshot that may follow."""
    table, voided = source.table, source.voided
    table.slots, voided.slots = voided.slots, table.slots
    table.bits, voided.bits = voided.bits, table.bits
    table.live, voided.live = voided.live, table.live
    wipe(table)
    source.top_bid.size = 0
    source.top_ask.size = 0
    event = emit(reader, record, CLEAR, 0, 0)
    event.priority = 0
    event.side = NO_SIDE
    event.flags = flags


@kernel
def on_top_of_book(reader, source, record):
    """A or C of a top-of-book venue: the side is replaced, or emptied."""
    if record.side != BID and record.side != ASK:
        count(reader, N_NO_SIDE, 1)
        return PROCEED
    is_ask = record.side == ASK
    top = source.top_ask if is_ask else source.top_bid
    ticks = np.int64(0)
    fills_side = record.action == A and record.price != UNDEFINED_PRICE and record.size > 0
    if fills_side:
        ticks = ticks_of(source, record.price)
        if ticks == OFF_GRID_TICKS:
            return OFF_GRID
    if top.size > 0:
        event = emit(reader, record, REMOVE, top.level, -top.size)
        event.priority = top.priority
        event.side = record.side
        event.flags = GONE
        top.size = 0
    if fills_side:
        top.size = record.size
        top.level = -ticks if is_ask else ticks
        top.priority = next_stamp(reader)
        event = emit(reader, record, ADD, top.level, top.size)
        event.priority = top.priority
        event.side = record.side
    return PROCEED


@kernel
def before_unusual(reader, source, record):
    """Counts what is odd about a record, and begins or ends a snapshot, before the record itself is looked at."""
    count(reader, N_BAD_BOOK, (record.flags & MAYBE_BAD_BOOK) != 0)
    if record.flags & SNAPSHOT:
        if source.in_snapshot == 0 and record.action != R:
            count(reader, N_NO_CLEAR, 1)
            clear_book(reader, source, record, SNAPSHOT)
        source.in_snapshot = 1
        source.snapshot_ended = (record.flags & LAST) != 0
        source.snapshot_ts_event = record.ts_event
        source.snapshot_ts_recv = record.ts_recv
        source.snapshot_sequence = record.sequence
        return
    count(reader, N_BAD_RECV, (record.flags & BAD_TS_RECV) != 0)
    if record.ts_event < 0 or record.ts_recv < 0:
        count(reader, N_NO_TIME, 1)
    elif record.ts_recv < record.ts_event:
        count(reader, N_RECV_FIRST, 1)
    if source.in_snapshot:
        source.in_snapshot = 0
        if source.snapshot_ended == 0:
            count(reader, N_NO_LAST, 1)
            event = emit(reader, record, STATUS, 0, 0)
            event.ts_event = source.snapshot_ts_event
            event.ts_recv = source.snapshot_ts_recv
            event.sequence = source.snapshot_sequence
            event.priority = 0
            event.side = NO_SIDE
            event.flags = LAST | SNAPSHOT


@kernel
def after_unusual(reader, source, record, first):
    """Marks the tape events of a SNAPSHOT record, mends undefined times, and sees whether the book's clock ran backwards."""
    if record.flags & SNAPSHOT:
        for i in range(first, reader.n):
            record_at(reader.out, i, EVENT).flags |= SNAPSHOT
        return
    ts_event = record.ts_recv if record.ts_event < 0 else record.ts_event
    for i in range(first, reader.n):
        event = record_at(reader.out, i, EVENT)
        event.ts_event = ts_event
        event.ts_recv = record.ts_event if record.ts_recv < 0 else record.ts_recv
    if ts_event < source.ts_event:
        count(reader, N_BACKWARDS, 1)
    source.ts_event = ts_event


@kernel
def select(reader, word):
    """A record unlike the one before: of another type, another instrument, or close to the end of the data."""
    length, rtype = np.int64(word & np.uint64(0xFF)) * 4, np.int64((word >> np.uint64(8)) & np.uint64(0xFF))
    if length < HEADER_SIZE or (rtype == _RTYPE_MBO and length != reader.stride):
        return BAD_RECORD
    if reader.position + length > reader.end:
        return NEED_DATA
    source = np.int64(-1)
    if rtype != _RTYPE_MBO:
        count(reader, N_SKIPPED, 1)
    else:
        source = lookup_instrument(reader, word)
        if source >= 0:
            reader.word = word
            reader.source = source
            return PROCEED
        if source == UNREGISTERED:
            return NEW_INSTRUMENT
        count(reader, N_OTHER_INSTRUMENT, 1)
        reader.records += 1
    reader.position += length
    return SKIPPED


@leaf
def event_goes_on(reader, record):
    """Whether the next record of the file belongs to the same event, though this one says LAST: 0, 1, or NEED_DATA."""
    position = reader.position + reader.stride
    while position + HEADER_SIZE <= reader.end:
        word = load_u64(position)
        length = np.int64(word & np.uint64(0xFF)) * 4
        if (word >> np.uint64(8)) & np.uint64(0xFF) == _RTYPE_MBO or length < HEADER_SIZE:
            if position + reader.stride > reader.end:
                break
            other = record_at(position, 0, MBO_RECORD)
            same = word == load_u64(reader.position) and other.ts_event == record.ts_event and other.sequence == record.sequence
            return 1 if same and (other.flags | record.flags) & SNAPSHOT == 0 else 0
        position += length
    return 0 if reader.final else NEED_DATA


@leaf
def dispatch(reader, source, record):
    """One record into its tape events; PROCEED or OFF_GRID."""
    action = record.action
    if action == A:
        count(reader, N_A, 1)
        return on_add(reader, source, record)
    if action == C:
        count(reader, N_C, 1)
        on_cancel(reader, source, record)
    elif action == M:
        count(reader, N_M, 1)
        return on_modify(reader, source, record)
    elif action == F:
        count(reader, N_F, 1)
        on_fill(reader, source, record)
    elif action == T:
        count(reader, N_T, 1)
        on_trade(reader, source, record)
    elif action == R:
        count(reader, N_R, 1)
        clear_book(reader, source, record, 0)
    else:
        count(reader, N_N if action == N else N_UNKNOWN_ACTION, 1)
    return PROCEED


@kernel
def dispatch_unusual(reader, source, record):
    """As dispatch, for top-of-book records."""
    if record.flags & TOP_OF_BOOK and (record.action == A or record.action == C):
        count(reader, N_A if record.action == A else N_C, 1)
        return on_top_of_book(reader, source, record)
    return dispatch(reader, source, record)


@entry
def normalise(reader):
    """Turn records into tape events until the buffer is full, the data ends, or the driver has to act; says which."""
    stride = reader.stride
    while True:
        position = reader.position
        available = reader.end - position
        if reader.n + EVENTS_PER_RECORD_MAX > reader.out_capacity:
            return BUFFER_FULL
        if available < HEADER_SIZE:
            return NEED_DATA
        word = load_u64(position)
        if word != reader.word or available < stride:
            status = select(reader, word)
            if status == SKIPPED:
                continue
            if status != PROCEED:
                return status
        record = record_at(position, 0, MBO_RECORD)
        source = record_at(reader.sources, reader.source, SOURCE)
        ends = record.flags & LAST
        if ends:
            goes_on = event_goes_on(reader, record)
            if goes_on == NEED_DATA:
                return NEED_DATA
            ends = 0 if goes_on else LAST
        if source.table.live * 2 >= 1 << source.table.bits:
            return TABLE_FULL
        if available > (PREFETCH_RECORDS + 1) * stride:
            prefetch(slot_address(source.table, load_u64(position + PREFETCH_RECORDS * stride + 16)))
        unusual = (record.flags & UNUSUAL_FLAGS) | source.in_snapshot | (record.ts_event < source.ts_event) | (record.ts_recv < record.ts_event)
        if unusual:
            before_unusual(reader, source, record)
            first = reader.n
            status = dispatch_unusual(reader, source, record)
            after_unusual(reader, source, record, first)
        else:
            source.ts_event = record.ts_event
            first = reader.n
            status = dispatch(reader, source, record)
        if status != PROCEED:
            return status
        if ends:
            if reader.n == first:
                event = emit(reader, record, STATUS, 0, 0)
                event.priority = 0
                event.side = NO_SIDE
                if unusual:
                    after_unusual(reader, source, record, first)
            record_at(reader.out, reader.n - 1, EVENT).flags |= LAST
        reader.records += 1
        reader.position = position + stride
