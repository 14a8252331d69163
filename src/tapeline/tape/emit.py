"""Tape events as they are written, counters, and prices in ticks: what both the common and the unusual records need."""

from typing import Final

import numpy as np

from tapeline.constants import TapeFlag
from tapeline.jit import leaf
from tapeline.memory import record_at
from tapeline.tape.records import ADD, COUNTER, NO_SIDE, REMOVE, SOURCE

OFF_GRID_TICKS: Final = -(2**62)
NOTHING: Final = np.int64(0)
JOINS: Final = ADD | np.int64(1 << 24)
LEAVES: Final = REMOVE | np.int64(TapeFlag.GONE << 8 | 0xFF << 24)
"""Marks of an order that joins a level, and of one that leaves it: kind, flags, and one order more or less."""
_ZERO: Final = np.uint64(0)
_SHIFT_MAX: Final = np.uint64(63)


@leaf
def count(reader, which):
    """Add one to a counter."""
    record_at(reader.counters, which, COUNTER).n += 1


@leaf
def ticks_above_least(source, price):
    """How many ticks of the grid a price lies above the least that the book takes; more than `source.ticks_span` where it is none that the book takes.

    Exact division without a divide: what is no multiple of the grid's odd part becomes a huge number by its modular inverse, and what is none of its power of
    two has bits that the rotation brings to the top (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", section 9).
    """
    product = (np.uint64(price) + source.price_span) * source.grid_inverse
    return (product >> (source.grid_shift & _SHIFT_MAX)) | (product << ((_ZERO - source.grid_shift) & _SHIFT_MAX))


@leaf
def ticks_of(source, price):
    """A price in ticks of the grid, or OFF_GRID_TICKS."""
    ticks = ticks_above_least(source, price)
    return np.int64(OFF_GRID_TICKS) if ticks > source.ticks_span else np.int64(ticks) - source.ticks_max


@leaf
def next_stamp(here):
    """A new priority stamp."""
    here.stamp += 1
    return here.stamp - 1


@leaf
def marks(kind, flags):
    """Kind and flags of a tape event as they lie in memory; its side lies 16 bits up, the change of the number of orders 24."""
    return kind | flags << 8


@leaf
def emit(here, record, marked, level, delta, priority):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """The next tape event."""
    here.begin(record_at(here.source, 0, SOURCE), record.ts_event, record.ts_recv, record.sequence)
    here.put(marked, level, delta, priority)


@leaf
def emit_order(here, record, slot, marked, delta):
    """A tape event of a resting order, at its place."""
    emit(here, record, marked | np.int64(slot.side) << 16, np.int64(slot.level), delta, slot.priority)


@leaf
def emit_nothing(here, record, kind, flags):
    """CLEAR or STATUS: a tape event without place or side."""
    emit(here, record, marks(kind, flags) | NO_SIDE << 16, NOTHING, NOTHING, NOTHING)
