"""The normaliser's words, and the shapes of what it reads, writes and keeps."""

from typing import Final

import numpy as np

from tapeline.constants import Action, Kind, RecordFlag, Side, TapeFlag
from tapeline.jit import inlined, leaf
from tapeline.memory import record_at
from tapeline.order_table import Table
from tapeline.record import Record, int8, int32, int64, uint8, uint16, uint32, uint64

A, C, M, R, T, F, N = (np.int64(a) for a in (Action.ADD, Action.CANCEL, Action.MODIFY, Action.CLEAR, Action.TRADE, Action.FILL, Action.NONE))
BID, ASK, NO_SIDE = np.int64(Side.BID), np.int64(Side.ASK), np.int64(Side.NONE)
ADD, REMOVE, FILL, TRADE, CLEAR, STATUS = (np.int64(k) for k in (Kind.ADD, Kind.REMOVE, Kind.FILL, Kind.TRADE, Kind.CLEAR, Kind.STATUS))
LAST, SNAPSHOT, TOP_OF_BOOK = np.int64(RecordFlag.LAST), np.int64(RecordFlag.SNAPSHOT), np.int64(RecordFlag.TOP_OF_BOOK)
BAD_TS_RECV, MAYBE_BAD_BOOK = np.int64(RecordFlag.BAD_TS_RECV), np.int64(RecordFlag.MAYBE_BAD_BOOK)
MODIFIED, EXCESS = np.int64(TapeFlag.MODIFIED), np.int64(TapeFlag.EXCESS)
RTYPE_MBO: Final = 160
HEADER_SIZE: Final = 16
IN_SNAPSHOT, EXCLUDES = np.uint8(1), np.uint8(2)

# what normalise() answers; PROCEED, SKIPPED and DONE stay inside
PROCEED, SKIPPED, DONE, BUFFER_FULL, NEED_DATA, NEW_INSTRUMENT, TABLE_FULL, OFF_GRID, NO_TIME, BAD_RECORD = range(10)
EVENTS_PER_RECORD_MAX: Final = 6
"""Room that a record must find: STATUS or CLEAR for a snapshot, then up to REMOVE and ADD, or two FILLs."""
EVENTS_PER_USUAL_MAX: Final = 2
"""Of a usual record: REMOVE and ADD."""

_ACTIONS: Final = (A, C, M, R, T, F, N)
COUNTERS: Final = (
    "records_skipped", "records_other_instruments",
    "adds_of_live_id", "modifies_unknown", "cancels_unknown", "cancels_partial", "cancels_oversized", "fills_unknown", "fills_of_aggressor",
    "fills_beyond_displayed", "iceberg_refills", "sides_missing", "prices_undefined", "sizes_zero", "snapshots_without_clear", "snapshots_without_last",
    "records_excluded", "timestamps_undefined", "ts_recv_before_ts_event", "ts_event_backwards", "bad_ts_recv", "maybe_bad_book",
)  # fmt: skip
"""Names of the normaliser's counters, in order."""
(
    N_SKIPPED, N_OTHER_INSTRUMENT,
    N_LIVE_ADD, N_UNKNOWN_M, N_UNKNOWN_C, N_PARTIAL_C, N_OVERSIZED_C, N_UNKNOWN_F, N_AGGRESSOR_F,
    N_BEYOND, N_REFILL, N_NO_SIDE, N_NO_PRICE, N_ZERO, N_NO_CLEAR, N_NO_LAST,
    N_EXCLUDED, N_NO_TIME, N_RECV_FIRST, N_BACKWARDS, N_BAD_RECV, N_BAD_BOOK,
) = (np.int64(n) for n in range(len(COUNTERS)))  # fmt: skip


@leaf
def side_index(side):
    """0 for BID, 1 for ASK: the last bit of the letter, so that nothing is compared; 0 where there is no side."""
    return np.int64(side) & 1


def counters_by_name(counts: "np.ndarray", actions: "np.ndarray") -> dict[str, int]:
    """All counters by name, from those above and the numbers of records by action byte."""
    by_action = {f"records_{chr(int(a))}": int(actions[a]) for a in _ACTIONS}
    records = int(actions.sum())
    return {"records": records, **by_action, "actions_unknown": records - sum(by_action.values())} | {
        name: int(n) for name, n in zip(COUNTERS, counts, strict=True)
    }


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


class Unmarked(Record):
    """What a tape event has besides its marks."""

    ts_event: int64
    ts_recv: int64
    delta: int64
    priority: int64
    level: int32
    sequence: uint32
    instrument: uint32


class TapeEvent(Unmarked):
    """`schema.TAPE_EVENT` with attributes."""

    kind: uint8
    flags: uint8
    side: uint8
    orders: int8  # by how much their number at the level changes


class MarkedEvent(Unmarked):
    """The same bytes, kind, flags, side and orders in one word."""

    marks: uint32


class Top(Record):
    """The one order per side that a top-of-book venue shows."""

    size: int64
    priority: int64
    level: int32


class Source(Record):
    """What the normaliser keeps of one book: two cache lines for usual records, and two for the others."""

    index: int64  # of the book
    word: uint64  # first eight bytes of its last record: length, type, publisher, instrument; equal means same book
    table: Table
    ts_event: int64  # of the last record that was no SNAPSHOT; 0: there was none
    # ---
    grid_shift: uint64  # trailing zero bits of the grid
    grid_inverse: uint64  # modular inverse of its odd part: exact division by one multiplication
    ticks_max: int64  # a book takes prices from minus to plus so many
    ticks_span: uint64  # twice that
    price_span: uint64  # the price of `ticks_max`
    trade_order_id: uint64
    grid: int64
    snapshot_sequence: uint32
    oddity: uint8  # why no record is usual: IN_SNAPSHOT; EXCLUDES, it may be of an order that is taken out
    snapshot_ended: uint8
    # ---
    voided: Table  # the orders that the last CLEAR voided
    voided_n: int64
    snapshot_ts_event: int64  # of the last SNAPSHOT record, for the STATUS that may have to end it
    snapshot_ts_recv: int64
    top_bid: Top
    top_ask: Top
    spare: (int64, (2,))  # type: ignore[syntax]


LOOKED_AT: Final = 32
"""So many records on, where there are many books, what they will look at is asked for."""


class Cursor(Record):
    """Where the normaliser stands. Its loop has one of its own, which LLVM keeps in registers; `Reader.here` is brought up to date for whoever else looks."""

    position: int64  # address of the next input byte
    out: int64  # address of the next tape event
    stamp: int64  # the next priority stamp
    source: int64  # address of that book's Source record

    @inlined
    def begin(self, source, ts_event, ts_recv, sequence):
        """What the next tape event has from its record, whatever it will be."""
        event = record_at(self.out, 0, MARKED_EVENT)
        event.ts_event = ts_event
        event.ts_recv = ts_recv
        event.sequence = sequence
        event.instrument = source.index

    @inlined
    def put(self, marked, level, delta, priority):
        """The rest of the tape event that was begun."""
        event = record_at(self.out, 0, MARKED_EVENT)
        event.delta = delta
        event.priority = priority
        event.level = level
        event.marks = marked
        self.out += EVENT_SIZE

    @inlined
    def follow(self, source, ts_event, ts_recv, sequence):
        """As begin, of a record's second tape event."""
        self.begin(source, ts_event, ts_recv, sequence)

    @inlined
    def is_stopped(self, _last):
        """Whether somebody else has to act behind the record that was done."""
        return False


class Reader(Record):
    """State of the normaliser: input, output, and the counters."""

    here: Cursor
    index: int64  # of the book of the last record
    records: int64  # MBO records read, of all instruments
    end: int64
    near_end: int64  # records up to this address find room, and others behind them and PREFETCH_RECORDS on, by these distances; 0 where the data ends before
    to_next: int64
    to_prefetched: int64
    stride: int64  # of an MBO record: 56, or 64 with ts_out
    looked_to: int64  # where there are many books, those of the records up to this address were asked for
    coming: (int64, (LOOKED_AT,))  # type: ignore[syntax]  # addresses of their Source records
    final: int64  # 1: no more bytes of this file follow
    sources: int64  # address of the Source records
    keys: int64  # address of the instrument hash: Key records
    keys_bits: int64
    out: int64  # address of the tape events
    out_capacity: int64
    out_end: int64  # behind this address a record may not find the room it needs
    n: int64  # tape events written
    counters: int64  # address
    actions: int64  # address of the numbers of records by action: 256 counters
    trades: int64  # records that are not yet counted there: those that the loop has done by itself
    fills: int64
    modifies: int64
    cancels: int64
    adds: int64
    excluded: int64  # address of the sorted ids of orders to take out of the tape
    excluded_n: int64
    first: int64  # address of the first tape event of the record at hand
    do_record: int64  # addresses of units
    replay: int64  # address of the Replay that records go into at once (market.direct)
    ask_for_others: int64  # 0: there is one book


class OrderId(Record):
    """One id."""

    order_id: uint64


class Counter(Record):
    """One counter."""

    n: int64


class Key(Record):
    """One entry of the instrument hash; word 0: empty."""

    word: uint64
    source: int64


MBO_RECORD, EVENT, MARKED_EVENT, SOURCE, KEY, COUNTER = Mbo.dtype_, TapeEvent.dtype_, MarkedEvent.dtype_, Source.dtype_, Key.dtype_, Counter.dtype_
ORDER_ID: Final = OrderId.dtype_
CURSOR: Final = Cursor.dtype_
EVENT_SIZE: Final = EVENT.itemsize
SOURCE_SIZE: Final = SOURCE.itemsize
COMING_OFFSET: Final = np.int64(Reader.dtype_.fields["coming"][1])
PREFETCH_RECORDS: Final = 16
"""The order table's line for so many records on is asked for."""
