"""The Python side of normalising: owns the tables, feeds spans to the kernel, registers instruments, turns damage into errors."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from tapeline.constants import LEVEL_MAX, PRICE_SCALE, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP, RecordFlag
from tapeline.errors import DataError, LimitError
from tapeline.feeds.dbn import DbnInput, Span, bad_record, before_end, sent, truncated
from tapeline.instruments import Instrument, Instruments, format_price
from tapeline.jit import JIT, bound, going
from tapeline.memory import field, load_u64, record_at
from tapeline.order_table import SLOT, SPARSE_BITS_MAX, TABLE_BITS_MIN, goes_round, rehash
from tapeline.pages import Arena, aligned, reserved
from tapeline.schema import MBO, TAPE_EVENT
from tapeline.tape.normalise import normalise
from tapeline.tape.records import (
    BAD_RECORD,
    BUFFER_FULL,
    COUNTERS,
    EVENTS_PER_RECORD_MAX,
    EXCLUDES,
    KEY,
    MBO_RECORD,
    N_SKIPPED,
    NEED_DATA,
    NEW_INSTRUMENT,
    NO_TIME,
    SOURCE,
    TABLE_FULL,
    Mbo,
    Reader,
    Source,
    TapeEvent,
    counters_by_name,
)
from tapeline.tape.rules import do_record
from tapeline.tape.unusual import ask_for_others

CHUNK_EVENTS: Final = 4096
"""Tape events per chunk: 192 KiB, so that they are still in the L2 cache when the book reads them."""
_ARENA_BYTES_MAX: Final = 1 << 16
"""Order tables up to this size lie side by side, and stay when larger ones take their place."""
_GROWTH, _RESERVED_MAX = 64, 1 << 30
"""A large order table has room in memory, not touched before it is needed, for so many times its slots, or so many bytes."""
_BITS_MAX: Final = 40
_LINE_BYTES: Final = 64
"""Of the cache: a bucket of an order table."""
_SAME: tuple[tuple[Any, Any], ...] = ((Mbo.dtype_, MBO), (TapeEvent.dtype_, TAPE_EVENT))
for _ours, _theirs in _SAME:
    if [_ours.fields[name][:2] for name in _theirs.names] != [_theirs.fields[name][:2] for name in _theirs.names]:
        raise TypeError(f"{_ours} is not laid out as {_theirs}")


class TapeReader:
    """Turns an input into chunks of tape events."""

    def __init__(self, source: DbnInput, instruments: Instruments, on_instrument: Callable[[Instrument], None], *, chunk_events: int = CHUNK_EVENTS) -> None:
        """Prepare to read `source`. `on_instrument` is told of every book before its first tape event."""
        self._input = source
        self._instruments = instruments
        self._on_instrument = on_instrument
        self._keep: dict[Any, Any] = {}
        self.reader = reader = Reader.array(1)[0]
        self._counts = np.zeros(len(COUNTERS), np.int64)
        self._actions = np.zeros(256, np.int64)
        self._events = np.zeros(max(chunk_events, 2 * EVENTS_PER_RECORD_MAX), TapeEvent.dtype_)
        self._arena = Arena()
        self._sources = aligned(16, SOURCE)
        self._keys = np.zeros(64, KEY)
        self._n_keys = 0
        self._stopped = False
        self.in_books = False
        self._of_files_before = 0
        reader.counters = self._counts.ctypes.data
        reader.actions = self._actions.ctypes.data
        reader.out_capacity = len(self._events)
        self.write_to(self._events)
        reader.here.stamp = 1
        self._excluded = np.array(sorted(instruments.excluded_orders), np.uint64)
        reader.excluded, reader.excluded_n = self._excluded.ctypes.data, len(self._excluded)
        self._position, self._index = field(reader.here, "position"), field(reader, "index")
        self._records, self._n = field(reader, "records"), field(reader, "n")
        if JIT:
            do_record.place(reader)
        self._normalise = self._go_on = going(normalise, reader)
        self._blank = Source()
        self._rehash = bound(rehash, self._blank.table, 0, 0)
        self._place_tables()
        for instrument in instruments.known:
            self._open(instrument)

    def _place_tables(self) -> None:
        self.reader.sources = self._sources.ctypes.data
        self._table_slots, self._voided_slots = self._sources["table"]["slots"], self._sources["voided"]["slots"]
        self._tables, self._table_bits = self._sources["table"], self._sources["table"]["bits"]
        self.reader.keys = self._keys.ctypes.data
        self.reader.keys_bits = self._keys_bits = len(self._keys).bit_length() - 1
        self._words, self._sources_of_words = self._keys["word"], self._keys["source"]

    @property
    def counters(self) -> dict[str, int]:
        """What was counted so far."""
        return counters_by_name(self._counts, self._actions)

    @property
    def records(self) -> int:
        """Records so far."""
        return int(self._records.value)

    @property
    def bytes_done(self) -> int:
        """Of the input, decompressed; about."""
        return self.records * MBO.itemsize

    def keep_books(self, kernel: Any, replay: int) -> None:
        """Let a kernel (market.direct) put records into the books of the Replay at an address, while there is one instrument.

        As long as `in_books` is true, `chunks` gives out what the kernel answered, in place of a number of tape events.
        """
        self.in_books = len(self._instruments.known) <= 1
        if self.in_books:
            self.reader.replay = replay
            self._go_on = going(kernel, self.reader)

    @property
    def events(self) -> np.ndarray[Any, Any]:
        """The buffer of tape events."""
        return self._events

    def write_to(self, events: np.ndarray[Any, Any]) -> None:
        """Write the next chunk to another buffer of the same length."""
        self._events = events
        self.reader.out = self.events_address = int(events.ctypes.data)

    def stop(self) -> None:
        """Give out no more chunks."""
        self._stopped = True

    def chunks(self) -> Iterator[tuple[int, Span]]:
        """Number of tape events in the buffer, chunk by chunk, and the span that they came from.

        Raises DataError, after all tape events before it were given out, where the input is damaged, a price lies off the grid, or a time behind TIME_END.
        """
        spans = sent(self._input.spans()) if self._instruments.from_sending else self._input.spans()
        for span in before_end(spans, self._input):
            yield from self._chunks_of(span)
            if self._stopped:
                return

    def _chunks_of(self, span: Span) -> Iterator[tuple[int, Span]]:
        reader, here, n = self.reader, self._position, self._n
        data = span.data
        start = data.ctypes.data if len(data) else 0
        here.value = start
        reader.end = start + len(data)
        reader.looked_to = 0
        reader.final = span.final
        reader.stride = span.stride
        while not self._stopped:
            status = self._go_on()
            position = here.value - start
            span.consumed = position
            if status == NEW_INSTRUMENT:
                if n.value:  # an instrument is there from its own first event on, not from that of its chunk
                    yield n.value, span
                    n.value = 0
                self._register(position, data)
                continue
            if status == TABLE_FULL:
                self._grow_table(self._index.value)
                continue
            if n.value:
                yield n.value, span
                n.value = 0
            if status == BUFFER_FULL:
                continue
            if status == NEED_DATA:
                if span.final and position < len(data) and span.damage is None:
                    raise truncated(span, position, self._number())
                if span.final:
                    self._of_files_before = self._passed()
                return
            raise self._error(status, span, position)

    def _passed(self) -> int:
        """Records of any type so far."""
        return int(self.reader.records) + int(self._counts[N_SKIPPED])

    def _number(self) -> int:
        """Of the next record, in its file."""
        return self._passed() - self._of_files_before + 1

    def _error(self, status: int, span: Span, position: int) -> DataError:
        number = self._number()
        if status == BAD_RECORD:
            return bad_record(span, position, number)
        record = span.data[position : position + MBO.itemsize].view(MBO)[0]
        where = f"{span.path}: record {number} at byte {span.offset + position}:"
        if status == NO_TIME:
            given = [int(record[name]) for name in ("ts_event", "ts_recv")]
            time = max(time % 2**64 for time in given if time != UNDEFINED_TIMESTAMP or len(set(given)) == 1)
            return DataError(f"{where} is of the time {time}, which is none: the data is damaged there; everything before was read. Get the file again.")
        instrument = self._instruments.known[self._index.value]
        price, grid = (format_price(int(units) / PRICE_SCALE) for units in (record["price"], instrument.grid))
        return DataError(
            f"{where} price {price} of {instrument.symbol or instrument.instrument_id} "
            f"is not a multiple of the grid {grid} within ±{LEVEL_MAX} ticks; give the smallest price step of the book as tick_size"
        )

    def _register(self, position: int, data: np.ndarray[Any, Any]) -> None:
        word = int.from_bytes(data[position : position + 8].tobytes(), "little")
        before = len(self._instruments.known)
        instrument = self._instruments.register((word >> 16 & 0xFFFF, word >> 32))
        if instrument is None:
            self._add_key(word, -1)
        else:
            if len(self._instruments.known) > before:
                self._open(instrument)
            self._add_key(word, instrument.index)

    def _add_key(self, word: int, source: int) -> None:
        self._n_keys += 1
        if self._n_keys * 2 > len(self._keys):
            old, self._keys = self._keys, np.zeros(2 * len(self._keys), KEY)
            self._place_tables()
            for key in old[old["word"] != 0]:
                self._put_key(int(key["word"]), int(key["source"]))
        self._put_key(word, source)

    def _put_key(self, word: int, source: int) -> None:
        mask = len(self._keys) - 1
        place = ((word * 0x9E3779B97F4A7C15) & (2**64 - 1)) >> (64 - self._keys_bits)
        while self._words[place]:
            place = (place + 1) & mask
        self._words[place] = word
        self._sources_of_words[place] = source

    def _open(self, instrument: Instrument) -> None:
        """Give a book its tables."""
        index = instrument.index
        if index >= len(self._sources):
            fewer, self._sources = self._sources, aligned(2 * len(self._sources), SOURCE)
            self._sources[: len(fewer)] = fewer
            self._place_tables()
        if index == 1:
            self.in_books, self._go_on = False, self._normalise
            if JIT:
                ask_for_others.place(self.reader)
        if int(self._blank.grid) != instrument.grid:
            self._blank = _blank_source(instrument.grid, excludes=len(self._excluded) > 0)
        self._sources[index] = self._blank
        self._sources[index]["index"] = index
        size = SLOT.itemsize << TABLE_BITS_MIN
        self._table_slots[index] = slots = self._arena.take(2 * size)
        self._voided_slots[index] = slots + size
        self._on_instrument(instrument)

    def _grow_table(self, index: int) -> None:
        """Twice the slots for a book's order table, or twice as many as the snapshot needs that goes on.

        With a million live orders whose ids are in no order, a record takes 14.6 ns to normalise so, and 19.6 with half of these slots: more buckets are full
        then. Ids that follow each other spread evenly, and take 12.5 with either.
        """
        table, bits = self._tables[index], int(self._table_bits[index])
        bits += 1 + self._doublings_ahead(1 << bits >> (1 if bits > SPARSE_BITS_MAX else 2))
        if bits > _BITS_MAX:
            raise LimitError(f"an order table of 2^{_BITS_MAX} slots is full")
        before, size = int(table.slots), SLOT.itemsize << bits
        if size <= _ARENA_BYTES_MAX:
            self._rehash(table, self._arena.take(size), bits)
            return
        if len(self._keep.get(before, ())) >= size and not goes_round(table):
            self._rehash(table, before, bits)
            return
        is_large = bits > SPARSE_BITS_MAX  # of others all will be touched: pages that are there already are worth more than clean ones
        memory = reserved(max(size, min(_GROWTH * size, _RESERVED_MAX))) if is_large else np.zeros(size + _LINE_BYTES, np.uint8)
        address = memory.ctypes.data
        address += -address % _LINE_BYTES
        self._rehash(table, address, bits)
        self._keep.pop(before, None)
        self._keep[address] = memory

    def _doublings_ahead(self, orders: int) -> int:
        """How often as many more orders as there are, or twice as many, and so on, are still of the snapshot at hand, as far as the span shows."""
        here, stride, end, n = self._position.value, int(self.reader.stride), int(self.reader.end), 0
        while (place := here + (orders << n) * stride) + stride <= end:
            record = record_at(place, 0, MBO_RECORD)
            if load_u64(place) != load_u64(here) or not record.flags & RecordFlag.SNAPSHOT:
                break
            n += 1
        return n


def _blank_source(grid: int, *, excludes: bool) -> Any:
    """What books of one grid have in common at first."""
    source: Any = Source(oddity=EXCLUDES if excludes else 0)
    source.grid = grid
    source.grid_shift = shift = (grid & -grid).bit_length() - 1
    source.grid_inverse = np.uint64(pow(grid >> shift, -1, 1 << 64))
    source.ticks_max = ticks_max = min(LEVEL_MAX, (UNDEFINED_PRICE - 1) // grid)
    source.ticks_span, source.price_span = 2 * ticks_max, ticks_max * grid
    for table in (source.table, source.voided):
        table.lay(0, TABLE_BITS_MIN)
    return source
