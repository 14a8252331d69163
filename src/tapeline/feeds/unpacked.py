"""Files of other vendors' messages: their bytes, plain or out of gzip or zstd, a piece at a time, the next one on a thread of its own."""

import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from tapeline.errors import DataError
from tapeline.feeds import zstd
from tapeline.feeds.ahead import Bytes, ahead

PIECE_BYTES: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib's word for gzip, with its header and checksum, of any window."""


class Unpacked:
    """A file's bytes as they were before they were compressed, if they are."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet. Raises DataError where there is no file to read."""
        self.path = path
        self.bytes_done = 0
        """Of the file as it lies on the disk; about, for it is read ahead."""
        try:
            if path.is_dir():
                raise DataError(f"{path}: is a directory: name a file in it")
            self.bytes_total = path.stat().st_size
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error

    def pieces(self) -> Generator[Bytes, None, None]:
        """All of it. Raises DataError at damage, behind everything before it."""
        return ahead(self._pieces())

    def _pieces(self) -> Generator[Bytes, None, None]:
        try:
            with self.path.open("rb") as file:
                magic = file.read(len(zstd.MAGIC))
                file.seek(0)
                if magic == zstd.MAGIC:
                    yield from self._decompressed()
                    return
                for piece in self._gunzipped(file) if magic.startswith(_GZIP_MAGIC) else iter(lambda: file.read(PIECE_BYTES), b""):
                    self.bytes_done = file.tell()
                    yield np.frombuffer(piece, np.uint8)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _decompressed(self) -> Iterator[Bytes]:
        for begun, chunk in enumerate(zstd.chunks(self.path, PIECE_BYTES), 1):
            self.bytes_done = min(begun * PIECE_BYTES // 4, self.bytes_total)  # such files have about a quarter of their content
            yield chunk.buffer[chunk.begin : chunk.end]
            if chunk.damage is not None:
                raise chunk.damage

    def _gunzipped(self, file: BinaryIO) -> Iterator[bytes]:
        """All members of a gzip file, one after the other; zeros behind them are padding."""
        member = zlib.decompressobj(_GZIP_WINDOW)
        total = 0
        try:
            while data := file.read(PIECE_BYTES):
                piece = b""
                while data or len(piece) == PIECE_BYTES:  # of a full piece, more may be held back
                    if member.eof:
                        data = data.lstrip(b"\0")
                        if not data:
                            break
                        member = zlib.decompressobj(_GZIP_WINDOW)
                    piece = member.decompress(data, PIECE_BYTES)
                    data = member.unused_data or member.unconsumed_tail
                    total += len(piece)
                    if piece:
                        yield piece
        except zlib.error as error:
            raise DataError(f"{self.path}: damaged behind byte {total:,} of its decompressed content ({error}). Get the file again.") from error
        if not member.eof:
            raise DataError(f"{self.path}: the compressed data ends too early, behind byte {total:,} of its content: the file is truncated. Get it again.")
