"""Tape events as they are written, counters, and prices in ticks: what both the common and the unusual records need."""

from typing import Final

import numpy as np

from tapeline.jit import leaf
from tapeline.memory import record_at
from tapeline.tape.records import COUNTER, EVENT_SIZE, MARKED_EVENT, NO_SIDE

OFF_GRID_TICKS: Final = -(2**62)


@leaf
def count(reader, which):
    """Add one to a counter."""
    record_at(reader.counters, which, COUNTER).n += 1


@leaf
def ticks_of(source, price):
    """A price in ticks of the grid, or OFF_GRID_TICKS. Exact division by the modular inverse: shift, multiply, no divide."""
    ticks = np.int64(np.uint64(price >> source.grid_shift) * source.grid_inverse)
    if (ticks > source.ticks_max) | (ticks < -source.ticks_max) | (ticks * source.grid != price):
        return np.int64(OFF_GRID_TICKS)
    return ticks


@leaf
def next_stamp(here):
    """A new priority stamp."""
    here.stamp += 1
    return here.stamp - 1


@leaf
def marks(kind, flags, side):
    """Kind, flags and side of a tape event as they lie in memory."""
    return kind | flags << 8 | side << 16


@leaf
def emit(here, record, marked, level, delta):
    """The next tape event, but for its priority."""
    event = record_at(here.out, 0, MARKED_EVENT)
    here.out += EVENT_SIZE
    event.ts_event = record.ts_event
    event.ts_recv = record.ts_recv
    event.delta = delta
    event.place = (np.int64(level) & 0xFFFFFFFF) | (np.int64(record.sequence) << 32)
    event.marks = here.index | (np.int64(marked) << 32)
    return event


@leaf
def emit_nothing(here, record, kind, flags):
    """CLEAR or STATUS: a tape event without place or side."""
    emit(here, record, marks(kind, flags, NO_SIDE), 0, 0).priority = 0
