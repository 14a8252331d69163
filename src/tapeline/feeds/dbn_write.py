"""Write records as DBN, plain or zstd-compressed."""

import contextlib
import datetime as dt
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import databento_dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from tapeline.errors import ConfigError
from tapeline.files import replacing
from tapeline.pages import BlockWriter
from tapeline.schema import MBO

_ZSTD_LEVEL: Final = 1
"""Market data gains little from more: level 3 is 10 % smaller and takes twice as long."""
_DAY_NS: Final = 86_400_000_000_000


@dataclass(frozen=True)
class Interval:
    """databento_dbn's MappingInterval: a symbol stands for an id from a day to before another."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(frozen=True)
class _Mapping:
    """databento_dbn's SymbolMapping."""

    raw_symbol: str
    intervals: list[Interval]


def write_mbo(  # noqa: PLR0913 - what the metadata says, by keyword
    path: Path | str,
    records: Iterable[NDArray[np.void]],
    *,
    dataset: str,
    symbols: Mapping[int, str],
    start_ns: int,
    end_ns: int | None = None,
    version: int = 3,
) -> int:
    """Write arrays of `schema.MBO` to `path`, compressed if it ends in `.zst`, and return the number of records.

    `symbols` maps instrument ids to symbols, for the days from `start_ns` to `end_ns` (default: one day later). The file appears when it is complete:
    an error on the way leaves what was there before. Raises ConfigError where DBN cannot hold what is asked for, or the disk cannot.
    """
    return write_arrays(path, records, described("mbo", dataset, symbols, start_ns, end_ns, version))


def write_arrays(path: Path | str, records: Iterable[NDArray[np.void]], metadata: databento_dbn.Metadata) -> int:
    """As `write_mbo`, under metadata that is there already."""
    count = 0

    def pieces() -> Iterator[memoryview]:
        nonlocal count
        for array in records:
            if array.dtype != MBO:
                raise ConfigError(f"{path}: records to write must have dtype tapeline.schema.MBO, not {array.dtype}")
            yield np.ascontiguousarray(array).view(np.uint8).data
            count += len(array)

    write_records(path, pieces(), metadata)
    return count


def write_records(path: Path | str, records: Iterable[bytes | memoryview], metadata: databento_dbn.Metadata) -> int:
    """The same, of records of any schema as bytes, in pieces; returns how many pieces."""
    path, n = Path(path), 0
    with (
        replacing(path) as partial,
        BlockWriter(io.FileIO(partial, "wb")) as file,
        _compressing(file) if path.suffix == ".zst" else contextlib.nullcontext(file) as sink,
    ):
        sink.write(metadata.encode())
        for piece in records:
            sink.write(piece)
            n += 1
    return n


def described(  # noqa: PLR0913, PLR0917 - what the metadata says
    schema: str, dataset: str, symbols: Mapping[int, str], start_ns: int, end_ns: int | None = None, version: int = 3
) -> databento_dbn.Metadata:
    """The metadata of records of one dataset, whose ids stand for `symbols` as long as they last."""
    end_ns = start_ns + _DAY_NS if end_ns is None else end_ns
    first, last = (dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC).date() for ns in (start_ns, end_ns))
    mappings: dict[str, list[Interval]] = {}
    for instrument_id, symbol in symbols.items():
        mappings.setdefault(symbol, []).append(Interval(first, last + dt.timedelta(days=1), str(instrument_id)))
    raw_symbol = databento_dbn.SType("raw_symbol")
    return metadata_of(schema, dataset=dataset, stype_in=raw_symbol, mappings=mappings, start_ns=start_ns, end_ns=end_ns, version=version)


def metadata_of(  # noqa: PLR0913 - what it says
    schema: str,
    *,
    dataset: str,
    stype_in: databento_dbn.SType | None,
    mappings: Mapping[str, list[Interval]],
    start_ns: int,
    end_ns: int | None,
    version: int = 3,
) -> databento_dbn.Metadata:
    """Metadata that says for each symbol when it stands for which ids. Raises ConfigError for what it cannot hold."""
    try:
        metadata = databento_dbn.Metadata(
            dataset=dataset,
            start=start_ns,
            end=end_ns,
            stype_in=stype_in,
            stype_out=databento_dbn.SType("instrument_id"),
            schema=databento_dbn.Schema(schema),
            symbols=list(mappings),
            mappings=[_Mapping(symbol, intervals) for symbol, intervals in mappings.items()],  # type: ignore[misc]
            version=version,
        )
        metadata.encode()
    except (databento_dbn.DBNError, ValueError) as error:
        raise ConfigError(f"dataset={dataset!r}, version={version} or a symbol cannot be written as DBN metadata: {error}") from error
    return metadata


@contextlib.contextmanager
def _compressing(file: BinaryIO) -> Iterator[Any]:
    """Compress what is written, on threads of its own, so that whoever makes the records goes on meanwhile."""
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=max(os.cpu_count() or 1, 2), write_checksum=True)
    with compressor.stream_writer(file, closefd=False) as writer:
        yield writer
