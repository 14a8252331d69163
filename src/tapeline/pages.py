"""Memory that is had from the system, and given back: zeroed tables, what grows, what others have left, mapped files, and files that are to be mapped."""

import collections
import io
import mmap
import weakref
from contextlib import suppress
from typing import Any, BinaryIO, ClassVar, Final

import numpy as np

_PAGES_BYTES_MIN = 1 << 20
"""What is smaller comes from the heap, whose pages are there already: runs over a million records took 4 to 9 % more with pages of their own from 64 KB on."""
_ARENA_BYTES = 1 << 20
_LINE_BYTES = 64
BLOCK_BYTES: Final = 1 << 22
"""Of a file, written at once; a multiple of a huge page."""


def zeros(n: int, dtype: Any) -> np.ndarray[Any, Any]:
    """`n` records or numbers of zeros in pages of their own: what is never touched costs nothing, however often such memory is had and given back.

    `np.zeros` clears what it gets from the heap, the pools of a run each time anew (32 MB); and from 4 MB on NumPy asks for huge pages, which can
    be dear to get on a virtual machine: 16 MB took up to 100 ms of system time, where ordinary pages took 4.
    """
    size = n * np.dtype(dtype).itemsize
    return np.zeros(n, dtype) if size < _PAGES_BYTES_MIN else np.frombuffer(_pages(size), dtype)


def aligned(n: int, dtype: Any) -> np.ndarray[Any, Any]:
    """The same, at the start of a cache line."""
    size = n * np.dtype(dtype).itemsize
    block = zeros(size + _LINE_BYTES, np.uint8)
    return block[-block.ctypes.data % _LINE_BYTES :][:size].view(dtype)


def reserved(n: int) -> np.ndarray[Any, Any]:
    """`n` bytes of zeros that are had when they are first touched, in huge pages where there are any: for what grows, and is touched at random."""
    pages = _pages(n)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)


def mapped(file: BinaryIO) -> mmap.mmap:
    """The bytes of a file that is not empty, to be read from the front.

    What comes from the disk comes in huge pages, where file system and memory have them, and stays so for whoever reads it next: to map small ones takes 4 ns
    per record, a third of what normalising does.
    """
    pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for advice in ("MADV_SEQUENTIAL", "MADV_HUGEPAGE"):
        with suppress(AttributeError, OSError):  # a system, or a kernel, without it
            pages.madvise(getattr(mmap, advice))
    return pages


def bytes_left(pages: mmap.mmap) -> int:
    """How many bytes of a mapped file are there still.

    Others may cut it, and the system kills whoever reads the mapping behind its end (SIGBUS): who asks before each piece leaves the time that one takes.
    """
    return min(len(pages), pages.size())


def give_back(pages: mmap.mmap | None, start: int, size: int) -> None:
    """Take what was read of a mapped file out of this process's memory; the page cache keeps it, and whoever looks at it again gets it from there."""
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        first = start & -mmap.PAGESIZE
        pages.madvise(mmap.MADV_DONTNEED, first, max(((start + size) & -mmap.PAGESIZE) - first, 0))


class BlockWriter(io.BufferedWriter):
    """Writes a file that is to be mapped in whole blocks, each at a multiple of its size.

    The system keeps a file in pages as large as what was written and as the place where it was: written so, all of it is mapped in huge pages, which takes next
    to nothing. In blocks that a header had moved, half of it was, which took 5 ns a record, to be mapped and given back: a tenth of a market maker's run.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        """Write to `raw`, from its start on."""
        super().__init__(raw, BLOCK_BYTES)
        self._room = BLOCK_BYTES

    def write(self, data: Any, /) -> int:
        """Write all bytes of a contiguous buffer; how many they are."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            n = super().write(view[done : done + self._room])  # never more than there is room for: what fills a block is written with the next byte
            done += n
            self._room = self._room - n or BLOCK_BYTES
        return done


def _pages(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Growing:
    """Records that get more room as they come. What lies behind those that were written is arbitrary.

    From a megabyte on they lie in pages of their own, which the system moves when there have to be more: nothing is copied, and nothing touched for the first
    time again. When nobody has the records any more, the next of their kind take the pages; until then the system may have them back when it runs short of
    memory. A page that is touched first takes much longer than to write it: a repeated run of 64 rows of a market maker takes a third less time so. (Huge
    pages were faster where the system had some at hand, and took four times as long as ordinary ones where it had to ask its host for them.)
    """

    _spares: ClassVar[dict[Any, list[mmap.mmap]]] = collections.defaultdict(list)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        """No room yet."""
        self.records = np.zeros(0, dtype)
        self._pages: mmap.mmap | None = None

    def grow(self, n: int) -> None:
        """Give them room for `n`, while nobody else has them. Raises OSError where the system has no more."""
        dtype, kept, pages = self.records.dtype, self.records, self._pages
        size = n * dtype.itemsize
        if size < _PAGES_BYTES_MIN:
            self.records = np.zeros(n, dtype)
        elif pages is None:
            pages = self._spare_pages() or _pages(size)
            pages.resize(max(size, len(pages)))
            self._lie_in(pages, n)
        else:
            self._end.detach()
            del kept
            self.records = np.zeros(0, dtype)  # views of pages keep them from growing
            try:
                pages.resize(max(size, len(pages)))
            finally:
                self._lie_in(pages, min(n, len(pages) // dtype.itemsize))
            return
        self.records[: len(kept)].view(np.uint8)[:] = kept.view(np.uint8)  # NumPy's own copies go field by field, and take thirteen times as long

    def _lie_in(self, pages: mmap.mmap, n: int) -> None:
        lease = np.frombuffer(pages, np.uint8)  # which all views refer to
        self._end = weakref.finalize(lease, self._give_back, self.records.dtype, pages)
        self._end.atexit = False
        self._pages, self.records = pages, lease[: n * self.records.dtype.itemsize].view(self.records.dtype)

    def _spare_pages(self) -> mmap.mmap | None:
        try:
            return self._spares[self.records.dtype].pop()
        except IndexError:
            return None

    @classmethod
    def _give_back(cls, dtype: np.dtype[Any], pages: mmap.mmap) -> None:
        if hasattr(mmap, "MADV_FREE"):
            pages.madvise(mmap.MADV_FREE)
            cls._spares[dtype].append(pages)


def left_over(n: int, dtype: Any) -> np.ndarray[Any, Any]:
    """`n` records or numbers, arbitrary ones, in pages that nobody has any more, if there are any: as `Growing` takes and leaves them."""
    memory = Growing(np.dtype(dtype))
    memory.grow(n)
    return memory.records


class Arena:
    """Zeroed memory in small pieces that live as long as it does, each at the start of a cache line."""

    def __init__(self) -> None:
        """Nothing is taken yet."""
        self._blocks: list[np.ndarray[Any, Any]] = []
        self._next = self._end = 0

    def take(self, size: int) -> int:
        """The address of `size` bytes. An array of one's own takes ten times as long."""
        size = -(-size // _LINE_BYTES) * _LINE_BYTES
        if self._next + size > self._end:
            block = zeros(max(size, _ARENA_BYTES), np.uint8)
            self._blocks.append(block)
            self._next = int(block.ctypes.data)
            self._end = self._next + len(block)
        self._next += size
        return self._next - size
