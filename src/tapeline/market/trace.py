"""Features as columns: the state of a book after each event, and the formulas over a block of such rows.

What an event leaves is written down as it is (`write_trace`): numbers, each into its column of a block that lies in the first cache. When the block is full,
each wanted feature is one loop over its rows (`make_columns`), which LLVM makes instructions of for four rows at a time. The formulas are those of
market.features and market.activity, in IEEE arithmetic, so that a value does not depend on how it was come by. Features that change with prices or trades only
are written down themselves.
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import Feature
from tapeline.jit import kernel, leaf
from tapeline.market import activity, features
from tapeline.market.activity import ACTIVITY_FEATURES
from tapeline.market.book import BOOK, NUMBER
from tapeline.market.features import SHAPE_FEATURES, TOUCH_FEATURES
from tapeline.memory import address_of, copy, record_at, unit, view
from tapeline.record import Record, int64
from tapeline.tape.records import COUNTER, EVENT

ROWS: Final = 64
"""Of a block: 20 KB, and a multiple of a cache line."""
COLUMN_SIZE: Final = np.int64(8 * ROWS)
_WIDTHS: Final = (4, 6, 5, 9, 17)
"""Columns of the time and place of an event, of the BBO, and of what each group of features remembers first."""
HEAD_N, MARKET_N, TOUCH_N, SHAPE_N, ACTIVITY_N = _WIDTHS
MARKET_AT, TOUCH_AT, SHAPE_AT, ACTIVITY_AT, TRACE_N = (np.int64(sum(_WIDTHS[: i + 1])) for i in range(5))
NOW_AT, MID_AT = ACTIVITY_AT + 13, ACTIVITY_AT + 9

# formulas, and the first of the columns that each needs
COPY, MICROPRICE, TOUCH_IMBALANCE, IMBALANCE, SLOPE, TRADE_IMBALANCE, AGE, RETURN = range(8)
_BIDS, _TOUCH, _SHAPE, _ACTIVITY = (int(k) for k in (MARKET_AT, TOUCH_AT, SHAPE_AT, ACTIVITY_AT))
FORMULAS: Final = {
    Feature.SPREAD: (COPY, _TOUCH),
    Feature.SPREAD_RELATIVE: (COPY, _TOUCH + 1),
    Feature.MID: (COPY, _TOUCH + 2),
    Feature.MICROPRICE: (MICROPRICE, _BIDS),
    Feature.IMBALANCE: (TOUCH_IMBALANCE, _BIDS + 2),
    Feature.DEPTH_BID: (COPY, _SHAPE),
    Feature.DEPTH_ASK: (COPY, _SHAPE + 1),
    Feature.ORDER_FLOW_IMBALANCE: (COPY, _TOUCH + 4),
    Feature.VOLATILITY: (COPY, _TOUCH + 3),
    Feature.IMBALANCE_ORDERS: (TOUCH_IMBALANCE, _BIDS + 4),
    Feature.IMBALANCE_5: (IMBALANCE, _SHAPE),
    Feature.IMBALANCE_10: (IMBALANCE, _SHAPE + 2),
    Feature.DEPTH_BID_10: (COPY, _SHAPE + 2),
    Feature.DEPTH_ASK_10: (COPY, _SHAPE + 3),
    Feature.SLOPE_BID: (SLOPE, _SHAPE + 4),
    Feature.SLOPE_ASK: (SLOPE, _SHAPE + 6),
    Feature.ORDER_FLOW_IMBALANCE_5: (COPY, _SHAPE + 8),
    Feature.EVENT_RATE: (COPY, _ACTIVITY),
    Feature.ADD_RATE: (COPY, _ACTIVITY + 1),
    Feature.CANCEL_RATE: (COPY, _ACTIVITY + 2),
    Feature.TRADE_RATE: (COPY, _ACTIVITY + 3),
    Feature.VOLUME_RATE: (COPY, _ACTIVITY + 4),
    Feature.TRADE_FLOW: (COPY, _ACTIVITY + 5),
    Feature.TRADE_IMBALANCE: (TRADE_IMBALANCE, _ACTIVITY + 4),
    Feature.VWAP: (COPY, _ACTIVITY + 7),
    Feature.TRADE_AGE: (AGE, _ACTIVITY + 14),
    Feature.TRADE_SIZE: (COPY, _ACTIVITY + 6),
    Feature.TOUCH_AGE_BID: (AGE, _ACTIVITY + 15),
    Feature.TOUCH_AGE_ASK: (AGE, _ACTIVITY + 16),
    Feature.RETURN_100MS: (RETURN, _ACTIVITY + 10),
    Feature.RETURN_1S: (RETURN, _ACTIVITY + 11),
    Feature.RETURN_10S: (RETURN, _ACTIVITY + 12),
    Feature.VOLATILITY_REALISED: (COPY, _ACTIVITY + 8),
}


class Output(Record):
    """How one column comes about."""

    formula: int64
    source: int64


OUTPUT: Final = Output.dtype_


@leaf
def put_words(to, source, n):
    """The next `n` numbers of a row; `to`: address of the first in its column."""
    for k in range(n):
        copy(to + k * COLUMN_SIZE, source + 8 * k, 8)  # one by one: they were just written, and a load of several would wait for all of them


@unit("write_trace")
def write_trace(state):
    """Write down what state.row_event left of state.row_book."""
    book, event = record_at(state.row_book, 0, BOOK), record_at(state.row_event, 0, EVENT)
    wanted = state.plan.features
    to = state.rows + 8 * state.rows_n
    put_words(to, state.row_event, 2)
    record_at(to + 2 * COLUMN_SIZE, 0, COUNTER).n = np.int64(event.sequence)
    record_at(to + 3 * COLUMN_SIZE, 0, COUNTER).n = np.int64(book.index)
    for k in range(MARKET_N):  # as floats, which AVX2 cannot make of four integers at a time
        record_at(to + (MARKET_AT + k) * COLUMN_SIZE, 0, NUMBER).value = np.float64(record_at(address_of(book.market), k, COUNTER).n)
    if wanted & TOUCH_FEATURES:
        put_words(to + TOUCH_AT * COLUMN_SIZE, book.touch_memory, TOUCH_N)
    if wanted & SHAPE_FEATURES:
        put_words(to + SHAPE_AT * COLUMN_SIZE, book.shape_memory, SHAPE_N)
    if wanted & ACTIVITY_FEATURES:
        put_words(to + ACTIVITY_AT * COLUMN_SIZE, book.activity_memory, ACTIVITY_N)
    return 0


@leaf
def at(block, k):
    """Where a column of a block is."""
    return block + k * COLUMN_SIZE


@kernel
def make_of_touch(block, formula, source, out):
    """Features of both sides of the touch: NaN while one is absent."""
    bids, asks = view(at(block, MARKET_AT), ROWS, np.float64), view(at(block, MARKET_AT + 1), ROWS, np.float64)
    bid_sizes, ask_sizes = view(at(block, MARKET_AT + 2), ROWS, np.float64), view(at(block, MARKET_AT + 3), ROWS, np.float64)
    ours, theirs = view(at(block, source), ROWS, np.float64), view(at(block, source + 1), ROWS, np.float64)
    if formula == MICROPRICE:
        for i in range(ROWS):
            both = (bid_sizes[i] > 0.0) & (ask_sizes[i] > 0.0)
            out[i] = features.microprice(bids[i], asks[i], bid_sizes[i], ask_sizes[i]) if both else math.nan
    else:
        for i in range(ROWS):
            out[i] = features.imbalance(ours[i], theirs[i]) if (bid_sizes[i] > 0.0) & (ask_sizes[i] > 0.0) else math.nan


@kernel
def make_of_two(block, formula, source, out):
    """Features of two columns that lie side by side."""
    first, second = view(at(block, source), ROWS, np.float64), view(at(block, source + 1), ROWS, np.float64)
    if formula == IMBALANCE:
        for i in range(ROWS):
            out[i] = features.imbalance(first[i], second[i])
    elif formula == SLOPE:
        for i in range(ROWS):
            out[i] = features.slope(first[i], second[i])
    else:
        for i in range(ROWS):
            out[i] = activity.trade_imbalance(second[i], first[i])


@kernel
def make_of_time(block, formula, source, out):
    """Ages, and returns of the mid."""
    now, times = view(at(block, NOW_AT), ROWS, np.int64), view(at(block, source), ROWS, np.int64)
    mids, mids_then = view(at(block, MID_AT), ROWS, np.float64), view(at(block, source), ROWS, np.float64)
    if formula == AGE:
        for i in range(ROWS):
            out[i] = activity.age(now[i], times[i])
    else:
        for i in range(ROWS):
            out[i] = activity.change(mids[i], mids_then[i])


@unit("make_columns")
def make_columns(state):
    """Apply the formulas to the rows of the block; all of it, since there is always room for a whole one, and what is behind the last row does not count."""
    block = state.rows
    for k in range(state.columns_n if state.rows_n > 0 else 0):
        how = record_at(state.which, k, OUTPUT)
        to = state.columns + k * state.column_size + state.kept_n * 8
        formula, source, out = how.formula, how.source, view(to, ROWS, np.float64)
        if formula == COPY:
            copy(to, block + source * COLUMN_SIZE, COLUMN_SIZE)
        elif formula <= TOUCH_IMBALANCE:
            make_of_touch(block, formula, source, out)
        elif formula <= TRADE_IMBALANCE:
            make_of_two(block, formula, source, out)
        else:
            make_of_time(block, formula, source, out)
    return 0
