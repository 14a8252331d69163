"""The features of the book: formula, unit and source of each. Those of what happened in it are in tapeline.market.activity.

To add one: a member of `constants.Feature`, a kernel here, a line in `update_touch` or `update_shape`, a line in the table of docs/ARCHITECTURE.md, and its
twin in `reference/features.py`. Features are computed when somebody declares them and what they depend on has changed: `update_touch` is called when the BBO
did, `update_shape` when one of the declared levels did. Each is a unit, compiled for runs that declare one of its features. Prices are 1e-9 integers until the
last step; NaN stands for "not defined now" (a side is absent).
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE, Feature
from tapeline.jit import kernel
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, DIRTY_ASKS, DIRTY_BIDS, FEATURES_OFFSET, NUMBER, side_of
from tapeline.market.ladder import LEVEL, LEVEL_NONE, Level, has_best
from tapeline.memory import address_of, record_at, unit
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
LEVELS_OF_SHAPE: Final = 5
WORST: Final = np.int64(-(2**63))
"""An absent level is worse than any price."""
VOLATILITY_DECAY, VOLATILITY_NEWS = 0.94, 0.06


class TouchMemory(Record):
    """What the features of the touch remember of one book."""

    bid_price: int64 = UNDEFINED_PRICE  # of the last view
    ask_price: int64 = UNDEFINED_PRICE
    bid_level: int64  # of the last view, for the order flow
    ask_level: int64
    bid_size: int64
    ask_size: int64
    flow_seen: int64
    mid_last: int64  # last defined mid, half ticks, and as a price
    mid_price_last: float64
    mid_seen: int64
    variance: float64
    variance_seen: int64


class ShapeMemory(Record):
    """What the features of several levels remember of one book: the five best of each side, bids first."""

    levels: (Level, (2 * LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # an array of them
    bid_5: int64  # size of the five and ten best levels
    bid_10: int64
    ask_5: int64
    ask_10: int64
    mid_twice: int64 = UNDEFINED_PRICE  # of the last slopes; while a side is absent, undefined
    flow: int64
    flow_seen: int64


TOUCH_MEMORY, SHAPE_MEMORY = TouchMemory.dtype_, ShapeMemory.dtype_


@kernel
def value_of(market, which):
    """Where a feature's value stands."""
    return record_at(address_of(market) + FEATURES_OFFSET, which, NUMBER)


@kernel
def put(market, wanted, masks, which, value):
    """Set a feature if somebody declared it; the classes that have to be told. `wanted`, `masks`: the plan's, in registers.

    No branch on whether the value changed: nobody can predict that, feature by feature.
    """
    if (wanted >> which) & 1 == 0:
        return np.uint64(0)
    kept = value_of(market, which)
    before = kept.value
    kept.value = value
    if masks == 0:
        return np.uint64(0)
    differs = (value != before) & ((value == value) | (before == before))  # noqa: PLR0124 - false for NaN
    return record_at(masks, which, BITS).bits & (np.uint64(0) - np.uint64(differs))


# ---------------------------------------------------------------------- the touch


@kernel
def spread(market):
    """Absolute spread: (ask - bid) / 1e9. Price."""
    return (market.ask_price - market.bid_price) / PRICE_SCALE


@kernel
def mid(market):
    """Mid: (ask + bid) / 2e9. Price."""
    return (market.ask_price + market.bid_price) / (2 * PRICE_SCALE)


@kernel
def spread_relative(market):
    """Relative spread: spread / mid, NaN if the mid is 0. Dimensionless."""
    middle = mid(market)
    return spread(market) / middle if middle != 0.0 else math.nan


@kernel
def microprice(market):
    """Microprice: the mid weighted by the opposite sizes, (bid * ask_size + ask * bid_size) / (bid_size + ask_size). Price (Gatheral, Oomen 2010, eq. 7)."""
    weighted = np.float64(market.bid_price) * np.float64(market.ask_size) + np.float64(market.ask_price) * np.float64(market.bid_size)
    return weighted / (np.float64(market.ask_size + market.bid_size) * 1e9)


@kernel
def imbalance(bid, ask):
    """(bid - ask) / (bid + ask), in [-1, 1]; NaN of nothing. Of sizes or numbers of orders at the touch, or of depths (Cao, Hansch, Wang 2009)."""
    total = np.float64(bid + ask)
    return np.float64(bid - ask) / total if total > 0.0 else math.nan


@kernel
def flow(level, size, level_before, size_before):
    """What one side contributes to the order flow: size that came at the touch less size that left it."""
    return (size if level >= level_before else 0) - (size_before if level <= level_before else 0)


@kernel
def order_flow_imbalance(book, seen):
    """Order-flow imbalance: running sum of e_n = flow(bids) - flow(asks) over the views. Lots. (Cont, Kukanov, Stoikov 2014, eq. 1; levels mirrored)."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    bid_level = bids.best if has_best(bids) else LEVEL_NONE
    ask_level = asks.best if has_best(asks) else LEVEL_NONE
    bid_size, ask_size = book.market.bid_size, book.market.ask_size
    total = 0.0
    if seen.flow_seen:
        from_bids = flow(bid_level, bid_size, seen.bid_level, seen.bid_size)
        from_asks = flow(ask_level, ask_size, seen.ask_level, seen.ask_size)
        total = value_of(book.market, ORDER_FLOW_IMBALANCE).value + np.float64(from_bids - from_asks)
    seen.flow_seen = 1
    seen.bid_level = bid_level
    seen.ask_level = ask_level
    seen.bid_size = bid_size
    seen.ask_size = ask_size
    return total


@kernel
def volatility(market, seen):
    """Volatility of the mid: root of the exponentially weighted mean (decay 0.94) of its squared changes, per change. Price (RiskMetrics 1996)."""
    if market.has_bid and market.has_ask:
        if seen.mid_seen and market.mark != seen.mid_last:
            step = (market.ask_price + market.bid_price) / (2 * PRICE_SCALE) - seen.mid_price_last
            seen.variance = VOLATILITY_DECAY * seen.variance + VOLATILITY_NEWS * (step * step) if seen.variance_seen else step * step
            seen.variance_seen = 1
        seen.mid_seen = 1
        seen.mid_last = market.mark
        seen.mid_price_last = mid(market)
    return math.sqrt(seen.variance) if seen.variance_seen else math.nan


@unit("update_touch")
def update_touch(plan):
    """Bring what depends on the BBO of plan.book alone up to date; the classes for whom a feature changed."""
    book = record_at(plan.book, 0, BOOK)
    seen = record_at(book.touch_memory, 0, TOUCH_MEMORY)
    market = book.market
    wanted, masks = plan.features, plan.feature_masks
    both = market.has_bid and market.has_ask
    changed = np.uint64(0)
    if (market.bid_price != seen.bid_price) | (market.ask_price != seen.ask_price):  # sizes change ten times as often
        seen.bid_price = market.bid_price
        seen.ask_price = market.ask_price
        changed |= put(market, wanted, masks, SPREAD, spread(market) if both else math.nan)
        changed |= put(market, wanted, masks, SPREAD_RELATIVE, spread_relative(market) if both else math.nan)
        changed |= put(market, wanted, masks, MID, mid(market) if both else math.nan)
        if (wanted >> VOLATILITY) & 1:
            changed |= put(market, wanted, masks, VOLATILITY, volatility(market, seen))
    changed |= put(market, wanted, masks, MICROPRICE, microprice(market) if both else math.nan)
    changed |= put(market, wanted, masks, IMBALANCE, imbalance(market.bid_size, market.ask_size) if both else math.nan)
    changed |= put(market, wanted, masks, IMBALANCE_ORDERS, imbalance(market.bid_count, market.ask_count) if both else math.nan)
    if (wanted >> ORDER_FLOW_IMBALANCE) & 1:
        changed |= put(market, wanted, masks, ORDER_FLOW_IMBALANCE, order_flow_imbalance(book, seen))
    return np.int64(changed)


# ---------------------------------------------------------------------- several levels


@kernel
def depth(market, first, n):
    """Size of the `n` best levels of a side, from Level number `first` on. Lots."""
    total = np.int64(0)
    for i in range(n):
        total += record_at(market.levels, first + i, LEVEL).size
    return total


@kernel
def slope(market, first):
    """Slope of the book: by how many lots depth grows per price of distance from the mid. Lots / price.

    Least squares of the cumulative size y on the distance x over the (at most five) best levels, through the origin: sum(x y) / sum(x x); NaN where all
    distances are 0. A steepness as in Naes, Skjeltorp 2006, without their logarithms.
    """
    cumulative, products, squares = 0.0, 0.0, 0.0
    mid_twice = market.ask_price + market.bid_price
    for i in range(LEVELS_OF_SHAPE):
        level = record_at(market.levels, first + i, LEVEL)
        if level.size == 0:
            break
        distance = np.float64(abs(mid_twice - 2 * level.price))
        cumulative += np.float64(level.size)
        products += distance * cumulative
        squares += distance * distance
    return products / squares * (2.0 * PRICE_SCALE) if squares > 0.0 else math.nan


@kernel
def flow_of_side(market, seen, side):
    """Order flow of the k-th best level of a side against the k-th best before, over k = 1 … 5; remembers what is there now."""
    total = np.int64(0)
    for i in range(LEVELS_OF_SHAPE):
        now = record_at(market.levels, side * np.int64(market.depth) + i, LEVEL)
        before = record_at(address_of(seen), side * LEVELS_OF_SHAPE + i, LEVEL)
        level = now.price * (1 - 2 * side) if now.size > 0 else WORST
        total += flow(level, now.size, before.price if before.size > 0 else WORST, before.size)
        before.price = level
        before.size = now.size
    return total


@kernel
def order_flow_imbalance_5(market, seen, sides):
    """Multi-level order-flow imbalance: as ORDER_FLOW_IMBALANCE, summed over the five best levels. Lots (Xu, Gould, Howison 2018)."""
    came = np.int64(0)  # a side that did not change adds nothing
    if sides & DIRTY_BIDS:
        came += flow_of_side(market, seen, BIDS)
    if sides & DIRTY_ASKS:
        came -= flow_of_side(market, seen, ASKS)
    if seen.flow_seen:
        seen.flow += came
    seen.flow_seen = 1
    return np.float64(seen.flow)


@kernel
def update_slopes(plan, market, seen):
    """Slopes change with their side, and both with the mid."""
    wanted, masks = plan.features, plan.feature_masks
    mid_twice = market.ask_price + market.bid_price if market.has_bid and market.has_ask else np.int64(UNDEFINED_PRICE)
    is_moved = mid_twice != seen.mid_twice
    is_known = mid_twice != UNDEFINED_PRICE
    seen.mid_twice = mid_twice
    changed = np.uint64(0)
    if is_moved or plan.near & DIRTY_BIDS:
        changed |= put(market, wanted, masks, SLOPE_BID, slope(market, 0) if is_known else math.nan)
    if is_moved or plan.near & DIRTY_ASKS:
        changed |= put(market, wanted, masks, SLOPE_ASK, slope(market, np.int64(market.depth)) if is_known else math.nan)
    return changed


@unit("update_shape")
def update_shape(plan):
    """Bring what depends on several levels of plan.book up to date, side by side; the classes for whom a feature changed."""
    book = record_at(plan.book, 0, BOOK)
    market, seen = book.market, record_at(book.shape_memory, 0, SHAPE_MEMORY)
    wanted, masks = plan.features, plan.feature_masks
    asks = np.int64(market.depth)
    if plan.near & DIRTY_BIDS:
        seen.bid_5 = depth(market, 0, LEVELS_OF_SHAPE)
    if plan.near & DIRTY_ASKS:
        seen.ask_5 = depth(market, asks, LEVELS_OF_SHAPE)
    if wanted & TEN_LEVELS:
        if plan.sides & DIRTY_BIDS:
            seen.bid_10 = seen.bid_5 + depth(market, LEVELS_OF_SHAPE, LEVELS_OF_SHAPE)
        if plan.sides & DIRTY_ASKS:
            seen.ask_10 = seen.ask_5 + depth(market, asks + LEVELS_OF_SHAPE, LEVELS_OF_SHAPE)
    changed = put(market, wanted, masks, DEPTH_BID, np.float64(seen.bid_5))
    changed |= put(market, wanted, masks, DEPTH_ASK, np.float64(seen.ask_5))
    changed |= put(market, wanted, masks, IMBALANCE_5, imbalance(seen.bid_5, seen.ask_5))
    if wanted & TEN_LEVELS:
        changed |= put(market, wanted, masks, DEPTH_BID_10, np.float64(seen.bid_10))
        changed |= put(market, wanted, masks, DEPTH_ASK_10, np.float64(seen.ask_10))
        changed |= put(market, wanted, masks, IMBALANCE_10, imbalance(seen.bid_10, seen.ask_10))
    if (wanted >> SLOPE_BID) & 3:
        changed |= update_slopes(plan, market, seen)
    if (wanted >> ORDER_FLOW_IMBALANCE_5) & 1:
        changed |= put(market, wanted, masks, ORDER_FLOW_IMBALANCE_5, order_flow_imbalance_5(market, seen, plan.near))
    return np.int64(changed)
