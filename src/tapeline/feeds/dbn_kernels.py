"""Compiled scans over DBN bytes and MBO records."""
# Numba infers the types of kernels and mypy cannot see them:
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors

from typing import Final

import numpy as np

from tapeline.constants import TIME_END, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP, Action
from tapeline.jit import entry
from tapeline.schema import MBO

RECORD_BYTES_MIN: Final = 16
"""Length, type, publisher, instrument and time: what every record starts with."""
MBO_RTYPE: Final = 160
MBO_WORDS: Final = MBO.itemsize // 4
SIZE_MAX: Final = 2**32 - 1
"""That a record can tell."""
RUN_ENDED: Final = 0
"""A record of another type follows."""
MORE: Final = 1
"""The data ends, perhaps inside a record."""
BAD: Final = 2
"""What follows cannot be a record."""


@entry
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


@entry
def first_from(records, time):
    """Which record is the first that was received at or after a time; their number, if none was. What is no time is damage, and left to whoever reads it."""
    received, happened = records["ts_recv"], records["ts_event"]
    for i in range(len(records)):
        known = received[i] if received[i] != UNDEFINED_TIMESTAMP else happened[i]
        if time <= known < TIME_END:
            return i
    return len(records)


SEEN: Final = np.dtype([("key", "<i8"), ("gcd", "<i8"), ("records", "<i8")])
"""What the survey knows of one instrument: key = publisher_id << 32 | instrument_id."""
SLOTS_PER_SEEN: Final = 4
"""Open addressing at a quarter full: an instrument is found at the first look nearly always."""


@entry
def survey_run(records, seen, slots, known):
    """Count the records of each instrument, and take the greatest common divisor of its book prices.

    `slots` (a power of two of them, 0 where empty) finds an instrument's row in `seen`, plus 1. Returns the number of records done, less than
    all where `seen` is full, and of instruments known.
    """
    publishers, instruments = records["publisher_id"], records["instrument_id"]
    actions, prices = records["action"], records["price"]
    keys, divisors, counts = seen["key"], seen["gcd"], seen["records"]
    mask = len(slots) - 1
    row = -1
    for i in range(len(records)):
        key = np.int64(publishers[i]) << 32 | np.int64(instruments[i])
        if row < 0 or key != keys[row]:
            slot = _slot(key) & mask
            while slots[slot] != 0 and keys[slots[slot] - 1] != key:
                slot = (slot + 1) & mask
            if slots[slot] == 0:
                if known == len(seen):
                    return i, known
                known += 1
                slots[slot] = known
                keys[known - 1] = key
            row = slots[slot] - 1
        counts[row] += 1
        price = prices[i]
        is_book_price = (actions[i] == Action.ADD or actions[i] == Action.MODIFY) and price != UNDEFINED_PRICE
        if is_book_price and (divisors[row] == 0 or price % divisors[row] != 0):
            divisors[row] = _gcd(divisors[row], price)
    return len(records), known


@entry
def index_seen(seen, slots, known):
    """Enter the first `known` rows of `seen` into empty `slots`."""
    mask = len(slots) - 1
    for row in range(known):
        slot = _slot(seen["key"][row]) & mask
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = row + 1


@entry
def _slot(key):
    """Instrument ids of a venue are close together and differ in their low bits: they need no mixing, publishers only keeping apart."""
    return key ^ (key >> 32) * 0x9E37


@entry
def _gcd(a, b):
    """Euclid's; of 0 and b it is |b|."""
    a, b = abs(a), abs(b)
    while b:
        a, b = b, a % b
    return a
