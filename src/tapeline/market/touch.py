"""Tape events into rows of the best prices: the loop behind `tapeline.depth` with one level, and behind `tapeline check`.

As `market.replay`, without features and deeper levels. Each number of a row goes into its column at once, in a block that lies in the first cache,
so that a full block is copied as it is: three quarters of the instructions of rows that lie one after the other, where half of the records change the touch.
"""

import numpy as np

from tapeline.jit import entry, leaf
from tapeline.market.book import BOOK, DONE, turn
from tapeline.market.replay import HEAD_COLUMNS, ROWS_FULL, apply, ends_not, keep_columns, thin_out
from tapeline.market.trace import COLUMN_SIZE, ROWS
from tapeline.market.view import refresh_touch
from tapeline.memory import record_at
from tapeline.tape.records import COUNTER, EVENT, EVENT_SIZE


@leaf
def put_word(to, k, value):
    """Write number k of a row; `to`: address of the first in its column."""
    record_at(to + k * COLUMN_SIZE, 0, COUNTER).n = value


@leaf
def put_times(to, ts_event, ts_recv, sequence):
    """Write when the event of a row was."""
    put_word(to, 0, ts_event)
    put_word(to, 1, ts_recv)
    put_word(to, 2, sequence)


@leaf
def put_touch(to, book):
    """Write of which book a row is, and its touch."""
    market = book.market
    put_word(to, 3, np.int64(book.index))
    put_word(to, HEAD_COLUMNS, market.bid_price)
    put_word(to, HEAD_COLUMNS + 1, market.bid_size)
    put_word(to, HEAD_COLUMNS + 2, market.bid_count)
    put_word(to, HEAD_COLUMNS + 3, market.ask_price)
    put_word(to, HEAD_COLUMNS + 4, market.ask_size)
    put_word(to, HEAD_COLUMNS + 5, market.ask_count)


@leaf
def put_row(to, book, event):
    """Write a row of the touch; `event`: the tape event, or record, that left it."""
    put_times(to, event.ts_event, event.ts_recv, np.int64(event.sequence))
    put_touch(to, book)


@entry
def replay_touch(state):
    """Go on until all tape events of the chunk are in their books, or the driver has to act."""
    if state.rows_n == ROWS and keep_columns(state):
        return ROWS_FULL
    at, end = state.events + state.x * EVENT_SIZE, state.events + state.n * EVENT_SIZE
    rows, rows_n, interval = state.rows, state.rows_n, state.interval
    is_applied, state.applied = state.applied != 0, 0
    status, instrument = DONE, np.int64(-1)
    book = record_at(state.books, 0, BOOK)
    while at < end:
        event = record_at(at, 0, EVENT)
        if np.int64(event.instrument) != instrument:
            instrument = np.int64(event.instrument)
            book = turn(state.plan, state.books, at, end)
        if not is_applied:
            status = apply(state, book, event)
            if status != DONE:
                break
        is_applied = False
        at += EVENT_SIZE
        dirty = book.dirty
        if dirty > ends_not(event):
            book.dirty = 0
            is_news = refresh_touch(book, dirty)
            if (interval != 0) & is_news:
                state.rows_n = rows_n
                thin_out(state, book, event)
                rows_n = state.rows_n
            put_row(rows + 8 * rows_n, book, event)
            rows_n += is_news
            if rows_n == ROWS:
                state.rows_n, rows_n = rows_n, np.int64(0)
                if keep_columns(state):
                    status = ROWS_FULL
                    break
    state.rows_n, state.x = rows_n, state.n - (end - at) // EVENT_SIZE
    return status
