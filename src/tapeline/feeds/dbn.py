"""DBN input: files of versions 1 to 3, plain (memory-mapped) or zstd-compressed (decompressed a chunk ahead), in order as one input.

Format: "DBN", u8 version, u32 length of the metadata that follows; then records, each starting with its length in words of 4 bytes
and its type, at no particular alignment (Databento, "Databento Binary Encoding"). Nothing is copied per record.
"""

import mmap
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import databento_dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from tapeline.constants import UNDEFINED_TIMESTAMP
from tapeline.errors import DataError
from tapeline.feeds import zstd
from tapeline.feeds.ahead import Bytes, ahead
from tapeline.feeds.dbn_kernels import BAD, MBO_RTYPE, MORE, RECORD_BYTES_MIN, first_from, scan_run
from tapeline.files import absent
from tapeline.pages import bytes_left, give_back, mapped
from tapeline.schema import MBO

CHUNK_BYTES: Final = 1 << 20
"""Decompressed at a time: large against what a span costs in Python, small against the input: while the first is made nobody else has work, and with the
last, one has none. Of a million records (56 MB) four times as much at a time cost a tenth."""
WINDOWS: Final = 32
"""A span of a mapped file is so many times CHUNK_BYTES; its pages are given back when the next one is asked for."""
_WINDOW_BYTES_MIN: Final = 1 << 16
"""Holds any record."""
_VERSION_MAX: Final = 3
_PREFIX_BYTES: Final = 8
_DBZ_MAGIC: Final = b"\x50\x2a\x4d\x18"
_TS_OUT_BYTES: Final = 8
_NAMES_OF_CONTRACTS: Final = ("raw_symbol", "parent")
"""Kinds of symbols of which a contract has one; of others, such as continuous ones, it may have several."""

Records = NDArray[np.void]


class _Reader(Protocol):
    """What metadata is read from: a file, or the decompressor on one."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""


@dataclass(frozen=True, kw_only=True)
class DbnFile:
    """What is known of a file before its records are read."""

    path: Path
    metadata: databento_dbn.Metadata | None = None
    """None where it is damaged."""
    version: int = 0
    is_compressed: bool = False
    header_bytes: int = 0
    """Where the records start, in the decompressed file."""
    damage: DataError | None = None
    """Raised when the file's turn comes."""

    @property
    def stride(self) -> int:
        """Bytes of an MBO record: 56, or 64 where each carries the time at which the gateway sent it."""
        return MBO.itemsize + (_TS_OUT_BYTES if self.metadata is not None and self.metadata.ts_out else 0)


@dataclass
class Span:
    """A stretch of a file's records, for a consumer that walks the bytes itself.

    It sets `consumed` to the number of bytes it used; what it left is in front of the next span's data, unless this one is `final`:
    then a rest is damage, to be raised as `truncated(…)`. A final span may be empty.
    """

    data: Bytes
    """Read-only. It stays as it is while anybody holds it."""
    path: Path
    offset: int
    """Of data[0] in the decompressed file."""
    final: bool
    """No more data of this file follows."""
    stride: int = MBO.itemsize
    """Bytes of an MBO record."""
    damage: DataError | None = None
    """Why a final span does not reach the end of its file."""
    consumed: int = 0


@dataclass
class DbnInput:
    """Several files, in order, as one input.

    Raises DataError at once for what is missing, unreadable or no DBN file, and while iterating for damage, when all before it has been given out.
    """

    paths: Sequence[Path | str]
    chunk_bytes: int = CHUNK_BYTES
    files: list[DbnFile] = field(init=False)
    symbols: dict[int, str] = field(init=False)
    """instrument_id → symbol, from the metadata of all files; the first mapping of an id counts."""
    reused: dict[int, dict[str, Path]] = field(init=False)
    """instrument_id → what it stands for, and in which file first, of ids that stand for different contracts in different files, or at different times."""
    records_skipped: int = field(init=False, default=0)
    """Records of other types that `records` met, in its last pass."""
    reading: Path | None = field(init=False, default=None)
    """The file that the last span was of."""
    end_ns: int | None = field(init=False, default=None)
    """To whoever asks `before_end`, the input ends before the first record that was received at or after this time."""
    is_cut: bool = field(init=False, default=False)
    """Whether it did."""

    def __post_init__(self) -> None:
        """Read the metadata of every file."""
        self.files = [_opened(Path(path)) for path in self.paths]
        self.symbols = {}
        contracts: dict[int, dict[str, Path]] = {}
        for file in self.files:
            for instrument_id, symbol in mapped_symbols(file.metadata):
                self.symbols.setdefault(instrument_id, symbol)
                if file.metadata is not None and str(file.metadata.stype_in) in _NAMES_OF_CONTRACTS:
                    contracts.setdefault(instrument_id, {}).setdefault(symbol, file.path)
        self.reused = {instrument_id: names for instrument_id, names in contracts.items() if len(names) > 1}

    def spans(self) -> Iterator[Span]:
        """Everything behind the headers, file by file. Every sound file ends in one final span.

        Raises DataError where a file is damaged, behind its final span, or is there no more.
        """
        for file in self.files:
            self.reading = file.path
            if file.damage is not None:
                raise file.damage
            try:
                yield from self._decompressed(file) if file.is_compressed else self._windows(file)
            except OSError as error:
                raise DataError(f"{file.path}: could be read at first, and cannot be now: {error.strerror}; everything before was read") from error

    def _windows(self, file: DbnFile) -> Iterator[Span]:
        """A mapped file, piece by piece, so that it does not come to lie in this process's memory as a whole.

        It is read as far as it goes when its turn comes; what others add meanwhile is not. Whether they cut it is asked for before each span.
        """
        data, mapping = _mapped(file)
        position, damage = 0, None
        while True:
            end = min(position + max(WINDOWS * self.chunk_bytes, _WINDOW_BYTES_MIN), len(data))
            if mapping is not None and (size := bytes_left(mapping)) < file.header_bytes + end:
                damage = DataError(f"{file.path}: was cut to {size:,} bytes while it was read; everything before was read. Run again when the file is whole.")
                end = max(size - file.header_bytes, position)
            is_final = end == len(data) or damage is not None
            span = Span(data[position:end], file.path, file.header_bytes + position, is_final, file.stride, damage)
            yield span
            if damage is not None:
                raise damage
            if is_final:
                return
            give_back(mapping, file.header_bytes + position, span.consumed)
            position += span.consumed

    def _decompressed(self, file: DbnFile) -> Iterator[Span]:
        tail = np.empty(0, np.uint8)
        position = 0
        source = ahead(zstd.chunks(file.path, self.chunk_bytes))
        try:
            for chunk in source:
                header_left = min(max(file.header_bytes - position, 0), chunk.end - chunk.begin)
                offset = position + header_left - len(tail)
                position += chunk.end - chunk.begin
                if position <= file.header_bytes and not chunk.final:
                    continue
                data = _joined(tail, chunk.buffer, chunk.begin + header_left, chunk.end)
                span = Span(data, file.path, offset, chunk.final, file.stride, chunk.damage)
                yield span
                tail = span.data[span.consumed :]
                if chunk.damage is not None:
                    raise chunk.damage
        finally:
            source.close()


def records(source: DbnInput) -> Iterator[tuple[Records, bool]]:
    """Runs of MBO records as structured views (`schema.MBO`), each with whether it is the last of its file.

    Records of other types are counted in `source.records_skipped`, those before a run when it is yielded. Raises DataError at damage, when all before it
    has been yielded.
    """
    source.records_skipped = 0
    held: Records | None = None  # until it is known whether another follows in its file
    number = passed = 0
    for span in source.spans():
        position, state = 0, 0
        while state not in (MORE, BAD):
            begin, end, skipped, state = scan_run(span.data, position, span.stride)
            count = (end - begin) // span.stride
            number, passed = number + skipped + count, passed + skipped
            position = end
            if count:
                if held is not None:
                    yield held, False
                source.records_skipped, passed = source.records_skipped + passed, 0
                held = np.ndarray((count,), MBO, span.data, begin, (span.stride,))
        span.consumed = position
        if not span.final and state != BAD:
            if held is not None:  # all but one record of it, for nobody is to look at a span when the next is asked for
                ready, held = held[:-1], held[-1:].copy()
                if len(ready):
                    yield ready, False
            continue
        if held is not None:
            yield held, True
            held = None
        source.records_skipped, passed = source.records_skipped + passed, 0
        _check_end(span, state, number)
        number = 0


def _check_end(span: Span, state: int, number: int) -> None:
    """Raise DataError unless all of a file was used; `number`: of its records so far."""
    if state == BAD:
        raise bad_record(span, span.consumed, number + 1)
    if span.consumed < len(span.data):
        raise truncated(span, span.consumed, number + 1)


def sent(spans: Iterable[Span]) -> Iterator[Span]:
    """The same records with the time at which the venue sent each, `ts_recv` − `ts_in_delta`, in the place of `ts_recv`; copied, a span at a time."""
    for span in spans:
        data = span.data.copy()
        for _, run in _runs(data, span.stride):
            run["ts_recv"] -= np.where(run["ts_recv"] == UNDEFINED_TIMESTAMP, 0, run["ts_in_delta"])
        data.flags.writeable = False
        part = replace(span, data=data)
        yield part
        span.consumed = part.consumed


def before_end(spans: Iterable[Span], source: DbnInput) -> Iterator[Span]:
    """The same, as if the last file ended before the first record that was received at or after `source.end_ns`, and no other followed."""
    for span in spans:
        end = None if source.end_ns is None else _first_from(span.data, span.stride, source.end_ns)
        if end is not None:
            source.is_cut = True
            yield replace(span, data=span.data[:end], final=True, damage=None)
            return
        yield span


def _first_from(data: Bytes, stride: int, time_ns: int) -> int | None:
    """Where the first MBO record starts that was received at or after a time."""
    for begin, run in _runs(data, stride):
        before = first_from(run, time_ns)
        if before < len(run):
            return int(begin + before * stride)
    return None


def _runs(data: Bytes, stride: int) -> Iterator[tuple[int, Records]]:
    """The MBO records of a span, run by run, each with where it begins; up to what cannot be a record."""
    position, state = 0, 0
    while state not in (MORE, BAD):
        begin, position, _, state = scan_run(data, position, stride)
        yield begin, np.ndarray(((position - begin) // stride,), MBO, data, begin, (stride,))


def truncated(span: Span, position: int, record_number: int) -> DataError:
    """The error for a file that ends inside the record at `span.data[position]`, its `record_number`-th, from 1."""
    left = len(span.data) - position
    if span.damage is not None:
        return DataError(f"{span.damage} The damage is inside record {record_number:,}, which starts at byte {span.offset + position:,}.")
    return DataError(
        f"{span.path}: ends inside record {record_number:,}: of that record, at byte {span.offset + position:,}, only {left} bytes are there. "
        "The file is truncated; everything before was read. Get the file again."
    )


def bad_record(span: Span, position: int, record_number: int) -> DataError:
    """The error for an impossible record at `span.data[position]`, its file's `record_number`-th, from 1."""
    length, rtype = int(span.data[position]) * 4, int(span.data[position + 1])
    least = f"instead of {span.stride}, for an MBO record" if rtype == MBO_RTYPE else f"less than its header's {RECORD_BYTES_MIN}"
    return DataError(
        f"{span.path}: record {record_number:,}, at byte {span.offset + position:,}, is said to have {length} bytes, {least}: the file is damaged there; "
        "everything before was read. Get the file again."
    )


def _joined(tail: Bytes, buffer: Bytes, begin: int, end: int) -> Bytes:
    """The tail and buffer[begin:end] as one array; copies the tail only, unless it is longer than the room in front."""
    if len(tail) <= begin:
        buffer[begin - len(tail) : begin] = tail
        data = buffer[begin - len(tail) : end]
    else:
        data = np.concatenate((tail, buffer[begin:end]))
    data.flags.writeable = False  # as mapped files are: kernels are compiled once for both
    return data


def _mapped(file: DbnFile) -> tuple[Bytes, mmap.mmap | None]:
    """The bytes of an uncompressed file behind its header, and their mapping, if there are any."""
    with file.path.open("rb") as handle:
        size = handle.seek(0, 2)
        if size <= file.header_bytes:  # nothing can be mapped
            data = np.empty(0, np.uint8)
            data.flags.writeable = False
            return data, None
        mapping = mapped(handle)
    return np.frombuffer(mapping, np.uint8, offset=file.header_bytes), mapping


def _opened(path: Path) -> DbnFile:
    """Look at a file's first bytes, and read its metadata."""
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):  # to open a pipe may take for ever
            raise DataError(f"{path}: is no file but a pipe or a device, and data is mapped, and read more than once: write it to a file first")
        with path.open("rb") as handle:
            magic = handle.read(4)
            if magic == zstd.MAGIC:
                handle.seek(0)
                with zstd.reader(handle) as source:
                    return _described(path, source, is_compressed=True)
            if magic == _DBZ_MAGIC:
                raise DataError(f"{path}: this is DBZ, the format before DBN. Convert it with Databento's tool: dbn {path} -o {path.with_suffix('.dbn.zst')}")
            handle.seek(0)
            return _described(path, handle, is_compressed=False)
    except FileNotFoundError:
        raise DataError(absent(path)) from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a directory; name the DBN files in it, in order of time") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _described(path: Path, source: _Reader, *, is_compressed: bool) -> DbnFile:
    """The metadata at the start of `source`; damage inside it is kept until the file's turn comes."""
    try:
        prefix = _read(source, _PREFIX_BYTES)
        if not prefix.startswith(b"DBN"[: len(prefix)]):
            raise DataError(f"{path}: no DBN file: it starts with {prefix[:4]!r}, not with b'DBN'. Tapeline reads .dbn and .dbn.zst with schema mbo")
        if len(prefix) > 3 and prefix[3] > _VERSION_MAX:
            raise DataError(f"{path}: DBN version {prefix[3]} is newer than this program, which reads versions 1 to {_VERSION_MAX}")
        size = int.from_bytes(prefix[4:], "little")
        header = prefix + _read(source, size)
        if len(prefix) < _PREFIX_BYTES or len(header) < _PREFIX_BYTES + size:
            return _damaged(path, is_compressed, f"it ends at byte {len(header):,}, inside its metadata" if header else "it is empty")
        metadata = databento_dbn.Metadata.decode(header)
        _ = metadata.mappings  # of which dates are looked at only now
    except zstandard.ZstdError as error:
        return _damaged(path, is_compressed, f"its first bytes do not decompress: {error}")
    except (databento_dbn.DBNError, ValueError) as error:
        return _damaged(path, is_compressed, f"bytes 0 to {len(header):,}, its metadata, do not decode: {error}")
    return DbnFile(path=path, metadata=metadata, version=prefix[3], is_compressed=is_compressed, header_bytes=len(header))


def _damaged(path: Path, is_compressed: bool, problem: str) -> DbnFile:  # noqa: FBT001 - passed through
    damage = DataError(f"{path}: damaged, so none of its records can be read: {problem}. Get the file again.")
    return DbnFile(path=path, is_compressed=is_compressed, damage=damage)


def _read(source: _Reader, size: int) -> bytes:
    """Up to `size` bytes, asked for in steps: a damaged size must not allocate what the file does not have."""
    content = bytearray()
    while len(content) < size and (piece := source.read(min(size - len(content), CHUNK_BYTES))):
        content += piece
    return bytes(content)


def mapped_symbols(metadata: databento_dbn.Metadata | None) -> Iterator[tuple[int, str]]:
    """(instrument_id, symbol) for each interval of the metadata's mappings, where they lead to ids."""
    for symbol, intervals in (metadata.mappings if metadata is not None else {}).items():
        for interval in intervals:
            if interval["symbol"].isdecimal():
                yield int(interval["symbol"]), symbol
