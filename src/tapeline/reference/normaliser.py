"""From DBN records to tape events: order ids become resting places, prices become levels. The rules are numbered as in docs/ARCHITECTURE.md."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tapeline.constants import LEVEL_MAX, TIME_END, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP, Action, Kind, RecordFlag, Side, TapeFlag
from tapeline.errors import DataError
from tapeline.instruments import Instrument, Instruments, Key
from tapeline.reference.records import Chunks, MboTuple, Record, records_with_next
from tapeline.reference.tape import TapeEvent

CHANGES: Final = (Action.ADD, Action.CANCEL, Action.MODIFY)
SIDES: Final = (Side.BID, Side.ASK)
ANOMALIES: Final = (
    "records_other_instruments", "records_skipped", "actions_unknown", "adds_of_live_id", "sides_missing", "prices_undefined", "sizes_zero",
    "cancels_unknown", "cancels_oversized", "cancels_partial", "modifies_unknown", "iceberg_refills",
    "fills_of_aggressor", "fills_unknown", "fills_beyond_displayed", "snapshots_without_clear", "snapshots_without_last",
    "records_excluded", "timestamps_undefined", "ts_recv_before_ts_event", "bad_ts_recv", "maybe_bad_book", "ts_event_backwards",
)  # fmt: skip
COUNTERS: Final = ("records", *(f"records_{chr(a)}" for a in Action), "events", *(f"tape_{k.name}" for k in Kind), *ANOMALIES)
"""Every counter of the normaliser; all exist in a result, even at 0."""
TAPE_COUNTERS: Final = {int(kind): f"tape_{kind.name}" for kind in Kind}
"""Kind of a tape event → the counter of those."""


@dataclass(slots=True)
class RestingOrder:
    """An order of history in its place."""

    side: int
    level: int
    size: int
    stamp: int
    filled: int = 0
    """What FILLs took since the order's last change; the C or M that follows takes it out of `size`."""


@dataclass(slots=True)
class Source:
    """What the normaliser remembers of one book."""

    instrument: Instrument
    orders: dict[int, RestingOrder] = field(default_factory=dict)
    voided: dict[int, RestingOrder] = field(default_factory=dict)
    """The orders that the last CLEAR voided: a snapshot may bring them back with their old stamps."""
    top: dict[int, RestingOrder] = field(default_factory=dict)
    """Per side, the one order that a top-of-book venue shows."""
    in_snapshot: bool = False
    trade_order_id: int = 0
    previous: Record | None = None
    ts_event: int | None = None
    """Of the last record that was no SNAPSHOT."""


class Normaliser:
    """Turns records into tape events, one record at a time. `counters` is shared with whoever reports them."""

    def __init__(self, instruments: Instruments, counters: dict[str, int]) -> None:
        """Start with no book, and with every counter at 0."""
        self.instruments = instruments
        self.counters = counters
        for name in COUNTERS:
            counters.setdefault(name, 0)
        self._sources: dict[Key, Source | None] = {}
        self._stamp = 0
        self._records_read = 0
        """MBO records of the file at hand."""
        self._is_file_new = True
        """Whether the next record is a file's first."""
        self._out: list[TapeEvent] = []
        self._record: Record
        self._instrument: Instrument
        self._handlers: Final[dict[int, Callable[[Source, Record], None]]] = {
            Action.ADD: self._add,
            Action.CANCEL: self._cancel,
            Action.MODIFY: self._modify,
            Action.CLEAR: self._reset,
            Action.TRADE: self._trade,
            Action.FILL: self._fill,
            Action.NONE: self._nothing,
        }

    def feed(self, raw: MboTuple, following: MboTuple | None) -> list[TapeEvent]:
        """The tape events of one record. `following` is the next record of the same file, of whatever instrument, or None."""
        record, self._out = Record._make(raw), []
        self._records_read = 1 if self._is_file_new else self._records_read + 1
        self._is_file_new = following is None
        source = self._source(record.key)
        if source is None:
            self._count("records_other_instruments")
            return []
        event_ends = record.ends_event and not self._event_goes_on(record, following)
        record = self._with_times(source, record)
        self._count("records")
        self._record, self._instrument = record, source.instrument
        self._end_snapshot(source, record)
        events_before = len(self._out)
        self._begin_snapshot(source, record)
        self._act(source, record)
        self._take_out(record)
        if event_ends:
            if len(self._out) == events_before:
                self._emit(Kind.STATUS)
            self._out[-1].flags |= TapeFlag.LAST
        source.previous = record
        for event in self._out:
            self._count(TAPE_COUNTERS[event.kind])
            self.counters["events"] += event.is_last
        return self._out

    def _take_out(self, record: Record) -> None:
        """Rule 12: an order that is taken out neither joins nor leaves a queue. Its FILLs stay: they say how far the aggressor came."""
        if record.order_id in self.instruments.excluded_orders and record.action in CHANGES and not record.flags & RecordFlag.TOP_OF_BOOK:
            self._count("records_excluded")
            self._out = [event for event in self._out if event.kind not in (Kind.ADD, Kind.REMOVE)]

    # ------------------------------------------------------------------ rules 1, 2: events and snapshots

    @staticmethod
    def _event_goes_on(record: Record, following: MboTuple | None) -> bool:
        """Rule 1: some venues flag every record of an event as its last; the event is then (ts_event, sequence)."""
        if following is None:
            return False
        after = Record._make(following)
        same = (after.key, after.ts_event, after.sequence) == (record.key, record.ts_event, record.sequence)
        return same and not record.is_snapshot and not after.is_snapshot

    def _end_snapshot(self, source: Source, record: Record) -> None:
        """Rule 2: the first record without the SNAPSHOT bit ends the snapshot, and its event if nothing else did."""
        if not source.in_snapshot or record.is_snapshot:
            return
        source.in_snapshot = False
        if source.previous is not None and not source.previous.ends_event:
            self._count("snapshots_without_last")
            self._emit(Kind.STATUS, TapeFlag.LAST | TapeFlag.SNAPSHOT, of=source.previous)

    def _begin_snapshot(self, source: Source, record: Record) -> None:
        """Rule 2: a snapshot that begins without R starts a fresh book all the same."""
        if record.is_snapshot and not source.in_snapshot and record.action != Action.CLEAR:
            self._count("snapshots_without_clear")
            source.in_snapshot = True
            self._clear(source)

    # ------------------------------------------------------------------ rule 8: times

    def _with_times(self, source: Source, record: Record) -> Record:
        """Rule 8: replace undefined times by one another, refuse those that are none, count what looks wrong; snapshots may look as they like."""
        if self.instruments.from_sending and record.ts_recv != UNDEFINED_TIMESTAMP:
            record = record._replace(ts_recv=record.ts_recv - record.ts_in_delta)
        undefined = UNDEFINED_TIMESTAMP in (record.ts_recv, record.ts_event)
        if record.ts_recv == UNDEFINED_TIMESTAMP:
            record = record._replace(ts_recv=record.ts_event)
        elif record.ts_event == UNDEFINED_TIMESTAMP:
            record = record._replace(ts_event=record.ts_recv)
        if record.is_snapshot:
            return record
        if (time := max(record.ts_event % 2**64, record.ts_recv % 2**64)) >= TIME_END:  # the file's are not signed
            raise DataError(f"record {self._records_read} is of the time {time}, which is none: the data is damaged there. Get the file again.")
        self.counters["timestamps_undefined"] += undefined
        self.counters["ts_recv_before_ts_event"] += record.ts_recv < record.ts_event
        self.counters["bad_ts_recv"] += bool(record.flags & RecordFlag.BAD_TS_RECV)
        self.counters["maybe_bad_book"] += bool(record.flags & RecordFlag.MAYBE_BAD_BOOK)
        self.counters["ts_event_backwards"] += source.ts_event is not None and record.ts_event < source.ts_event
        source.ts_event = record.ts_event
        return record

    # ------------------------------------------------------------------ rules 3 to 7: actions

    def _act(self, source: Source, record: Record) -> None:
        """Do what the record's action says, and count it."""
        handler = self._handlers.get(record.action)
        if handler is None:
            self._count("actions_unknown")
            return
        self._count(f"records_{chr(record.action)}")
        handler(source, record)

    def _nothing(self, source: Source, record: Record) -> None:
        """Rule 7: N changes nothing."""

    def _add(self, source: Source, record: Record) -> None:
        """Rule 3: an order joins the back of its level."""
        if record.side not in SIDES:
            self._count("sides_missing")
        elif record.flags & RecordFlag.TOP_OF_BOOK:
            self._replace_top(source, record)
        elif record.price == UNDEFINED_PRICE:
            self._count("prices_undefined")
        elif record.size == 0:
            self._count("sizes_zero")
        else:
            level = self._level(source, record, record.side)
            if record.order_id in source.orders:
                self._count("adds_of_live_id")
                self._remove_all(source.orders[record.order_id])
            order = RestingOrder(record.side, level, record.size, self._stamp_of_add(source, record, level))
            source.orders[record.order_id] = order
            self._emit_order(Kind.ADD, order, order.size)

    def _replace_top(self, source: Source, record: Record) -> None:
        """Rule 3: on a top-of-book venue an A replaces its whole side; an undefined price, or no size, empties it."""
        self._empty_top(source, record)
        if record.price != UNDEFINED_PRICE and record.size > 0:
            order = RestingOrder(record.side, self._level(source, record, record.side), record.size, self._next_stamp())
            source.top[record.side] = order
            self._emit_order(Kind.ADD, order, order.size)

    def _empty_top(self, source: Source, record: Record) -> None:
        order = source.top.pop(record.side, None)
        if order is not None:
            self._remove_all(order)

    def _cancel(self, source: Source, record: Record) -> None:
        """Rule 4: an order leaves, wholly or in part. Price and side of the record are not read."""
        if record.flags & RecordFlag.TOP_OF_BOOK:
            if record.side in SIDES:
                self._empty_top(source, record)
            else:
                self._count("sides_missing")
            return
        order = source.orders.get(record.order_id)
        if order is None:
            self._count("cancels_unknown")
        elif record.size == 0:
            self._count("sizes_zero")
        else:
            self.counters["cancels_oversized"] += record.size > order.size
            self.counters["cancels_partial"] += record.size < order.size
            removed = min(record.size, order.size)
            order.size -= removed
            order.filled = 0
            self._emit_order(Kind.REMOVE, order, -removed, 0 if order.size else TapeFlag.GONE)
            if order.size == 0:
                del source.orders[record.order_id]

    def _modify(self, source: Source, record: Record) -> None:
        """Rule 5: an order changes its price, side or size, and keeps its priority only where nothing but its size shrinks."""
        order = source.orders.get(record.order_id)
        if order is None:
            self._count("modifies_unknown")
            self._add(source, record)
        elif record.size == 0:
            self._count("sizes_zero")
            del source.orders[record.order_id]
            self._remove_all(order)
        elif record.price == UNDEFINED_PRICE:
            self._count("prices_undefined")
        else:
            side = record.side if record.side in SIDES else order.side
            level = self._level(source, record, side)
            same_place = (side, level) == (order.side, order.level)
            self.counters["iceberg_refills"] += same_place and order.filled > 0 and record.size > order.size - order.filled
            if same_place and record.size <= order.size - order.filled:
                self._shrink(order, record.size)
            else:
                self._remove_all(order, TapeFlag.MODIFIED)
                order = RestingOrder(side, level, record.size, self._next_stamp())
                source.orders[record.order_id] = order
                self._emit_order(Kind.ADD, order, order.size, TapeFlag.MODIFIED)

    def _shrink(self, order: RestingOrder, size: int) -> None:
        removed = order.size - size
        order.size = size
        order.filled = 0
        if removed > 0:
            self._emit_order(Kind.REMOVE, order, -removed)

    def _fill(self, source: Source, record: Record) -> None:
        """Rule 6: a passive order was executed; what exceeds its displayed rest came from refills behind it."""
        order = source.orders.get(record.order_id)
        if record.order_id != 0 and record.order_id == source.trade_order_id:
            self._count("fills_of_aggressor")
        elif order is None:
            self._count("fills_unknown")
        elif record.size == 0:
            self._count("sizes_zero")
        else:
            of_displayed = min(record.size, max(order.size - order.filled, 0))
            excess = record.size - of_displayed
            order.filled += record.size
            if of_displayed > 0:
                self._emit_order(Kind.FILL, order, -of_displayed)
            if excess > 0:
                self._count("fills_beyond_displayed")
                refill = RestingOrder(order.side, order.level, excess, self._next_stamp())
                self._emit_order(Kind.FILL, refill, -excess, TapeFlag.EXCESS)

    def _trade(self, source: Source, record: Record) -> None:
        """Rule 7: the print, at whatever price; its level is the tick at or below, unmirrored, as far as levels reach."""
        source.trade_order_id = record.order_id
        tick = max(-LEVEL_MAX - 1, min(LEVEL_MAX + 1, record.price // source.instrument.grid))
        side = record.side if record.side in SIDES else Side.NONE
        event = self._emit(Kind.TRADE)
        event.delta, event.priority, event.level, event.side = record.size, record.price, tick, int(side)

    def _reset(self, source: Source, record: Record) -> None:
        """Rule 7: R voids the book; with the SNAPSHOT bit it begins a snapshot."""
        source.in_snapshot = record.is_snapshot
        self._clear(source)

    # ------------------------------------------------------------------ helpers

    def _count(self, name: str) -> None:
        self.counters[name] += 1

    def _source(self, key: Key) -> Source | None:
        if key not in self._sources:
            instrument = self.instruments.register(key)
            self._sources[key] = None if instrument is None else Source(instrument)
        return self._sources[key]

    def _level(self, source: Source, record: Record, side: int) -> int:
        """Rule 9: the level of a book price, or the end of the run."""
        grid = source.instrument.grid
        tick, rest = divmod(record.price, grid)
        if rest or abs(tick) > LEVEL_MAX:
            what = f"is no multiple of the grid {grid}" if rest else f"is more than {LEVEL_MAX} ticks of {grid} from zero"
            raise DataError(f"record {self._records_read} (order {record.order_id}): price {record.price} (1e-9) {what}")
        return tick if side == Side.BID else -tick

    def _next_stamp(self) -> int:
        self._stamp += 1
        return self._stamp

    def _stamp_of_add(self, source: Source, record: Record, level: int) -> int:
        """Rule 2: an order that a snapshot brings back to its old place has its old stamp; any other gets the next."""
        old = source.voided.get(record.order_id)
        if record.is_snapshot and old is not None and (old.side, old.level) == (record.side, level):
            return old.stamp
        return self._next_stamp()

    def _clear(self, source: Source) -> None:
        source.voided, source.orders, source.top = source.orders, {}, {}
        self._emit(Kind.CLEAR)

    def _remove_all(self, order: RestingOrder, flags: int = 0) -> None:
        self._emit_order(Kind.REMOVE, order, -order.size, flags | TapeFlag.GONE)

    def _emit_order(self, kind: Kind, order: RestingOrder, delta: int, flags: int = 0) -> None:
        event = self._emit(kind, flags)
        event.delta, event.priority, event.level, event.side = delta, order.stamp, order.level, int(order.side)
        event.orders = int(kind == Kind.ADD) - int(bool(flags & TapeFlag.GONE))

    def _emit(self, kind: Kind, flags: int = 0, of: Record | None = None) -> TapeEvent:
        """A tape event of the record at hand, or of another of its book."""
        record = of or self._record
        flags |= record.flags & RecordFlag.SNAPSHOT
        index = self._instrument.index
        event = TapeEvent(record.ts_event, record.ts_recv, 0, 0, 0, record.sequence, index, int(kind), int(flags), int(Side.NONE), 0)
        self._out.append(event)
        return event


def tape(chunks: Chunks, instruments: Instruments, counters: dict[str, int]) -> Iterator[TapeEvent]:
    """All tape events of the input, in order; `counters` counts along."""
    normaliser = Normaliser(instruments, counters)
    for record, following in records_with_next(chunks):
        yield from normaliser.feed(record, following)
