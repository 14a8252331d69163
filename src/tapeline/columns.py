"""Journals by field: what was written a record at a time becomes one array per field, by row; and what sorting does for arrays."""

from functools import cache
from types import ModuleType
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]
T = TypeVar("T", bound=np.generic)
_WORD: Final = 8
_LINE: Final = 8
"""Words in a cache line: columns are an odd number of lines apart, so that they lie in different sets of a cache."""
_SEATS_MAX: Final = 4
"""Records are put in order by giving each key a seat, if there are at most so many times as many seats as records."""


def growing(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """What is in an array in growing order, each once: as np.unique, which takes fifty times as long for a million of integers (2.4 hashes them)."""
    grown: npt.NDArray[T] = np.sort(values, axis=None)
    kept: npt.NDArray[T] = grown[np.append(True, grown[1:] != grown[:-1])[: len(grown)]]
    return kept


class Columns:
    """Records by field: `columns["price"]` is an array in one piece."""

    def __init__(self, words: Ints, dtype: np.dtype[Any]) -> None:
        """Of records whose words are the rows of an array; it is looked at when a field is asked for."""
        self._words, self._dtype = words, dtype
        self._known: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        """How many records."""
        return int(self._words.shape[1])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A field of all records, in memory of its own: Polars takes arrays as they are."""
        if name not in self._known:
            dtype, offset = self._dtype.fields[name][:2]  # type: ignore[index]  # they have fields
            parts = self._words[offset // _WORD].view(dtype)
            self._known[name] = parts[offset % _WORD // dtype.itemsize :: _WORD // dtype.itemsize].copy()
        return self._known[name]


class Turner:
    """Turns records into columns, so many at a time that they stay in a cache; those of one time are gone with the next.

    With NumPy's means, each field was gathered out of records that lay all over the memory: that took as long as all else about a row of a frame.
    """

    def __init__(self, records: Records, rows_max: int) -> None:
        """`rows_max` are turned at a time, at most."""
        self._records = np.ascontiguousarray(records)
        self._words = np.empty((records.itemsize // _WORD, (-(-rows_max // _LINE) | 1) * _LINE), np.int64)

    def turned(self, order: Ints) -> Columns:
        """The records of those numbers, in that order."""
        words, order = self._words, np.ascontiguousarray(order)
        kernels().turn(self._records.ctypes.data, len(words), order.ctypes.data, len(order), words.ctypes.data, words.strides[0])
        return Columns(words[:, : len(order)], self._records.dtype)


def order_of(records: Records, key: str, rows_n: int) -> Ints:
    """(n,) of numbers of records by row (of `rows_n`), then key, then number.

    For journals: what happens is recorded in order of time, and an order, which has a number, when it ends. General sorts took a sixth of a run.
    """
    n, compiled = len(records), kernels()
    tallies = np.zeros(rows_n, compiled.TALLY)
    tallies["least"], tallies["most"] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    fields = (records["row"].ctypes.data, records[key].ctypes.data, records.itemsize, n, tallies.ctypes.data)
    by_key = not compiled.tally(*fields)
    widths = tallies["n"].astype(np.float64)  # which no width is too great for
    if by_key:
        widths = np.where(widths > 0, tallies["most"].astype(np.float64) - tallies["least"] + 1, 0)
    if widths.sum() <= _SEATS_MAX * n:
        tallies["place"] = np.cumsum(widths) - widths
        seats = np.zeros(int(widths.sum()), np.int64)
        if compiled.seat(*fields, by_key, seats.ctypes.data):
            return (seats if len(seats) == n else seats[seats > 0]) - 1
    return np.lexsort((records[key], records["row"]))


@cache
def kernels() -> ModuleType:
    """The compiled part."""
    from tapeline.engine import journals  # noqa: PLC0415 - imports Numba, which results that are loaded do without

    return journals
