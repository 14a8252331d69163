"""Compiled passes over the columns of a tape: tape events to columns and back, and their checksum."""

from typing import Final

import numpy as np

from tapeline.jit import entry
from tapeline.memory import record_at
from tapeline.record import Record, int32, int64, uint8, uint32, uint64
from tapeline.tape.records import EVENT, EVENT_SIZE, MARKED_EVENT

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
LANES: Final = 8


class Words(Record):
    """Eight words, for a checksum in eight lanes."""

    a: uint64
    b: uint64
    c: uint64
    d: uint64
    e: uint64
    f: uint64
    g: uint64
    h: uint64


class Columns(Record):
    """Addresses of the columns of a batch, in the order of schema.TAPE_EVENT."""

    ts_event: int64
    ts_recv: int64
    delta: int64
    priority: int64
    level: int64
    sequence: int64
    instrument: int64
    kind: int64
    flags: int64
    side: int64
    spare: int64


class Word(Record):
    """Eight bytes."""

    value: int64


class Half(Record):
    """Four bytes."""

    value: int32


class UnsignedHalf(Record):
    """The same, without a sign."""

    value: uint32


class Byte(Record):
    """One byte."""

    value: uint8


WORDS, WORD, HALF, UNSIGNED_HALF, BYTE = Words.dtype_, Word.dtype_, Half.dtype_, UnsignedHalf.dtype_, Byte.dtype_


@entry
def checksum(address, n_bytes):
    """A polynomial in an odd multiplier over 64-bit words, in eight lanes, modulo 2^64; `n_bytes` is a multiple of 64.

    Any change of one word changes it for sure. Eight chains run side by side: a byte-wise CRC would take longer than all the rest of a replay.
    """
    a = b = c = d = e = f = g = h = np.uint64(1)
    for i in range(n_bytes // 64):
        w = record_at(address, i, WORDS)
        a = a * MULTIPLIER + w.a
        b = b * MULTIPLIER + w.b
        c = c * MULTIPLIER + w.c
        d = d * MULTIPLIER + w.d
        e = e * MULTIPLIER + w.e
        f = f * MULTIPLIER + w.f
        g = g * MULTIPLIER + w.g
        h = h * MULTIPLIER + w.h
    total = a
    for lane in (b, c, d, e, f, g, h):
        total = total * MULTIPLIER + (lane ^ (lane >> np.uint64(29)))
    return total


@entry
def scatter(events, n, columns, first):
    """Write `n` tape events at an address to the columns, from row `first` on."""
    for i in range(n):
        event = record_at(events, i, EVENT)
        row = first + i
        record_at(columns.ts_event, row, WORD).value = event.ts_event
        record_at(columns.ts_recv, row, WORD).value = event.ts_recv
        record_at(columns.delta, row, WORD).value = event.delta
        record_at(columns.priority, row, WORD).value = event.priority
        record_at(columns.level, row, HALF).value = event.level
        record_at(columns.sequence, row, UNSIGNED_HALF).value = event.sequence
        record_at(columns.instrument, row, UNSIGNED_HALF).value = event.instrument
        record_at(columns.kind, row, BYTE).value = event.kind
        record_at(columns.flags, row, BYTE).value = event.flags
        record_at(columns.side, row, BYTE).value = event.side
        record_at(columns.spare, row, BYTE).value = event.spare


@entry
def gather(columns, rows, out, places):
    """Write the tape events of rows[0] … rows[1] - 1 to an address; how many. `places`: per instrument of the tape its index in this run, or -1: not wanted."""
    written = 0
    for row in range(rows[0], rows[1]):
        index = places[record_at(columns.instrument, row, HALF).value]
        event = record_at(out, written, MARKED_EVENT)
        event.ts_event = record_at(columns.ts_event, row, WORD).value
        event.ts_recv = record_at(columns.ts_recv, row, WORD).value
        event.delta = record_at(columns.delta, row, WORD).value
        event.priority = record_at(columns.priority, row, WORD).value
        event.place = (np.int64(record_at(columns.level, row, HALF).value) & 0xFFFFFFFF) | (np.int64(record_at(columns.sequence, row, HALF).value) << 32)
        low = np.int64(record_at(columns.kind, row, BYTE).value) | np.int64(record_at(columns.flags, row, BYTE).value) << 8
        high = np.int64(record_at(columns.side, row, BYTE).value) | np.int64(record_at(columns.spare, row, BYTE).value) << 8
        event.marks = (index & 0xFFFFFFFF) | ((low | high << 16) << 32)
        written += index >= 0
    return written


assert EVENT_SIZE == 48  # what the words of MarkedEvent hold
