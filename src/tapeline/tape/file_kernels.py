"""Compiled passes over the columns of a tape: tape events to columns and back, and their checksum.

A replay checks a batch and turns it into rows within one call, for as many batches as a chunk takes: while Python went from batch to batch, it took as long
as all the rest.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.memory import record_at
from tapeline.record import Record, int32, int64, uint8, uint32, uint64
from tapeline.tape.records import COUNTER, EVENT_SIZE, MARKED_EVENT

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_BYTE_MASK: Final = np.uint32(0xFF)
_ALIGNMENT: Final = 64
"""Of columns in a batch, as Arrow wants it."""

# what play() answers
CHUNK, DAMAGED, END = range(3)


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
    orders: int64


class Batch(Record):
    """A batch of a tape: where its columns start in the file, its number of events and its checksum."""

    offset: int64
    events: int64
    checksum: uint64


class Play(Record):
    """Where a replay of a tape is, and what it writes to."""

    base: int64  # address of the mapped file
    batches: int64  # address of `batches_n` batches; `batch` is under way
    batches_n: int64
    batch: int64
    row: int64  # of it, is the next; 0: it is to be checked first
    done: int64  # events of the tape so far
    stop: int64  # so many of them end a chunk
    out: int64  # address of room for `out_capacity` tape events, of which `written` are there
    out_capacity: int64
    written: int64
    places: int64  # address of a number per instrument of the tape: its index in this run, or -1: not wanted
    columns: Columns  # of the batch


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


WORDS, WORD, HALF, UNSIGNED_HALF, BYTE, BATCH = Words.dtype_, Word.dtype_, Half.dtype_, UnsignedHalf.dtype_, Byte.dtype_, Batch.dtype_


@leaf
def _aligned(n_bytes):
    return (n_bytes + _ALIGNMENT - 1) & -_ALIGNMENT


@entry
def lay(columns, body, n):
    """Let columns be those of a batch of `n` events whose body lies at an address, as arrow.batch_layout has it; the length of the body."""
    words, halves, single = _aligned(8 * n), _aligned(4 * n), _aligned(n)
    columns.ts_event = body
    columns.ts_recv = columns.ts_event + words
    columns.delta = columns.ts_recv + words
    columns.priority = columns.delta + words
    columns.level = columns.priority + words
    columns.sequence = columns.level + halves
    columns.instrument = columns.sequence + halves
    columns.kind = columns.instrument + halves
    columns.flags = columns.kind + single
    columns.side = columns.flags + single
    columns.orders = columns.side + single
    return columns.orders + single - body


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
        event = record_at(events, i, MARKED_EVENT)
        marks = event.marks
        row = first + i
        record_at(columns.ts_event, row, WORD).value = event.ts_event
        record_at(columns.ts_recv, row, WORD).value = event.ts_recv
        record_at(columns.delta, row, WORD).value = event.delta
        record_at(columns.priority, row, WORD).value = event.priority
        record_at(columns.level, row, HALF).value = event.level
        record_at(columns.sequence, row, UNSIGNED_HALF).value = event.sequence
        record_at(columns.instrument, row, UNSIGNED_HALF).value = event.instrument
        record_at(columns.kind, row, BYTE).value = marks & _BYTE_MASK
        record_at(columns.flags, row, BYTE).value = marks >> 8 & _BYTE_MASK
        record_at(columns.side, row, BYTE).value = marks >> 16 & _BYTE_MASK
        record_at(columns.orders, row, BYTE).value = marks >> 24


@kernel
def gather(columns, first, n, play):
    """Add the tape events of `n` rows from `first` on, of the instruments that are wanted, to what was written."""
    out, written = play.out, play.written
    for row in range(first, first + n):
        index = record_at(play.places, record_at(columns.instrument, row, HALF).value, COUNTER).n
        event = record_at(out, written, MARKED_EVENT)
        event.ts_event = record_at(columns.ts_event, row, WORD).value
        event.ts_recv = record_at(columns.ts_recv, row, WORD).value
        event.delta = record_at(columns.delta, row, WORD).value
        event.priority = record_at(columns.priority, row, WORD).value
        event.level = record_at(columns.level, row, HALF).value
        event.sequence = record_at(columns.sequence, row, UNSIGNED_HALF).value
        event.instrument = index
        low = np.int64(record_at(columns.kind, row, BYTE).value) | np.int64(record_at(columns.flags, row, BYTE).value) << 8
        high = np.int64(record_at(columns.side, row, BYTE).value) | np.int64(record_at(columns.orders, row, BYTE).value) << 8
        event.marks = low | high << 16
        written += index >= 0
    play.written = written


@entry
def play(state):
    """Write tape events until the room is full (CHUNK), `stop` events of the tape are done (CHUNK), a batch does not have its checksum, or the tape ends."""
    state.written = 0
    columns = state.columns
    while state.batch < state.batches_n:
        if state.done == state.stop or state.written == state.out_capacity:
            return CHUNK
        batch = record_at(state.batches, state.batch, BATCH)
        if state.row == 0:
            body = state.base + batch.offset
            if checksum(body, lay(columns, body, batch.events)) != batch.checksum:
                return DAMAGED
        n = min(batch.events - state.row, state.out_capacity - state.written, state.stop - state.done)
        gather(columns, state.row, n, state)
        state.done += n
        state.row += n
        if state.row == batch.events:
            state.batch += 1
            state.row = 0
    return END


assert EVENT_SIZE == 48  # what the words of MarkedEvent hold
