"""Tapes: tape events kept in a file, to be replayed without decompression and order table, as often as one likes.

A tape is an Arrow IPC file (uncompressed, memory-mapped): one column per field of a tape event, in batches, so that polars, pyarrow, DuckDB and others read it.
Its header, JSON under the key `tapeline` of the schema's metadata, has the version of the format, the instruments with their grids, what the normaliser
counted, the hashes of the source files, and a checksum of each batch. It is written under another name and then renamed: a killed conversion leaves no tape.
"""

import contextlib
import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapeline.errors import DataError
from tapeline.files import replacing
from tapeline.instruments import Key
from tapeline.jit import going
from tapeline.memory import field as field_of
from tapeline.pages import BlockWriter, bytes_left, give_back, mapped
from tapeline.schema import TAPE_EVENT
from tapeline.tape import arrow
from tapeline.tape.file_kernels import AT_ONCE, CHUNK, DAMAGED, END, Batch, Columns, Play, checksum, lay, play, scatter

VERSION: Final = 3
BATCH_EVENTS: Final = 8192
"""About 400 kB of columns: checked and read while they are in the L2 cache."""
_GIVE_BACK_BYTES: Final = 1 << 24
"""Of the mapped file, that were read."""
_TIMES: Final = ("ts_event", "ts_recv")
_MARK: Final = b'{"tapeline_tape":'
_CHECK: Final = "crc32:"
_END_BYTES: Final = 4 + len(arrow.MAGIC)
_REMAKE: Final = "make it again from its source: tapeline tape IN… -o"


def is_tape(path: Path | str) -> bool:
    """Whether a file starts as an Arrow file does. A file that cannot be read is none: whoever reads it will say so."""
    try:
        if not Path(path).is_file():
            return False  # to open a pipe may take for ever
        with Path(path).open("rb") as file:
            return file.read(len(arrow.MAGIC)) == arrow.MAGIC
    except OSError:
        return False


class TapeWriter:
    """Writes a tape, batch by batch."""

    def __init__(self, path: Path) -> None:
        """Start a file."""
        self._file = BlockWriter(io.FileIO(path, "wb"))
        self._offset = 0
        self._write(arrow.MAGIC + bytes(2) + arrow.schema_message(arrow.schema(TAPE_EVENT, _TIMES, {})))
        self._write(bytes(-self._offset % arrow.ALIGNMENT))
        self._places, size = arrow.batch_layout(TAPE_EVENT, BATCH_EVENTS)
        body = np.zeros(size + arrow.ALIGNMENT, np.uint8)
        self._body = body[-body.ctypes.data % arrow.ALIGNMENT :][:size]
        self._columns = Columns.array(1)[0]
        lay(self._columns, self._body.ctypes.data, BATCH_EVENTS)
        self._held = 0
        self._blocks: list[tuple[int, int, int]] = []
        self._batches: list[tuple[int, int, int]] = []
        self.events = 0

    def add(self, address: int, n: int) -> None:
        """Take in `n` tape events that lie at an address."""
        done = 0
        while done < n:
            part = min(n - done, BATCH_EVENTS - self._held)
            scatter(address + done * TAPE_EVENT.itemsize, part, self._columns, self._held)
            self._held += part
            done += part
            if self._held == BATCH_EVENTS:
                self._flush()
        self.events += n

    def finish(self, header: Mapping[str, Any]) -> None:
        """Write what is held back and the header."""
        self._flush()
        text = json.dumps({"tapeline_tape": VERSION, "event": _layout(), "events": self.events, "batches": self._batches, **header}, separators=(",", ":"))
        check = f"{_CHECK}{zlib.crc32(text.encode()):08x}"
        self._write(arrow.footer(arrow.schema(TAPE_EVENT, _TIMES, {"tapeline": text, "tapeline_check": check}), self._blocks))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _write(self, data: Any) -> None:
        self._offset += self._file.write(data)

    def _flush(self) -> None:
        n, self._held = self._held, 0
        if n == 0:
            return
        places, size = arrow.batch_layout(TAPE_EVENT, n)
        body = self._body
        if n < BATCH_EVENTS:  # the last one
            body = np.zeros(size, np.uint8)
            for name, before, after in zip(TAPE_EVENT.names or (), self._places, places, strict=True):
                body[after : after + n * TAPE_EVENT[name].itemsize] = self._body[before : before + n * TAPE_EVENT[name].itemsize]
        start, message = self._offset, arrow.batch_message(TAPE_EVENT, n)
        self._write(message)
        self._batches.append((self._offset, n, int(checksum(body.ctypes.data, size))))
        self._write(body)
        self._blocks.append((start, len(message), size))


def _layout() -> list[list[str]]:
    return [[name, TAPE_EVENT[name].str] for name in TAPE_EVENT.names or ()]


@dataclass(frozen=True, kw_only=True)
class TapeInstrument:
    """One instrument of a tape. Prices are integers in 1e-9."""

    publisher_id: int
    instrument_id: int
    symbol: str
    grid: int
    multiplier: float | None
    """None: not known when the tape was made."""
    currency: str
    opened_at: int
    """Number of tape events before it appeared."""

    @property
    def key(self) -> Key:
        """(publisher_id, instrument_id)."""
        return self.publisher_id, self.instrument_id


@dataclass
class TapeInput:
    """A tape as an input. Raises DataError for what is missing, damaged, or of another version."""

    path: Path
    header: dict[str, Any] = field(init=False, repr=False)
    instruments: list[TapeInstrument] = field(init=False)
    symbols: dict[int, str] = field(init=False, repr=False)
    """instrument_id → symbol, as the sources' metadata had them."""
    records_skipped: int = field(init=False, default=0)
    end_ns: int | None = field(init=False, default=None)
    """To whoever plays it, the tape ends before the first tape event that was received at or after this time."""
    is_cut: bool = field(init=False, default=False)
    """Whether it did."""

    def __post_init__(self) -> None:
        """Map the file, and read its header."""
        try:
            with self.path.open("rb") as file:
                self._bytes = mapped(file)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        self.header = self._read_header()
        self.instruments = [TapeInstrument(**entry) for entry in self.header["instruments"]]
        self.symbols = {int(instrument_id): symbol for instrument_id, symbol in self.header["symbols"].items()}

    @property
    def feed_time(self) -> str:
        """What stands for `ts_recv` on it: when records were received, or sent."""
        return str(self.header["settings"].get("feed_time", "received"))

    @property
    def events(self) -> int:
        """Number of tape events."""
        return int(self.header["events"])

    @property
    def counters(self) -> dict[str, int]:
        """What the normaliser counted when the tape was made."""
        return dict(self.header["counters"])

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self.path}: damaged: {what}; {_REMAKE} {self.path.name}")

    def _read_header(self) -> dict[str, Any]:
        size = len(self._bytes)
        if size < 2 * _END_BYTES or self._bytes[-len(arrow.MAGIC) :] != arrow.MAGIC:
            raise self._damaged(f"its {size:,} bytes do not end as a tape does, so it was cut or overwritten")
        length = int.from_bytes(self._bytes[-_END_BYTES : -len(arrow.MAGIC)], "little")
        end = self._bytes[max(size - _END_BYTES - length, 0) : -_END_BYTES]
        place = end.find(_MARK)
        if place < 4:
            raise DataError(f"{self.path}: an Arrow file, but no tape of Tapeline's: it has no header of one. Tapes are made by `tapeline tape`")
        text = end[place : place + int.from_bytes(end[place - 4 : place], "little")]
        if f"{_CHECK}{zlib.crc32(text):08x}".encode() not in end:
            raise self._damaged("its header does not have its checksum")
        header: dict[str, Any] = json.loads(text)
        if header["tapeline_tape"] != VERSION or header["event"] != _layout():
            made = header["tapeline_tape"]
            raise DataError(f"{self.path}: a tape of format {made}, which this version of Tapeline does not read; {_REMAKE} {self.path.name}")
        for offset, n, _ in header["batches"]:
            if offset + n * TAPE_EVENT.itemsize > size:
                raise self._damaged(f"batches reach beyond its {size:,} bytes")
        return header

    def chunks(
        self, out: np.ndarray[Any, Any], places: np.ndarray[Any, Any], stops: Sequence[int] = (), into_books: tuple[Any, int] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Tape events, written to `out`: their number, and that of all events of the tape up to there. `places`: as Play has them.

        What lies behind them in `out`, which has room for at least AT_ONCE, is arbitrary. A chunk ends at each of `stops`, numbers of events of the tape in
        rising order, even where it has no events. `into_books`: a kernel and the address of the Replay whose books it keeps; the first number is then what it
        answered. Raises DataError, when all before it was given out, where a batch does not have its checksum, and where
        others cut the file meanwhile.
        """
        batches = self.header["batches"]
        table = Batch.array(len(batches), **dict(zip(("offset", "events", "checksum"), zip(*batches, strict=True), strict=True) if batches else ()))
        room = len(out) - (AT_ONCE - 1)
        state = Play.array(1, batches=table.ctypes.data, batches_n=len(batches), out=out.ctypes.data, out_capacity=room, places=places.ctypes.data)[0]
        state.base = np.frombuffer(self._bytes, np.uint8).ctypes.data
        done, written, batch = field_of(state, "done"), field_of(state, "written"), field_of(state, "batch")
        kernel, state.replay = into_books or (play, 0)
        given_back = opened = 0
        state.in_place = 1
        self._check_size()
        for stop in (*stops, self.events):
            if done.value == stop < self.events:
                yield 0, stop
            while opened < len(self.instruments) and self.instruments[opened].opened_at < stop:
                state.in_place &= places[opened] == opened
                opened += 1
            state.stop, status = stop, CHUNK
            go_on = going(kernel if state.in_place else play, state)
            while done.value < stop and status != END:
                status = go_on()
                if written.value or status != DAMAGED:
                    yield written.value, done.value
                if status == DAMAGED:
                    raise self._without_checksum(batch.value, done.value)
                if batch.value < len(batches) and batches[batch.value][0] - given_back > _GIVE_BACK_BYTES:
                    give_back(self._bytes, given_back, batches[batch.value][0] - given_back)
                    given_back = batches[batch.value][0]
                    self._check_size()

    def _check_size(self) -> None:
        """Raise DataError where others have cut the file since it was mapped; asked for as often as pages are given back."""
        if (size := bytes_left(self._bytes)) < len(self._bytes):
            raise self._damaged(f"it was cut to {size:,} of its {len(self._bytes):,} bytes while it was read")

    def _without_checksum(self, batch: int, done: int) -> DataError:
        offset, n, _ = self.header["batches"][batch]
        end = offset + arrow.batch_layout(TAPE_EVENT, n)[1]
        return self._damaged(f"bytes {offset:,} to {end:,}, events {done:,} to {done + n:,}, do not have their checksum")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[TapeWriter]:
    """The writer of a tape that is there when it is complete, and leaves nothing behind at an error. Raises ConfigError where it cannot be written."""
    with replacing(path) as partial, contextlib.closing(TapeWriter(partial)) as writer:
        yield writer
