"""Tape events into rows of what features follow from: the loop behind `tapeline.features`.

As `market.replay`, with a row after each ordinary event, whose numbers go into their columns of a block (market.trace). Four events in five, and more, change
the size of one level that concerns anybody, or of none: then sizes of that side are added up anew, where its levels were found last, and that is all. Only
where a level has come or gone (`change` notes it) prices are looked at, and what depends on them. Half of a row's numbers change with these alone, or with
trades, or with time: they are written for eight rows at once.
"""

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, ACTIVITY_MEMORY, end_counts, follow_touch, note_change, note_rarely
from tapeline.market.book import BIDS, BOOK, DIRTY, DONE, MOVED, MOVED_SHIFT, NUMBER
from tapeline.market.features import BOOK_FEATURES, SHAPE_FEATURES, TOUCH_FEATURES, TOUCH_MEMORY, number_at, update_touch
from tapeline.market.replay import MOVES, ROW, ROWS_FULL, apply_change, change_rarely, keep_columns, thin_out
from tapeline.market.shape import SHAPE_MEMORY, SLOPES
from tapeline.market.touch import put_word
from tapeline.market.trace import (
    ACTIVITY_AT,
    BID_SIZES_AT,
    COLUMN_SIZE,
    FLOW_5_AT,
    FLOW_AT,
    INSTRUMENT_AT,
    LINE_SIZE,
    MARKET_AT,
    OWN_AT,
    RARE_AT,
    ROWS,
    SHAPE_AT,
    SLOPES_AT,
    TOUCH_AT,
    TRACE_N,
)
from tapeline.market.view import mark_mid, refresh_size, refresh_touch, show_after_event, update_view
from tapeline.market.walk import lay_sides, show_flow, sum_side, watch_levels
from tapeline.memory import address_of, copy, record_at, repeat
from tapeline.tape.records import COUNTER, EVENT, EVENT_SIZE, FILL, LAST, SNAPSHOT

AHEAD = LINE_SIZE // 8
"""Numbers that few events change are written for so many rows at once (`repeat`). Behind the block's last row there is room for them."""


@leaf
def put(to, column, value):
    """Write a number of a row; `to`: address of the row's place in the first column."""
    record_at(to + column * COLUMN_SIZE, 0, NUMBER).value = value


@leaf
def put_ahead(to, column, value):
    """Write a number of a row, and of those that come next."""
    put(to, column, value)
    repeat(to + column * COLUMN_SIZE, to + column * COLUMN_SIZE)


@leaf
def put_words(to, column, memory, n):
    """Write `n` numbers, whatever they are, that lie side by side in a memory."""
    for k in range(n):
        copy(to + (column + k) * COLUMN_SIZE, memory + 8 * k, 8)


@leaf
def put_words_ahead(to, column, memory, n):
    """The same for the rows that come next, too."""
    for k in range(n):
        repeat(to + (column + k) * COLUMN_SIZE, memory + 8 * k)


@leaf
def put_row(to, book, event, wanted):
    """Write what any event may change."""
    put_words(to, 0, address_of(event), 2)
    put_word(to, 2, np.int64(event.sequence))
    for k in range(BID_SIZES_AT, TOUCH_AT):
        put(to, k, np.float64(record_at(address_of(book.market), k - MARKET_AT, COUNTER).n))
    if wanted & SHAPE_FEATURES:
        put_words(to, SHAPE_AT, book.shape_memory, SLOPES_AT + 1 - SHAPE_AT)
        put_words(to, SLOPES_AT + 2, book.shape_memory + 8 * (SLOPES_AT + 2 - SHAPE_AT), 1)
    if wanted & ACTIVITY_FEATURES:
        put_words(to, ACTIVITY_AT, book.activity_memory, RARE_AT - ACTIVITY_AT)


@kernel
def put_rest(to, book, wanted):
    """Write the numbers of a row that few events change, for the next rows, too."""
    market = book.market
    put_word(to, INSTRUMENT_AT, np.int64(book.index))
    repeat(to + INSTRUMENT_AT * COLUMN_SIZE, to + INSTRUMENT_AT * COLUMN_SIZE)
    put_ahead(to, MARKET_AT, np.float64(market.bid_price))
    put_ahead(to, MARKET_AT + 1, np.float64(market.ask_price))
    if wanted & TOUCH_FEATURES:
        seen = record_at(book.touch_memory, 0, TOUCH_MEMORY)
        put_words_ahead(to, TOUCH_AT, book.touch_memory, FLOW_AT - TOUCH_AT)
        put_ahead(to, FLOW_AT, seen.flow - np.float64(seen.bid_size - seen.ask_size))
    if wanted & SHAPE_FEATURES:
        shape = record_at(book.shape_memory, 0, SHAPE_MEMORY)
        put_ahead(to, SLOPES_AT + 1, number_at(shape, SLOPES, 1).value)
        put_ahead(to, SLOPES_AT + 3, number_at(shape, SLOPES, 3).value)
        put_ahead(to, FLOW_5_AT, shape.flow_rest)
    if wanted & ACTIVITY_FEATURES:
        put_words_ahead(to, RARE_AT, book.activity_memory + 8 * (RARE_AT - ACTIVITY_AT), TRACE_N - RARE_AT)


@kernel
def look_anew(book, event, plan, dirty):
    """Bring all that follows from the book up to date, where a level may have come or gone."""
    wanted, moved = plan.features, dirty >> MOVED_SHIFT & DIRTY
    if plan.follows:
        moved = np.int64(DIRTY)
        if dirty & DIRTY:
            update_view(book, event, plan, dirty)
    else:
        if wanted & BOOK_FEATURES:
            update_touch(book)  # sizes that have changed since prices did
        refresh_touch(book, DIRTY)
    if wanted & BOOK_FEATURES:
        update_touch(book)
    if wanted & SHAPE_FEATURES:
        shape = record_at(book.shape_memory, 0, SHAPE_MEMORY)
        lay_sides(book, shape, dirty & DIRTY | moved, moved, wanted)
        if not plan.follows:
            watch_levels(book, shape)
    if wanted & ACTIVITY_FEATURES:
        follow_touch(record_at(book.activity_memory, 0, ACTIVITY_MEMORY), book)


@leaf
def look_again(book, side, wanted):
    """The same, where at most sizes of levels of a side have changed."""
    refresh_size(book, side)
    if wanted & SHAPE_FEATURES:
        sum_side(book, record_at(book.shape_memory, 0, SHAPE_MEMORY), side)


@kernel
def show_row(state, book, event):
    """Let a book's market show the features as the event left them."""
    if state.plan.features & SHAPE_FEATURES:
        show_flow(record_at(book.shape_memory, 0, SHAPE_MEMORY))
    book.market.ts_event = event.ts_event
    book.market.ts_recv = event.ts_recv
    mark_mid(book)
    state.row_book = state.plan.book = address_of(book)
    show_after_event(book, state.plan)


@leaf
def put_value(state, i, value):
    """Write a value behind the last row, as the i-th of a user's own."""
    record_at(state.rows + (OWN_AT + i) * COLUMN_SIZE, state.rows_n - 1, NUMBER).value = value


@leaf
def take_in(state, book, event, wanted, is_applied):
    """A tape event into its book, and into the counts of what happened: DONE, or MAKE_ROOM."""
    if event.kind >= FILL:
        change_rarely(book, event)
        if wanted & ACTIVITY_FEATURES:
            note_rarely(record_at(book.activity_memory, 0, ACTIVITY_MEMORY), event)
        return DONE
    status = DONE
    if not is_applied:
        status = apply_change(state, book, event, MOVES)
    if status == DONE and wanted & ACTIVITY_FEATURES:
        note_change(record_at(book.activity_memory, 0, ACTIVITY_MEMORY), event)
    return status


@leaf
def end_event(state, book, event, wanted):
    """Bring all that a row needs up to date, at the end of an ordinary event; whether numbers changed that few events change."""
    dirty = np.int64(book.dirty)
    book.dirty = 0
    has_changed = wanted & ACTIVITY_FEATURES != 0 and end_counts(record_at(book.activity_memory, 0, ACTIVITY_MEMORY), event)
    if (dirty & MOVED) | state.plan.follows:
        look_anew(book, event, state.plan, dirty)
        return True
    look_again(book, (dirty & DIRTY) >> 1, wanted)
    if dirty & DIRTY == DIRTY:
        look_again(book, BIDS, wanted)
    return has_changed


@leaf
def add_row(state, book, event, wanted, to_row):
    """A row of what an event left. `to_row`: its number, and up to which row those numbers are written that few events change; the same for the next row."""
    row, written = to_row
    has_changed = end_event(state, book, event, wanted)
    if state.interval:
        state.rows_n = row
        thin_out(state, book, event)
        row = written = state.rows_n
    to = state.rows + 8 * row
    put_row(to, book, event, wanted)
    if has_changed | (row >= written):
        put_rest(to, book, wanted)
        written = row + AHEAD
    return row + 1, written


@entry
def replay_traced(state):
    """Go on until all tape events of the chunk are in their books, or the driver has to act."""
    if state.rows_n == ROWS and keep_columns(state):
        return ROWS_FULL
    at, end = state.events + state.x * EVENT_SIZE, state.events + state.n * EVENT_SIZE
    wanted, rows_n, written = state.plan.features, state.rows_n, np.int64(0)
    is_applied, state.applied = state.applied != 0, 0
    status, instrument = DONE, np.int64(-1)
    book = record_at(state.books, max(state.room_instrument, 0), BOOK)
    if state.room_instrument >= 0:
        book.dirty |= MOVED  # the driver may have moved its levels in memory
        state.room_instrument = -1
    while at < end:
        event = record_at(at, 0, EVENT)
        if np.int64(event.instrument) != instrument:
            instrument = np.int64(event.instrument)
            book = record_at(state.books, instrument, BOOK)
            written = rows_n
        status = take_in(state, book, event, wanted, is_applied)
        if status != DONE:
            break
        is_applied = False
        at += EVENT_SIZE
        if event.flags & (LAST | SNAPSHOT) == LAST:
            rows_n, written = add_row(state, book, event, wanted, (rows_n, written))
            if state.stops:
                show_row(state, book, event)
                status = ROW
                break
            if rows_n == ROWS:
                state.rows_n, rows_n, written = rows_n, np.int64(0), np.int64(0)
                if keep_columns(state):
                    status = ROWS_FULL
                    break
    state.rows_n, state.x = rows_n, state.n - (end - at) // EVENT_SIZE
    return status
