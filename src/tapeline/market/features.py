"""The features of the touch: formula, unit and source of each. Those of several levels are in tapeline.market.shape, those of what happened in .activity.

A feature is a formula over a *state*: prices, sizes, sums. The state follows every event that changes it, in records of the book (`TouchMemory`,
`ShapeMemory`); the formula is applied where somebody looks: when a strategy is told (`market.view.show_features`), to blocks of rows where features become
columns (market.trace). Only those that wake strategies by changing, of several levels, are looked at after each event (`plan.wakes`). What the others
of several levels follow from is added up when a strategy is told, where no strategy looks at levels itself (market.walk).

To add one: a member of `constants.Feature`, a kernel here or in market.shape, a line in `show_touch` or `show_shape`, one in `trace.FORMULAS`, one in the table
of docs/ARCHITECTURE.md, and its twin in `reference/features.py`. `update_touch` is called when the BBO changed, `update_shape` when one of the declared levels
did. Each is a unit, compiled for runs that declare one of its features. Prices are 1e-9 integers until the last step; NaN stands for "not defined now" (a side
is absent).
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE, Feature
from tapeline.jit import kernel, leaf
from tapeline.market.book import FEATURES_OFFSET, NUMBER
from tapeline.memory import address_of, record_at
from tapeline.record import Record, float64, int64

SPREAD, SPREAD_RELATIVE, MID, MICROPRICE, IMBALANCE = (np.int64(f) for f in tuple(Feature)[:5])
DEPTH_BID, DEPTH_ASK, ORDER_FLOW_IMBALANCE, VOLATILITY, IMBALANCE_ORDERS = (np.int64(f) for f in tuple(Feature)[5:10])
IMBALANCE_5, IMBALANCE_10, DEPTH_BID_10, DEPTH_ASK_10, SLOPE_BID, SLOPE_ASK, ORDER_FLOW_IMBALANCE_5 = (np.int64(f) for f in tuple(Feature)[10:17])


def bits_of(*features: int) -> int:
    """A set of features, one bit each."""
    return sum(1 << int(feature) for feature in set(features))


TEN_LEVELS: Final = bits_of(Feature.IMBALANCE_10, Feature.DEPTH_BID_10, Feature.DEPTH_ASK_10)
SHAPE_FEATURES: Final = np.int64(
    TEN_LEVELS | bits_of(Feature.DEPTH_BID, Feature.DEPTH_ASK, Feature.IMBALANCE_5, Feature.SLOPE_BID, Feature.SLOPE_ASK, Feature.ORDER_FLOW_IMBALANCE_5)
)
TOUCH_FEATURES: Final = np.int64(
    bits_of(Feature.SPREAD, Feature.SPREAD_RELATIVE, Feature.MID, Feature.MICROPRICE, Feature.IMBALANCE, Feature.IMBALANCE_ORDERS)
    | bits_of(Feature.ORDER_FLOW_IMBALANCE, Feature.VOLATILITY)
)
BOOK_FEATURES: Final = TOUCH_FEATURES | SHAPE_FEATURES
LEVELS_OF_SHAPE: Final = 5
WORST: Final = np.int64(-(2**63))
"""An absent level is worse than any price."""
VOLATILITY_DECAY, VOLATILITY_NEWS = 0.94, 0.06


class TouchMemory(Record):
    """What the features of the touch remember of one book."""

    # features as they are: they change with prices only, or are sums; 0 or NaN before the first view
    spread: float64 = math.nan
    spread_relative: float64 = math.nan
    mid: float64 = math.nan
    volatility: float64 = math.nan
    flow: float64  # ORDER_FLOW_IMBALANCE, a whole number
    # so far what a row of features needs, besides the BBO
    bid_price: int64 = UNDEFINED_PRICE  # of the last view
    ask_price: int64 = UNDEFINED_PRICE
    bid_size: int64
    ask_size: int64
    flow_seen: int64
    mid_last: int64  # last defined mid, half 1e-9, and as a price
    mid_price_last: float64
    mid_seen: int64
    variance: float64
    variance_seen: int64
    distances: (float64, (LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # from the mid, in half 1e-9, of levels beside each other from the best on
    squares: float64  # the sum of their squares
    crossed: int64  # 1: the best bid is above the best ask


TOUCH_MEMORY: Final = TouchMemory.dtype_
TIGHT_DISTANCES = np.int64(TOUCH_MEMORY.fields["distances"][1])


@leaf
def set_feature(market, which, value):
    """Set a feature, declared or not."""
    record_at(address_of(market) + FEATURES_OFFSET, which, NUMBER).value = value


@kernel
def put(market, wanted, which, value):
    """Set a feature if somebody declared it."""
    if (wanted >> which) & 1:
        set_feature(market, which, value)


# ---------------------------------------------------------------------- the touch


@kernel
def spread(bid, ask):
    """Absolute spread: (ask - bid) / 1e9. Price."""
    return (ask - bid) / PRICE_SCALE


@kernel
def mid(bid, ask):
    """Mid: (ask + bid) / 2e9. Price."""
    return (ask + bid) / (2 * PRICE_SCALE)


@kernel
def spread_relative(bid, ask):
    """Relative spread: spread / mid, NaN if the mid is 0. Dimensionless."""
    middle = mid(bid, ask)
    return spread(bid, ask) / middle if middle != 0.0 else math.nan


@kernel
def microprice(bid, ask, bid_size, ask_size):
    """Microprice: the mid weighted by the opposite sizes, (bid * ask_size + ask * bid_size) / (bid_size + ask_size). Price (Gatheral, Oomen 2010, eq. 7)."""
    weighted = np.float64(bid) * np.float64(ask_size) + np.float64(ask) * np.float64(bid_size)
    return weighted / (np.float64(ask_size + bid_size) * 1e9)


@kernel
def imbalance(bid, ask):
    """(bid - ask) / (bid + ask), in [-1, 1]; NaN of nothing. Of sizes or numbers of orders at the touch, or of depths (Cao, Hansch, Wang 2009)."""
    total = np.float64(bid + ask)
    return np.float64(bid - ask) / total if total > 0.0 else math.nan


@kernel
def flow(level, size, level_before, size_before):
    """What one side contributes to the order flow: size that came at the touch less size that left it."""
    return (size if level >= level_before else 0) - (size_before if level <= level_before else 0)


@leaf
def as_level(price, sign):
    """A price such that better is greater on both sides."""
    return price * sign if price != UNDEFINED_PRICE else WORST


@kernel
def flow_of_move(market, seen):
    """What both sides contribute, bids less asks, when a best price has changed; nothing at the first view."""
    bids = flow(as_level(market.bid_price, 1), market.bid_size, as_level(seen.bid_price, 1), seen.bid_size)
    asks = flow(as_level(market.ask_price, -1), market.ask_size, as_level(seen.ask_price, -1), seen.ask_size)
    is_known = seen.flow_seen
    seen.flow_seen = 1
    return (bids - asks) * is_known


@kernel
def volatility(market, seen):
    """Volatility of the mid: root of the exponentially weighted mean (decay 0.94) of its squared changes, per change. Price (RiskMetrics 1996)."""
    if market.has_bid and market.has_ask:
        middle = market.bid_price + market.ask_price
        if seen.mid_seen and middle != seen.mid_last:
            step = seen.mid - seen.mid_price_last
            seen.variance = VOLATILITY_DECAY * seen.variance + VOLATILITY_NEWS * (step * step) if seen.variance_seen else step * step
            seen.variance_seen = 1
        seen.mid_seen = 1
        seen.mid_last = middle
        seen.mid_price_last = seen.mid
    return math.sqrt(seen.variance) if seen.variance_seen else math.nan


@leaf
def number_at(seen, offset, i):
    """One of the numbers of a memory."""
    return record_at(address_of(seen) + offset, i, NUMBER)


@kernel
def move(market, seen, grid):
    """A best price has changed, or come or gone."""
    both = market.has_bid and market.has_ask
    bid, ask = market.bid_price, market.ask_price
    seen.bid_price, seen.ask_price = bid, ask
    seen.spread = spread(bid, ask) if both else math.nan
    seen.spread_relative = spread_relative(bid, ask) if both else math.nan
    seen.mid = mid(bid, ask) if both else math.nan
    seen.volatility = volatility(market, seen)
    seen.crossed = bid > ask
    seen.squares = 0.0
    for k in range(LEVELS_OF_SHAPE if both else 0):
        distance = np.float64(ask - bid + 2 * grid * k)
        number_at(seen, TIGHT_DISTANCES, k).value = distance
        seen.squares += distance * distance


@kernel
def update_touch(book):
    """Bring what depends on the BBO of a book alone up to date. Nobody is told: who declares one of these features is told of the BBO.

    Order-flow imbalance: running sum of e_n = flow(bids) - flow(asks) over the views. Lots. (Cont, Kukanov, Stoikov 2014, eq. 1; levels mirrored.) Mostly only
    sizes change, and it is by how much these grew.
    """
    market, seen = book.market, record_at(book.touch_memory, 0, TOUCH_MEMORY)
    if ((market.bid_price ^ seen.bid_price) | (market.ask_price ^ seen.ask_price)) != 0:  # sizes change ten times as often
        came = flow_of_move(market, seen)
        move(market, seen, book.grid)
    else:
        came = (market.bid_size - seen.bid_size) - (market.ask_size - seen.ask_size)
    seen.flow += np.float64(came)
    seen.bid_size = market.bid_size
    seen.ask_size = market.ask_size


@kernel
def show_touch(market, seen, to):
    """Values of what depends on the BBO, into another market. All of them: a test for each, whether somebody declared it, was 14 instructions per record."""
    microprice_now, imbalance_now, of_orders = math.nan, math.nan, math.nan
    if market.has_bid & market.has_ask:
        bid_size, ask_size = market.bid_size, market.ask_size
        microprice_now = microprice(market.bid_price, market.ask_price, bid_size, ask_size)
        imbalance_now = imbalance(bid_size, ask_size)
        of_orders = imbalance(market.bid_count, market.ask_count)
    set_feature(to, SPREAD, seen.spread)
    set_feature(to, SPREAD_RELATIVE, seen.spread_relative)
    set_feature(to, MID, seen.mid)
    set_feature(to, MICROPRICE, microprice_now)
    set_feature(to, IMBALANCE, imbalance_now)
    set_feature(to, ORDER_FLOW_IMBALANCE, seen.flow)
    set_feature(to, VOLATILITY, seen.volatility)
    set_feature(to, IMBALANCE_ORDERS, of_orders)
