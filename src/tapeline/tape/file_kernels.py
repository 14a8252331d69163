"""Compiled passes over the columns of a tape: tape events to columns and back, and their checksum.

A replay checks a batch and turns it into rows within one call, for as many batches as a chunk takes: while Python went from batch to batch, it took as long
as all the rest.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.memory import address_of, copy, record_at, transpose
from tapeline.record import Record, int64, uint8, uint32, uint64
from tapeline.tape.records import COUNTER, EVENT, EVENT_SIZE
from tapeline.tape.vectors import LINE_BYTES, polynomial, turn

AT_ONCE: Final = 4
"""Rows are made out of columns four at a time: behind those that are wanted, up to three lines are written that are not."""

# what play() answers
CHUNK, DAMAGED, END = range(3)


class Columns(Record):
    """Where the columns of a batch lie, in the order of schema.TAPE_EVENT: those of one width lie at equal distances."""

    words: int64  # address of the first of WORDS columns of 8 bytes
    word_step: int64
    halves: int64  # of HALVES columns of 4 bytes
    half_step: int64
    singles: int64  # of SINGLES columns of 1 byte
    single_step: int64


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
    in_place: int64  # 1: all up to `stop` are wanted, and have the index that they have on the tape
    columns: Columns  # of the batch
    replay: int64  # address of the Replay that rows go into at once (market.direct)


class Word(Record):
    """Eight bytes."""

    value: int64


class Half(Record):
    """Four bytes."""

    value: uint32


class Byte(Record):
    """One byte."""

    value: uint8


WORD, HALF, BYTE, BATCH, PLAY = Word.dtype_, Half.dtype_, Byte.dtype_, Batch.dtype_, Play.dtype_
WORDS, HALVES, SINGLES = 4, 3, 4
_HALVES_AT, _SINGLES_AT = np.int64(8 * WORDS), np.int64(8 * WORDS + 4 * HALVES)
assert _SINGLES_AT + SINGLES == EVENT_SIZE


@leaf
def _aligned(n_bytes):
    return (n_bytes + LINE_BYTES - 1) & -LINE_BYTES


@entry
def lay(columns, body, n):
    """Let columns be those of a batch of `n` events whose body lies at an address, as arrow.batch_layout has it; the length of the body."""
    columns.word_step, columns.half_step, columns.single_step = _aligned(8 * n), _aligned(4 * n), _aligned(n)
    columns.words = body
    columns.halves = columns.words + WORDS * columns.word_step
    columns.singles = columns.halves + HALVES * columns.half_step
    return columns.singles + SINGLES * columns.single_step - body


@entry
def checksum(address, n_bytes):
    """Of a batch's body, of whole lines."""
    return polynomial(address, n_bytes // LINE_BYTES)


@entry
def scatter(events, n, columns, first):
    """Write `n` tape events at an address to the columns, from row `first` on."""
    for row in range(first, first + n):
        event = events + (row - first) * EVENT_SIZE
        for k in range(WORDS):
            record_at(columns.words + k * columns.word_step, row, WORD).value = record_at(event, k, WORD).value
        for k in range(HALVES):
            record_at(columns.halves + k * columns.half_step, row, HALF).value = record_at(event + _HALVES_AT, k, HALF).value
        for k in range(SINGLES):
            record_at(columns.singles + k * columns.single_step, row, BYTE).value = record_at(event + _SINGLES_AT, k, BYTE).value


@kernel
def gather(columns, first, n, to):
    """Write the tape events of `n` rows from `first` on, AT_ONCE at a time."""
    words, halves, singles = columns.words + 8 * first, columns.halves + 4 * first, columns.singles + first
    word_step, half_step, single_step = columns.word_step, columns.half_step, columns.single_step
    end = to + n * EVENT_SIZE
    while to < end:
        transpose(to, EVENT_SIZE, words, word_step)
        turn(to + _HALVES_AT, EVENT_SIZE, halves, half_step, singles, single_step)
        words += 8 * AT_ONCE
        halves += 4 * AT_ONCE
        singles += AT_ONCE
        to += AT_ONCE * EVENT_SIZE


@kernel
def choose(play, n):
    """Of the `n` tape events behind those that were written, keep those of instruments that are wanted, with their index in this run."""
    written = play.written
    for i in range(written, written + n):
        event = record_at(play.out, i, EVENT)
        index = record_at(play.places, np.int64(event.instrument), COUNTER).n
        if index >= 0:
            event.instrument = index
            if written < i:
                copy(play.out + written * EVENT_SIZE, address_of(event), EVENT_SIZE)
            written += 1
    play.written = written


@leaf
def is_damaged(play):
    """Whether the batch at hand, if it is a new one, does not have its checksum."""
    if play.row > 0:
        return False
    batch = record_at(play.batches, play.batch, BATCH)
    body = play.base + batch.offset
    return checksum(body, lay(play.columns, body, batch.events)) != batch.checksum


@leaf
def rows_ahead(play):
    """How many rows of the batch at hand belong to the chunk."""
    return min(record_at(play.batches, play.batch, BATCH).events - play.row, play.stop - play.done)


@leaf
def end_batch(play):
    """Turn to the next batch, if all of the one at hand is done: END behind the last one, or CHUNK."""
    if play.row == record_at(play.batches, play.batch, BATCH).events:
        play.batch += 1
        play.row = 0
    return END if play.batch == play.batches_n else CHUNK


@entry
def play(state):
    """Write tape events until the room is full (CHUNK), `stop` events of the tape are done (CHUNK), a batch does not have its checksum, or the tape ends."""
    state.written = 0
    status = END if state.batch == state.batches_n else CHUNK
    while status == CHUNK and state.done < state.stop and state.written < state.out_capacity:
        if is_damaged(state):
            return DAMAGED
        n = min(rows_ahead(state), state.out_capacity - state.written)
        gather(state.columns, state.row, n, state.out + state.written * EVENT_SIZE)
        if state.in_place:
            state.written += n
        else:
            choose(state, n)
        state.done += n
        state.row += n
        status = end_batch(state)
    return status
