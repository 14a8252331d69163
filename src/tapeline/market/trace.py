"""Features as columns: the state of a book after each event, and the formulas over a block of such rows.

What an event leaves is written down as it is (market.traced): numbers, each into its column of a block that lies in the first cache. When the block is full,
each wanted feature is one loop over its rows (`make_columns`), which LLVM makes instructions of for four rows at a time. The formulas are those of
market.features and market.activity, in IEEE arithmetic, so that a value does not depend on how it was come by. Features that change with prices or trades only
are written down themselves. Of an order flow what the sizes at the best prices do not make of it is written down: it changes with prices only.
"""

import itertools
import math
from typing import Any, Final

import numpy as np

from tapeline.constants import Feature
from tapeline.jit import kernel, leaf
from tapeline.market import activity, features, shape
from tapeline.market.activity import ACTIVITY_MEMORY
from tapeline.market.book import MARKET
from tapeline.market.features import TOUCH_MEMORY
from tapeline.market.shape import SHAPE_MEMORY
from tapeline.memory import record_at, unit, view, write_past
from tapeline.record import Record, int64

ROWS: Final = 64
"""Of a block: 20 KB, and a multiple of a cache line."""
ROWS_SIZE: Final = np.int64(8 * ROWS)
LINE_SIZE: Final = np.int64(64)
COLUMN_SIZE: Final = ROWS_SIZE + LINE_SIZE
"""From one column to the next: an odd number of lines, so that they lie in different sets of a cache."""


def _words(record: Any, name: str) -> int:
    """How many numbers lie before a field of a record."""
    return int(record.fields[name][1]) // 8


# columns of the time and place of an event, of the BBO, and of what each group of features remembers first
HEAD_N, MARKET_N = 4, _words(MARKET, "last_price")
INSTRUMENT_AT: Final = np.int64(3)
TOUCH_N, SHAPE_N, ACTIVITY_N = _words(TOUCH_MEMORY, "bid_price"), _words(SHAPE_MEMORY, "flow_seen"), _words(ACTIVITY_MEMORY, "notional")
MARKET_AT, TOUCH_AT, SHAPE_AT, ACTIVITY_AT, TRACE_N = (np.int64(at) for at in itertools.accumulate((HEAD_N, MARKET_N, TOUCH_N, SHAPE_N, ACTIVITY_N)))


_GROUPS: Final = {
    "market": (MARKET_AT, MARKET_N, MARKET),
    "touch": (TOUCH_AT, TOUCH_N, TOUCH_MEMORY),
    "shape": (SHAPE_AT, SHAPE_N, SHAPE_MEMORY),
    "activity": (ACTIVITY_AT, ACTIVITY_N, ACTIVITY_MEMORY),
}


def _column(name: str) -> np.int64:
    """The column of a field of a Market ("market.bid_price"), or of what a group of features remembers."""
    group, _, field = name.partition(".")
    first, n, record = _GROUPS[group]
    assert _words(record, field) < n  # it is written down
    return first + np.int64(_words(record, field))


NOW_AT, MID_AT, RARE_AT = _column("activity.now"), _column("activity.mid"), _column("activity.trade_size")
BID_SIZES_AT, ASK_SIZES_AT = _column("market.bid_size"), _column("market.ask_size")
SIZES_5_AT, SLOPES_AT = _column("shape.size_5"), _column("shape.slopes")
FLOW_AT, FLOW_5_AT = _column("touch.flow"), _column("shape.flow")
SPARE_AT, OWN_AT = TRACE_N, TRACE_N + 1
"""Where a feature is made, and behind it the columns of a user's own."""
COPY, MICROPRICE, TOUCH_IMBALANCE, IMBALANCE, SLOPE, TRADE_IMBALANCE, FLOW, FLOW_5, AGE, RETURN = range(10)
FORMULAS: Final = {
    Feature.SPREAD: (COPY, _column("touch.spread")),
    Feature.SPREAD_RELATIVE: (COPY, _column("touch.spread_relative")),
    Feature.MID: (COPY, _column("touch.mid")),
    Feature.MICROPRICE: (MICROPRICE, _column("market.bid_price")),
    Feature.IMBALANCE: (TOUCH_IMBALANCE, _column("market.bid_size")),
    Feature.DEPTH_BID: (COPY, _column("shape.size_5")),
    Feature.DEPTH_ASK: (COPY, _column("shape.size_5") + 1),
    Feature.ORDER_FLOW_IMBALANCE: (FLOW, FLOW_AT),
    Feature.VOLATILITY: (COPY, _column("touch.volatility")),
    Feature.IMBALANCE_ORDERS: (TOUCH_IMBALANCE, _column("market.bid_count")),
    Feature.IMBALANCE_5: (IMBALANCE, _column("shape.size_5")),
    Feature.IMBALANCE_10: (IMBALANCE, _column("shape.size_10")),
    Feature.DEPTH_BID_10: (COPY, _column("shape.size_10")),
    Feature.DEPTH_ASK_10: (COPY, _column("shape.size_10") + 1),
    Feature.SLOPE_BID: (SLOPE, _column("shape.slopes")),
    Feature.SLOPE_ASK: (SLOPE, _column("shape.slopes") + 2),
    Feature.ORDER_FLOW_IMBALANCE_5: (FLOW_5, FLOW_5_AT),
    Feature.EVENT_RATE: (COPY, _column("activity.event_rate")),
    Feature.ADD_RATE: (COPY, _column("activity.add_rate")),
    Feature.CANCEL_RATE: (COPY, _column("activity.cancel_rate")),
    Feature.TRADE_RATE: (COPY, _column("activity.trade_rate")),
    Feature.VOLUME_RATE: (COPY, _column("activity.volume_rate")),
    Feature.TRADE_FLOW: (COPY, _column("activity.trade_flow")),
    Feature.TRADE_IMBALANCE: (TRADE_IMBALANCE, _column("activity.volume_rate")),
    Feature.VWAP: (COPY, _column("activity.vwap")),
    Feature.TRADE_AGE: (AGE, _column("activity.trade_time")),
    Feature.TRADE_SIZE: (COPY, _column("activity.trade_size")),
    Feature.TOUCH_AGE_BID: (AGE, _column("activity.bid_since")),
    Feature.TOUCH_AGE_ASK: (AGE, _column("activity.ask_since")),
    Feature.RETURN_100MS: (RETURN, _column("activity.then_100ms")),
    Feature.RETURN_1S: (RETURN, _column("activity.then_1s")),
    Feature.RETURN_10S: (RETURN, _column("activity.then_10s")),
    Feature.VOLATILITY_REALISED: (COPY, _column("activity.realised")),
}
"""How each feature's column comes about: the formula, and the first of the columns that it needs; the others lie behind that, or have names."""


class Output(Record):
    """How one column comes about."""

    formula: int64
    source: int64


OUTPUT: Final = Output.dtype_


@leaf
def at(block, k):
    """Where a column of a block is."""
    return block + k * COLUMN_SIZE


@kernel
def make_of_touch(block, formula, source, out):
    """Features of both sides of the touch: NaN while one is absent."""
    bids, asks = view(at(block, MARKET_AT), ROWS, np.float64), view(at(block, MARKET_AT + 1), ROWS, np.float64)
    bid_sizes, ask_sizes = view(at(block, BID_SIZES_AT), ROWS, np.float64), view(at(block, ASK_SIZES_AT), ROWS, np.float64)
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
            out[i] = shape.slope(first[i], second[i])
    else:
        for i in range(ROWS):
            out[i] = activity.trade_imbalance(second[i], first[i])


@kernel
def make_of_flow(block, sizes, source, out):
    """Order flows: of the touch, or of five levels."""
    rest, bids, asks = view(at(block, source), ROWS, np.float64), view(at(block, sizes), ROWS, np.float64), view(at(block, sizes + 1), ROWS, np.float64)
    for i in range(ROWS):
        out[i] = rest[i] + (bids[i] - asks[i])


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


@leaf
def write_column(to, source):
    """Copy a column of a block to where it is given out, past the caches: nobody looks at it soon.

    To ask for its lines before they were written took as long, and the caches from others: 3 to 5 % of all time.
    """
    for line in range(0, ROWS_SIZE, LINE_SIZE):
        write_past(to + line, source + line)


@unit("make_columns")
def make_columns(state):
    """Apply the formulas to the rows of the block; all of it, since there is always room for a whole one, and what is behind the last row does not count."""
    block = state.rows
    for k in range(state.columns_n if state.rows_n > 0 else 0):
        how = record_at(state.which, k, OUTPUT)
        formula, source, made = how.formula, how.source, at(block, SPARE_AT)
        out = view(made, ROWS, np.float64)
        if formula == COPY:
            made = at(block, source)
        elif formula <= TOUCH_IMBALANCE:
            make_of_touch(block, formula, source, out)
        elif formula <= TRADE_IMBALANCE:
            make_of_two(block, formula, source, out)
        elif formula <= FLOW_5:
            make_of_flow(block, BID_SIZES_AT if formula == FLOW else SIZES_5_AT, source, out)
        else:
            make_of_time(block, formula, source, out)
        to = state.columns + k * state.column_size + state.kept_n * 8
        write_column(to, made)
    return 0
