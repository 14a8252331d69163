"""Compiled scans over DBN bytes and MBO records."""
# mypy: disable-error-code="no-untyped-def"

from typing import Final

import numpy as np
from numba import njit

from tapeline.constants import UNDEFINED_PRICE, Action

RECORD_BYTES_MIN: Final = 16
"""Length, type, publisher, instrument and time: what every record starts with."""
MBO_RTYPE: Final = 160
RUN_ENDED: Final = 0
"""A record of another type follows."""
MORE: Final = 1
"""The data ends, perhaps inside a record."""
BAD: Final = 2
"""What follows cannot be a record."""


@njit(cache=True, nogil=True)
def scan_run(data, position, stride):
    """Skip records of other types, then take the longest run of whole MBO records of `stride` bytes.

    Returns the run's begin and end, the number of records skipped, and what stopped it: RUN_ENDED, MORE or BAD.
    """
    size = len(data)
    words = stride // 4
    skipped = 0
    while position + 2 <= size:
        length = np.int64(data[position])
        if data[position + 1] == MBO_RTYPE:
            if length != words:
                return position, position, skipped, BAD
            break
        if length * 4 < RECORD_BYTES_MIN:
            return position, position, skipped, BAD
        if position + length * 4 > size:
            break
        position += length * 4
        skipped += 1
    begin = position
    while position + stride <= size and data[position] == words and data[position + 1] == MBO_RTYPE:
        position += stride
    if position + 2 > size:
        return begin, position, skipped, MORE
    length = np.int64(data[position])
    is_mbo = data[position + 1] == MBO_RTYPE
    if (is_mbo and length != words) or length * 4 < RECORD_BYTES_MIN:
        return begin, position, skipped, BAD
    if position + length * 4 > size:
        return begin, position, skipped, MORE
    return begin, position, skipped, RUN_ENDED


SEEN: Final = np.dtype([("key", "<u8"), ("gcd", "<i8"), ("records", "<i8")])
"""What the survey knows of one instrument: key = publisher_id << 32 | instrument_id."""
SLOTS_PER_SEEN: Final = 4
"""Open addressing at a quarter full: an instrument is found at the first look nearly always."""


@njit(cache=True, nogil=True)
def survey_run(records, seen, slots, known):
    """Count the records of each instrument, and take the greatest common divisor of its book prices.

    `slots` (int32, a power of two of them, 0 where empty) finds an instrument's row in `seen`, plus 1. Returns the number of records done, less than
    all where `seen` is full, and of instruments known.
    """
    mask = np.uint64(len(slots) - 1)
    last_key, row = np.uint64(0), -1
    for i in range(len(records)):
        record = records[i]
        key = np.uint64(record.publisher_id) << np.uint64(32) | np.uint64(record.instrument_id)
        if row < 0 or key != last_key:
            slot = _mixed(key) & mask
            while slots[slot] != 0 and seen[slots[slot] - 1].key != key:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] == 0:
                if known == len(seen):
                    return i, known
                known += 1
                slots[slot] = known
                seen[known - 1].key = key
            last_key, row = key, slots[slot] - 1
        seen[row].records += 1
        if (record.action == Action.ADD or record.action == Action.MODIFY) and record.price != UNDEFINED_PRICE:
            divisor, price = seen[row].gcd, record.price
            if divisor == 0 or price % divisor != 0:
                seen[row].gcd = _gcd(divisor, price)
    return len(records), known


@njit(cache=True, nogil=True)
def index_seen(seen, slots, known):
    """Enter the first `known` rows of `seen` into empty `slots`."""
    mask = np.uint64(len(slots) - 1)
    for row in range(known):
        slot = _mixed(seen[row].key) & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = row + 1


@njit(cache=True, nogil=True)
def _mixed(key):
    """Fibonacci hashing: the upper bits of a product with 2^64 / golden ratio."""
    return (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)


@njit(cache=True, nogil=True)
def _gcd(a, b):
    """Euclid's; of 0 and b it is |b|."""
    a, b = abs(a), abs(b)
    while b:
        a, b = b, a % b
    return a
