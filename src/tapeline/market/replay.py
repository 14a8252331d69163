"""Tape events into books, without strategies: the loop behind `tapeline.depth`, and what a tape event does to a book."""

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DIRTY, DIRTY_BIDS, DONE, MOVED, MOVED_SHIFT, ViewPlan, ask_for_room, find_next_best, side_of, turn
from tapeline.market.ladder import CELL, LEVEL_SIZE, cell_at, clear, far_drop_empty, needs_room
from tapeline.market.trace import COLUMN_SIZE, LINE_SIZE, make_columns, write_column
from tapeline.market.view import update_view
from tapeline.memory import copy, prefetch, record_at, transpose
from tapeline.record import Record, int64
from tapeline.tape.records import CLEAR, EVENT, EVENT_SIZE, FILL, LAST, SNAPSHOT, TRADE, side_index

ROWS_FULL, ROW = range(2, 4)
"""What the loops over rows answer besides DONE and MAKE_ROOM."""


class RowHead(Record):
    """What stands in front of a row's levels."""

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
    rows: int64  # address of the rows: RowHead, then 2 x depth Level records, bids first; for features a block of market.trace, with a user's own behind
    rows_n: int64
    rows_capacity: int64
    row_size: int64  # bytes
    by_column: int64  # 1: rows of the touch alone, each number in a column of its own, as in market.trace (market.touch); 0: row after row
    always: int64  # 1: rows of features, one for each ordinary event (market.traced); 0: of levels, one for each that changed one of them
    replay_waiting: int64  # address of the unit of that name (market.direct)
    make_columns: int64  # address of the unit of that name (market.trace)
    columns_n: int64
    which: int64  # for features, address of as many Output records; for levels, columns are the words of a row
    columns: int64  # address of the columns that full rows are added to
    column_size: int64  # bytes
    fetched: int64  # address of the line of them that is asked for next, and how many of its column have been for the present block
    fetched_lines: int64
    kept_n: int64  # of their rows
    kept_capacity: int64
    stops: int64  # 1: answer ROW after each row
    row_book: int64  # address of the book of the last row
    interval: int64  # ns; of rows in the same interval of ts_recv the last is wanted: a row takes the place of the one before it where that is its own; 0: all
    interval_end: int64
    interval_recv: int64  # of the last row: ts_recv and instrument
    interval_instrument: int64
    applied: int64  # the event at x is in its book, but for what it leads to
    room_instrument: int64
    room_side: int64
    room_level: int64


NO_MOVES, MOVES = np.int64(0), np.int64(DIRTY_BIDS) << MOVED_SHIFT
"""What `change` notes, of bids, where a level that concerns the view has come or gone."""
REPLAY = Replay.dtype_
ROW_HEAD = RowHead.dtype_
HEAD_SIZE = np.int64(ROW_HEAD.itemsize)
HEAD_COLUMNS = HEAD_SIZE // 8


@leaf
def change(state, book, event, side, cell, moves):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """ADD or REMOVE, as `apply`. `moves`: MOVES where somebody asks which levels have come or gone.

    Selects in place of branches: which of the two comes next, and whether at the best, nobody can predict, and a mispredicted branch costs as much as the rest.
    """
    ladder = side_of(book, side)
    level = np.int64(event.level)
    cell.count += event.orders
    delta = event.delta
    size = cell.size + delta
    cell.size = size
    best = max(ladder.best, level)  # what leaves was there, so that it is no better
    ladder.best = best
    noted = np.int64(DIRTY_BIDS) | (moves if (size == 0) | (size == delta) else np.int64(0))
    book.dirty |= (noted if level >= ladder.watch else np.int64(0)) << side
    if (size == 0) & (level == best):
        return find_next_best(state, book, side)
    return DONE


@kernel
def change_far(state, book, event, side, moves):
    """The same for a level outside the window: any change may move others in memory."""
    ladder = side_of(book, side)
    level = np.int64(event.level)
    if needs_room(ladder, level):
        return ask_for_room(state, book, side, level)
    change(state, book, event, side, cell_at(ladder, level), moves)  # the window's best does not move
    book.dirty |= moves << side
    far_drop_empty(ladder, level)
    return DONE


@kernel
def change_rarely(book, event):
    """TRADE and CLEAR; FILL and STATUS do nothing."""
    if event.kind == TRADE:
        book.market.last_price = event.priority
        book.market.last_size = event.delta
        book.market.last_side = event.side
    elif event.kind == CLEAR:
        clear(side_of(book, BIDS))
        clear(side_of(book, ASKS))
        book.dirty |= DIRTY | MOVED


@leaf
def apply_change(state, book, event, moves):
    """ADD or REMOVE into its book, as `apply`; `moves`: as `change`."""
    side = side_index(event.side)
    ladder = side_of(book, side)
    i = np.int64(event.level) - ladder.base
    if not 0 < i < ladder.width:
        return change_far(state, book, event, side, moves)
    return change(state, book, event, side, record_at(ladder.cells, i, CELL), moves)


@leaf
def apply(state, book, event):
    """One tape event into its book: DONE, or MAKE_ROOM; then `state.applied` says whether it is in there already."""
    if event.kind >= FILL:
        change_rarely(book, event)
        return DONE
    return apply_change(state, book, event, NO_MOVES)


@kernel
def thin_out(state, book, event):
    """Make room for a row, if the last one is of the same book and interval, and no later (the driver takes the clock from the rows): it is not wanted then."""
    if event.ts_recv >= state.interval_end:
        state.interval_end = (event.ts_recv // state.interval + 1) * state.interval
    elif state.rows_n > 0 and state.interval_instrument == book.index and state.interval_recv <= event.ts_recv:
        state.rows_n -= 1
    state.interval_recv = event.ts_recv
    state.interval_instrument = book.index


@leaf
def write_row(state, book, event):
    """Add a row with the levels that the book's view shows now."""
    market = book.market
    row = state.rows + state.rows_n * state.row_size
    head = record_at(row, 0, ROW_HEAD)
    head.ts_event = event.ts_event
    head.ts_recv = event.ts_recv
    head.sequence = event.sequence
    head.instrument = book.index
    copy(row + HEAD_SIZE, market.levels, 2 * state.plan.depth * LEVEL_SIZE)


@kernel
def turn_rows(state, to):
    """Rows into columns, four by four: half of the instructions of one by one, and a quarter of the stores. What is behind the last row does not count."""
    for k in range(0, state.columns_n, 4):
        first = min(k, state.columns_n - 4)  # the last four may be some of those before
        for i in range(0, state.rows_n, 4):
            transpose(to + first * state.column_size + 8 * i, state.column_size, state.rows + i * state.row_size + 8 * first, state.row_size)


@entry
def keep_columns(state):
    """Add the rows, few enough for the first cache, to columns; whether these are full. There is room for a whole block, if there are any rows.

    Written row by row, forty columns have a line each in every row, and their lines left the cache before they were full: that was a third of all time.
    """
    to = state.columns + state.kept_n * 8
    if state.always:
        make_columns(state)
    elif state.by_column:
        for k in range(state.columns_n if state.rows_n > 0 else 0):
            write_column(to + k * state.column_size, state.rows + k * COLUMN_SIZE)
    else:
        turn_rows(state, to)
    state.kept_n += state.rows_n
    state.rows_n = 0
    state.fetched, state.fetched_lines = state.columns + state.kept_n * 8, 0
    return state.kept_n == state.kept_capacity


@leaf
def fetch_columns(state):
    """Ask for a part of the memory that a full block will be added to, so that its lines are there by then: a part with each row.

    Chunks of columns lie in the last cache: a third of the time of rows of ten levels was waiting for their lines. One line of a column after the other, since
    they lie in one page: with one of each of many columns, a tenth of the time of all features was waiting for the processor to find the pages.
    """
    to, lines = state.fetched, state.fetched_lines
    lines_n = state.rows_capacity >> 3
    to_next_column = state.column_size - lines_n * LINE_SIZE
    for _ in range((state.columns_n + 7) >> 3):  # always as many: asking for what is behind the last column does no harm
        prefetch(to)
        lines += 1
        is_last = lines == lines_n
        to += LINE_SIZE + (to_next_column if is_last else 0)
        lines = np.int64(0) if is_last else lines
    state.fetched, state.fetched_lines = to, lines


@leaf
def is_full(state):
    """Whether there is no room for another row."""
    return state.rows_n == state.rows_capacity and keep_columns(state)


@leaf
def add_row(state, book, event):
    """A row of what an event left; what the driver has to do about it, or DONE."""
    if state.interval:
        thin_out(state, book, event)
    write_row(state, book, event)
    fetch_columns(state)
    state.rows_n += 1
    return ROWS_FULL if is_full(state) else DONE


@leaf
def is_news(book, event, plan, dirty):
    """At the end of an ordinary event: bring the view up to date; whether it shows something else."""
    book.dirty = 0
    return update_view(book, event, plan, dirty) != 0


@leaf
def ends_not(event):
    """0 after the last tape event of an ordinary event, otherwise more than any book's `dirty`: one test then, where each of two alone is as good as a coin."""
    return ((np.int64(event.flags) & (LAST | SNAPSHOT)) ^ LAST) << 8


@entry
def replay(state):
    """Go on until all tape events of the chunk are in their books, or the driver has to act."""
    if is_full(state):
        return ROWS_FULL
    plan = state.plan
    at, end = state.events + state.x * EVENT_SIZE, state.events + state.n * EVENT_SIZE
    plan.events = state.events
    is_applied, state.applied = state.applied != 0, 0
    status = DONE
    instrument = np.int64(-1)
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
        if dirty > ends_not(event) and is_news(book, event, plan, dirty):
            status = add_row(state, book, event)
            if status != DONE:
                break
    state.x = state.n - (end - at) // EVENT_SIZE
    return status
