"""Tape events into books, without strategies: the loop behind `tapeline.depth` and `tapeline.features`, and what a tape event does to a book."""

import numpy as np

from tapeline.jit import entry, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, note_activity
from tapeline.market.book import ASKS, BIDS, BOOK, DIRTY, FEATURES_N, FEATURES_OFFSET, NUMBER, ViewPlan, show_touch, side_of
from tapeline.market.ladder import CELL, LEVEL_NONE, LEVEL_SIZE, cell_at, clear, far_drop_empty, has_best, needs_room, scan_best
from tapeline.market.view import update_view
from tapeline.memory import address_of, copy, record_at
from tapeline.record import Record, int64
from tapeline.tape.normalise import ADD, ASK, CLEAR, COUNTER, EVENT, FILL, GONE, LAST, SNAPSHOT, TRADE

# what replay() answers
DONE, MAKE_ROOM, ROWS_FULL, ROW = range(4)


class RowHead(Record):
    """What stands in front of a row's levels or features."""

    ts_event: int64
    ts_recv: int64
    sequence: int64
    instrument: int64


class Replay(Record):
    """Where a replay is, and what it writes to."""

    plan: ViewPlan
    events: int64  # address of `n` tape events; `x` is the next
    n: int64
    x: int64
    books: int64
    rows: int64  # address of the rows: RowHead, then 2 x depth Level records, bids first, or all features and a user's own
    rows_n: int64
    rows_capacity: int64
    row_size: int64  # bytes
    columns_n: int64  # 0: rows of levels, taken as they are
    which: int64  # address of the numbers of words in a row that make the columns
    columns: int64  # address of the columns that full rows are added to
    column_size: int64  # bytes
    kept_n: int64  # of their rows
    kept_capacity: int64
    stops: int64  # 1: answer ROW after each row
    row_book: int64  # address of the book of the last row
    interval: int64  # ns; of rows in the same interval of ts_recv the last is wanted: a row takes the place of the one before it where that is its own; 0: all
    interval_end: int64
    applied: int64  # the event at x is in its book, but for its end
    emptied: int64  # 1 + the side whose window ran empty, though something may lie beyond it
    room_instrument: int64
    room_side: int64
    room_level: int64


ROW_HEAD = RowHead.dtype_
HEAD_SIZE = np.int64(ROW_HEAD.itemsize)
HEAD_COLUMNS = HEAD_SIZE // 8


@leaf
def change(book, side, cell, event):
    """Do what an ADD or REMOVE does to a side; whether its window ran empty while something may lie beyond it."""
    ladder = side_of(book, side)
    level = np.int64(event.level)
    emptied = False
    if event.kind == ADD:
        cell.count += 1
    else:
        cell.count -= event.flags & GONE
    cell.size += event.delta
    book.dirty |= (level >= ladder.watch) << side
    if level >= ladder.best:
        if cell.size > 0:
            ladder.best = level
        else:
            ladder.best = scan_best(ladder, level)
            emptied = ladder.far_count > 0 and not has_best(ladder)
    if not ladder.base < level < ladder.base + ladder.width:
        far_drop_empty(ladder, level)
    return emptied


@leaf
def ask_for_room(state, book, side, level):
    """Tell the driver which level needs room."""
    state.room_instrument = book.index
    state.room_side = side
    state.room_level = level
    return MAKE_ROOM


@leaf
def apply(state, book, event):
    """One tape event into its book; something for the caller to return, or DONE."""
    if event.kind < FILL:
        side = ASKS if event.side == ASK else BIDS
        ladder = side_of(book, side)
        level = np.int64(event.level)
        i = level - ladder.base
        if 0 < i < ladder.width:
            emptied = change(book, side, record_at(ladder.cells, i, CELL), event)
        elif needs_room(ladder, level) or not has_best(ladder):  # a far level must not be all that a side has: its best is sought in the window
            return ask_for_room(state, book, side, level)
        else:
            emptied = change(book, side, cell_at(ladder, level), event)
        if emptied:
            state.emptied = 1 + side
    elif event.kind == TRADE:
        book.market.last_price = event.priority
        book.market.last_size = event.delta
        book.market.last_side = event.side
    elif event.kind == CLEAR:
        clear(side_of(book, BIDS))
        clear(side_of(book, ASKS))
        book.dirty |= DIRTY
    return DONE


@leaf
def note(state, book, event):
    """Let the features of what happened know of a tape event, if somebody asked for any."""
    if state.plan.features & ACTIVITY_FEATURES and event.flags & SNAPSHOT == 0:
        state.plan.book = address_of(book)
        state.plan.event = address_of(event)
        note_activity(state.plan)


@leaf
def write_row(state, book, event):
    """Add a row with the levels or the features that the book's view shows now."""
    market = book.market
    place = state.rows + state.rows_n * state.row_size
    head = record_at(place, 0, ROW_HEAD)
    head.ts_event = event.ts_event
    head.ts_recv = event.ts_recv
    head.sequence = event.sequence
    head.instrument = book.index
    state.rows_n += 1
    if state.columns_n != 0:
        copy(place + HEAD_SIZE, address_of(market) + FEATURES_OFFSET, 8 * FEATURES_N)  # all of them: a few words more cost less than a loop
        market.ts_event = event.ts_event
        market.ts_recv = event.ts_recv
        state.row_book = address_of(book)
        return
    if state.plan.depth == 1:
        show_touch(market)
    copy(place + HEAD_SIZE, market.levels, 2 * state.plan.depth * LEVEL_SIZE)


@leaf
def put_value(state, i, value):
    """Write a value behind the features of the last row, as the i-th of a user's own."""
    record_at(state.rows + (state.rows_n - 1) * state.row_size + HEAD_SIZE, FEATURES_N + i, NUMBER).value = value


@entry
def keep_columns(state):
    """Add the rows, few enough for the first cache, to columns; whether these are full.

    Written row by row, forty columns have a line each in every row, and their lines left the cache before they were full: that was a third of all time.
    """
    n, row_size = state.rows_n, state.row_size
    for k in range(state.columns_n):
        source = state.rows + record_at(state.which, k, COUNTER).n * 8
        to = state.columns + k * state.column_size + state.kept_n * 8
        for i in range(n):
            record_at(to, i, COUNTER).n = record_at(source + i * row_size, 0, COUNTER).n
    state.kept_n += n
    state.rows_n = 0
    return state.kept_n == state.kept_capacity


@leaf
def is_full(state):
    """Whether there is no room for another row."""
    return state.rows_n == state.rows_capacity and (state.columns_n == 0 or keep_columns(state))


@leaf
def thin_out(state, book, event):
    """Make room for a row, if the last one is of the same book and interval, and no later (the driver takes the clock from the rows): it is not wanted then."""
    if event.ts_recv >= state.interval_end:
        state.interval_end = (event.ts_recv // state.interval + 1) * state.interval
    elif state.rows_n > 0:
        head = record_at(state.rows + (state.rows_n - 1) * state.row_size, 0, ROW_HEAD)
        if head.instrument == book.index and head.ts_recv <= event.ts_recv:
            state.rows_n -= 1


@leaf
def end_event(state, book, event):
    """The end of an ordinary event: a row of what it left, if that is wanted. Whether there is one."""
    wanted = state.columns_n != 0
    dirty = book.dirty
    if dirty:
        book.dirty = 0
        wanted |= update_view(book, state.plan, dirty) != 0
    if wanted:
        if state.interval:
            thin_out(state, book, event)
        write_row(state, book, event)
    return wanted


@entry
def replay(state):
    """Go on until all tape events of the chunk are in their books, or the driver has to act."""
    while state.x < state.n:
        event = record_at(state.events, state.x, EVENT)
        book = record_at(state.books, np.int64(event.instrument), BOOK)
        if not state.applied:
            if is_full(state):
                return ROWS_FULL
            result = apply(state, book, event)
            if result != DONE:
                return result
            state.applied = 1
            note(state, book, event)
        if state.emptied:
            side = state.emptied - 1
            state.emptied = 0
            return ask_for_room(state, book, side, LEVEL_NONE)
        state.applied = 0
        state.x += 1
        if event.flags & LAST and event.flags & SNAPSHOT == 0 and end_event(state, book, event) and state.stops:
            return ROW
    return DONE
