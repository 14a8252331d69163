"""Records that get more room as they come."""

import errno
import itertools
import mmap

import numpy as np
import pytest

from tapeline.pages import Growing

KIND = np.dtype([("number", "<i8"), ("share", "<f8")])
LARGE = 200_000
"""So many lie in pages of their own."""


def numbered(n):
    """Records of which `n` were written."""
    growing = Growing(KIND)
    growing.grow(n)
    growing.records["number"] = np.arange(n)
    return growing


@pytest.mark.parametrize("rooms", [[10, 1000, LARGE], [LARGE, 8 * LARGE, 9 * LARGE], [1, LARGE, LARGE + 1]])
def test_what_was_written_stays_as_room_grows(rooms):
    """From the heap to pages, and from pages to more pages, nothing is lost."""
    growing = numbered(rooms[0])
    for before, n in itertools.pairwise(rooms):
        growing.grow(n)
        assert len(growing.records) == n
        assert (growing.records["number"][:before] == np.arange(before)).all()
        growing.records["number"] = np.arange(n)


def test_pages_that_nobody_has_are_used_again():
    """The next records of a kind lie where the last did, of another kind they do not; while anybody has a part of the last, elsewhere."""
    first = numbered(LARGE)
    address, part = first.records.ctypes.data, first.records[5:10]
    del first
    second = numbered(LARGE)
    assert second.records.ctypes.data != address
    assert (part["number"] == np.arange(5, 10)).all()
    del part
    other = Growing(np.dtype([("size", "<i8")]))
    other.grow(2 * LARGE)
    assert other.records.ctypes.data != address
    third = numbered(LARGE // 2)
    assert third.records.ctypes.data == address
    third.grow(LARGE)
    assert (third.records["number"][: LARGE // 2] == np.arange(LARGE // 2)).all()


def test_where_pages_are_refused_everything_stays():
    """A system that has no more: an error, and records and room as before."""
    growing = numbered(LARGE)

    class Refusing(mmap.mmap):
        def resize(self, _size):
            raise OSError(errno.ENOMEM, "refused")

    growing._pages = Refusing(-1, len(growing.records) * KIND.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    growing._lie_in(growing._pages, LARGE)
    growing.records["number"] = np.arange(LARGE)
    with pytest.raises(OSError, match="refused"):
        growing.grow(2 * LARGE)
    assert (growing.records["number"] == np.arange(LARGE)).all()
