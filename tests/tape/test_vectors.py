"""Checksums and rows out of columns, compiled in vectors, against plain Python and against what went in."""

import random

import numpy as np
import pytest

from tapeline.jit import entry
from tapeline.memory import view
from tapeline.schema import TAPE_EVENT
from tapeline.tape.arrow import batch_layout
from tapeline.tape.file_kernels import AT_ONCE, Columns, checksum, gather, lay, scatter
from tapeline.tape.vectors import LINE_BYTES, polynomial


@entry
def gathered(columns, first, n, to):
    """`gather` from Python."""
    gather(columns, first, n, to)


@pytest.mark.parametrize("lines", [0, 1, 2, 77])
def test_a_checksum_is_the_same_without_the_compiler(lines):
    """Compiled and plain: a tape written by one is read by the other."""
    words = np.frombuffer(random.Random(lines).randbytes(LINE_BYTES * max(lines, 1)), np.uint64)
    with np.errstate(over="ignore"):
        assert int(checksum(words.ctypes.data, LINE_BYTES * lines)) == int(polynomial(words.ctypes.data, lines))


def test_a_changed_word_changes_the_checksum():
    """Each bit of each word, wherever it stands."""
    words = np.frombuffer(random.Random(1).randbytes(LINE_BYTES * 3), np.uint64).copy()
    whole = int(checksum(words.ctypes.data, words.nbytes))
    for k in range(len(words)):
        for bit in range(64):
            words[k] ^= np.uint64(1 << bit)
            assert int(checksum(words.ctypes.data, words.nbytes)) != whole
            words[k] ^= np.uint64(1 << bit)


@pytest.mark.parametrize("n", [1, 3, 4, 8, 100, 1001])
def test_rows_go_into_columns_and_come_out(n):
    """Any rows of a batch are the tape events that went in, byte for byte, and no more than three lines behind them are touched; columns lie as in the file."""
    rng = random.Random(n)
    events = np.frombuffer(rng.randbytes(n * TAPE_EVENT.itemsize), TAPE_EVENT)
    places, size = batch_layout(TAPE_EVENT, n)
    body, columns = np.zeros(size + LINE_BYTES, np.uint8), Columns.array(1)[0]
    assert lay(columns, body.ctypes.data, n) == size
    half = rng.randrange(n + 1)
    scatter(events.ctypes.data, half, columns, 0)
    scatter(events[half:].ctypes.data, n - half, columns, half)
    for name, place in zip(TAPE_EVENT.names, places, strict=True):
        assert (view(body.ctypes.data + place, n, TAPE_EVENT[name]) == events[name]).all()
    for first in {0, rng.randrange(n), n - 1}:
        wanted = rng.randrange(n - first) + 1
        out = np.zeros(wanted + AT_ONCE, TAPE_EVENT)
        gathered(columns, first, wanted, out.ctypes.data)
        assert out[:wanted].tobytes() == events[first : first + wanted].tobytes()
        assert not any(out[wanted + AT_ONCE - 1 :].tobytes())
