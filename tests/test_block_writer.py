"""Files that are to be mapped are written in whole blocks."""

import io

import numpy as np
import pytest

from tapeline.pages import BLOCK_BYTES, BlockWriter


class _Recorder(io.RawIOBase):
    """Keeps what is written, and where each write began."""

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray()
        self.writes: list[tuple[int, int]] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        begin = len(self.content)
        self.content += memoryview(data).cast("B")  # type: ignore[arg-type]
        self.writes.append((begin, len(self.content) - begin))
        return len(self.content) - begin


@pytest.mark.parametrize("sizes", [(200, 3 * BLOCK_BYTES), (7, BLOCK_BYTES - 7, BLOCK_BYTES, 1), (BLOCK_BYTES // 3 + 1,) * 10, (1, 0, 2)])
def test_writes_are_whole_blocks_at_multiples_of_their_size(sizes: tuple[int, ...]) -> None:
    """Whatever comes in whichever pieces, all writes but the last are one block long, and what lies in the file is what came, in order."""
    raw, generator = _Recorder(), np.random.default_rng(1)
    pieces = [generator.integers(0, 256, n, dtype=np.uint8) for n in sizes]
    with BlockWriter(raw) as file:
        assert [file.write(piece) for piece in pieces] == list(sizes)
        file.flush()
        content, writes = bytes(raw.content), raw.writes
    assert content == b"".join(piece.tobytes() for piece in pieces)
    assert all(begin % BLOCK_BYTES == 0 and (n == BLOCK_BYTES or begin + n == len(content)) for begin, n in writes), writes
