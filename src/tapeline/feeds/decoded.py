"""Records of other types than MBO, of which files have few: found by their headers, and decoded by Databento's library."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import databento_dbn

from tapeline.errors import DataError
from tapeline.feeds.dbn import DbnInput, Span, truncated
from tapeline.feeds.dbn_kernels import RECORD_BYTES_MIN


def decoded(path: Path | str, rtype: int, sizes: Sequence[int]) -> Iterator[Any]:
    """The records of one type in a DBN file, plain or `.zst`; `sizes`: how many bytes each has in versions 1, 2 and 3.

    Raises DataError where the file cannot be read. A record of another size is told here: the library panics.
    """
    source = DbnInput([path])
    (file,) = source.files
    size, has_time = sizes[file.version - 1], file.metadata is not None and file.metadata.ts_out  # of version 0, a damaged file, no record comes
    decoder = databento_dbn.DBNDecoder(has_metadata=False, ts_out=has_time, input_version=file.version or None)
    number = 0
    for span in source.spans():
        found, position = bytearray(), 0
        while (end := _end(span, position, number + 1)) <= len(span.data):
            if span.data[position + 1] == rtype:
                if end - position != size + 8 * has_time:
                    raise _impossible(span, position, number + 1)
                found += span.data[position:end].tobytes()
            position, number = end, number + 1
        span.consumed = position
        if span.final and position < len(span.data):
            raise truncated(span, position, number + 1)
        try:
            decoder.write(bytes(found))
            yield from decoder.decode()
        except databento_dbn.DBNError as error:
            raise DataError(f"{path}: cannot be decoded: {error}") from error


def _end(span: Span, position: int, number: int) -> int:
    """Where the record at a position ends, maybe behind the span. Raises DataError at an impossible length."""
    if position + 2 > len(span.data):
        return len(span.data) + 1
    length = 4 * int(span.data[position])
    if length < RECORD_BYTES_MIN:
        raise _impossible(span, position, number)
    return position + length


def _impossible(span: Span, position: int, number: int) -> DataError:
    length, where = 4 * int(span.data[position]), f"record {number:,}, at byte {span.offset + position:,}"
    return DataError(f"{span.path}: {where}, is said to have {length} bytes, which no such record has: the file is damaged there. Get it again.")
