"""Zstandard input, decompressed into buffers with room in front.

Format: RFC 8878. A file is a sequence of frames; a frame a sequence of blocks of at most 128 KiB.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import zstandard

from tapeline.errors import DataError
from tapeline.feeds.ahead import Buffers, Bytes

MAGIC: Final = b"\x28\xb5\x2f\xfd"
HEADROOM: Final = 1 << 14
"""Bytes in front of a chunk, for the unread tail of the one before: some records of at most 1,020 bytes."""
_WINDOW_BYTES_MAX: Final = 1 << 31
"""Files written with `zstd --long=31` decompress too."""
_STEP_BYTES: Final = 1 << 18
"""Decompressed at once: steps that stay in the L2 cache were up to 20 % faster than 4 MiB in one call."""
_MISSING: Final = -1
"""Size of what a damaged file should still have held."""


@dataclass(frozen=True)
class Chunk:
    """Some decompressed bytes: `buffer[begin:end]`; what is before `begin` is free to use."""

    buffer: Bytes
    begin: int
    end: int
    final: bool
    """Nothing of this file follows."""
    damage: DataError | None = None
    """Why nothing follows, if that is not the end of the file."""


def reader(file: BinaryIO) -> zstandard.ZstdDecompressionReader:
    """A reader over all frames of a file, which it leaves open."""
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).stream_reader(file, read_across_frames=True, closefd=False)


def chunks(path: Path, chunk_bytes: int) -> Generator[Chunk, None, None]:
    """The decompressed bytes of a file, `chunk_bytes` at a time; the last chunk is final, and may be empty.

    Damage does not raise: everything before it is in the chunks, and the final one says what is wrong. The file is opened once: whatever comes to stand in
    its place meanwhile is not looked at.
    """
    buffers = Buffers(HEADROOM + chunk_bytes)
    total = 0
    with path.open("rb") as file, reader(file) as source:
        while True:
            buffer = buffers.lend()
            size, problem = _fill(source, buffer.data[HEADROOM:])
            final = size < chunk_bytes
            if problem:
                yield from _salvaged(file, total, chunk_bytes, problem)
                return
            total += size
            if final and not _is_complete(file):
                yield Chunk(buffer, HEADROOM, HEADROOM + size, True, _damage(file, total, "the compressed data ends too early"))
                return
            yield Chunk(buffer, HEADROOM, HEADROOM + size, final)
            if final:
                return
            del buffer  # or it would be lent while the next is asked for


def _fill(source: zstandard.ZstdDecompressionReader, target: memoryview) -> tuple[int, str]:
    """Fill `target` as far as the data goes: bytes written, and what the decompressor objects to."""
    filled = 0
    try:
        while filled < len(target):
            size = source.readinto(target[filled : filled + _STEP_BYTES])
            if size == 0:
                break
            filled += size
    except zstandard.ZstdError as error:
        return filled, str(error)
    return filled, ""


def _salvaged(file: BinaryIO, skip: int, chunk_bytes: int, problem: str) -> Iterator[Chunk]:
    """Everything that decompresses behind the first `skip` bytes of a damaged file.

    The reader does not say how much it wrote before it failed, so the file is read once more, block by block.
    """
    good = bytearray()
    position = 0
    for piece in _blocks_decompressed(file):
        position += len(piece)
        if position > skip:
            good += piece[-(position - skip) :]
            skip = position
    damage = _damage(file, position, problem)
    for start in range(0, len(good), chunk_bytes):
        data = np.frombuffer(bytes(HEADROOM) + good[start : start + chunk_bytes], np.uint8).copy()
        yield Chunk(data, HEADROOM, len(data), final=False)
    yield Chunk(np.zeros(HEADROOM, np.uint8), HEADROOM, HEADROOM, final=True, damage=damage)


def _damage(file: BinaryIO, position: int, problem: str) -> DataError:
    return DataError(f"{file.name}: damaged behind byte {position:,} of its decompressed content ({problem}); everything before was read. Get the file again.")


def _blocks_decompressed(file: BinaryIO) -> Iterator[bytes]:
    """Decompress block by block, until the end or the first damage."""
    content = _compressed(file)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).decompressobj()
    try:
        for begin, end in _pieces(content):
            if end == _MISSING:
                return
            if decompressor.eof:
                decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).decompressobj()
            yield decompressor.decompress(content[begin:end])
    except zstandard.ZstdError:
        return


def _is_complete(file: BinaryIO) -> bool:
    """Whether the file ends where its last frame does; the decompressor takes any end for the end.

    Walks from block header to block header: some milliseconds per GB.
    """
    return all(end != _MISSING for _, end in _pieces(_compressed(file)))


def _compressed(file: BinaryIO) -> memoryview:
    return np.memmap(file, np.uint8, "r").data if file.seek(0, os.SEEK_END) else memoryview(b"")


def _pieces(content: memoryview) -> Iterator[tuple[int, int]]:
    """Begin and end of each header with its first block, each further block, each checksum, in order; end is -1 where the file stops inside one."""
    position = 0
    while position < len(content):
        begin, is_last = position, False
        header = _header_bytes(content, position)
        if header < 0:  # a skippable frame
            position += -header
            yield begin, position if position <= len(content) else _MISSING
            continue
        descriptor = content[position + 4] if position + 4 < len(content) else 0
        position += header
        while not is_last:
            block = int.from_bytes(content[position : position + 3], "little")
            is_last = bool(block & 1)
            position += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)  # a run-length block is one byte
            if position > len(content):
                yield begin, _MISSING
                return
            yield begin, position
            begin = position
        if descriptor & 4:
            position += 4
            yield begin, position if position <= len(content) else _MISSING


def _header_bytes(content: memoryview, position: int) -> int:
    """Size of the frame header at `position`; of a skippable frame, minus its whole size."""
    magic = int.from_bytes(content[position : position + 4], "little")
    if magic >> 4 == 0x184D2A5:
        return -(8 + int.from_bytes(content[position + 4 : position + 8], "little"))
    descriptor = content[position + 4] if position + 4 < len(content) else 0
    is_single = descriptor >> 5 & 1
    content_size_bytes = (is_single, 2, 4, 8)[descriptor >> 6]
    return 5 + (1 - is_single) + (0, 1, 2, 4)[descriptor & 3] + content_size_bytes
