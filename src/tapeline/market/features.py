"""The features of the book: formula, unit and source of each. Those of what happened in it are in tapeline.market.activity.

A feature is a formula over a *state*: prices, sizes, sums. The state follows every event that changes it, in records of the book (`TouchMemory`,
`ShapeMemory`); the formula is applied where somebody looks: when a strategy is told (`market.view.show_features`), to blocks of rows where features become
columns (market.trace). Only those that wake strategies by changing, of several levels, are looked at after each event (`plan.wakes`). What the others
of several levels follow from is added up when a strategy is told, where no strategy looks at levels itself (market.walk).

To add one: a member of `constants.Feature`, a kernel here, a line in `show_touch` or `show_shape`, one in `trace.FORMULAS`, one in the table of
docs/ARCHITECTURE.md, and its twin in `reference/features.py`. `update_touch` is called when the BBO changed, `update_shape` when one of the declared levels
did. Each is a unit, compiled for runs that declare one of its features. Prices are 1e-9 integers until the last step; NaN stands for "not defined now" (a side
is absent).
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import FEATURE_ACTIVITY_FIRST, PRICE_SCALE, UNDEFINED_PRICE, Feature
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, DIRTY, FEATURES_OFFSET, NUMBER, VIEW_PLAN
from tapeline.market.ladder import LEVEL, LEVEL_SIZE, Level
from tapeline.memory import address_of, copy, record_at, unit
from tapeline.record import Record, float64, int64
from tapeline.tape.records import COUNTER

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


class ShapeMemory(Record):
    """What the features of several levels remember of one book: of each side, the bids' first. Sizes and flows are whole numbers."""

    size_5: (float64, (2,))  # type: ignore[syntax]  # an array of them: size of the five best levels
    size_10: (float64, (2,))  # type: ignore[syntax]  # of the ten best
    slopes: (float64, (4,))  # type: ignore[syntax]  # of the bids sum(x y) and sum(x x), of the asks; 0 while there is no mid
    flow: float64  # ORDER_FLOW_IMBALANCE_5
    # so far what a row of features needs
    flow_seen: int64
    mid_twice: int64 = UNDEFINED_PRICE  # of the last slopes; while a side is absent, undefined
    distances: (float64, (2 * LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # of the levels from that mid; 0 for absent ones
    before: (Level, (2 * LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # the five best levels of each side before they are looked at one by one
    # from here on what only market.walk needs
    flow_rest: float64  # the order flow less what the sizes of the five best levels now make of it: it changes where levels come or go
    cells: (int64, (2,))  # type: ignore[syntax]  # of each side the address of the best's cell, if the ten best lie beside each other; 0: they do not
    places: (int64, (4 * LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # if not, addresses of the cells of the ten best,
    levels: (int64, (4 * LEVELS_OF_SHAPE,))  # type: ignore[syntax]  # and which levels these are; LEVEL_NONE: absent
    deepest: (int64, (2,))  # type: ignore[syntax]  # the last level that was looked at
    nothing: int64  # 0: the size of absent levels


TOUCH_MEMORY, SHAPE_MEMORY = TouchMemory.dtype_, ShapeMemory.dtype_
TIGHT_DISTANCES = np.int64(TOUCH_MEMORY.fields["distances"][1])
SIZES_5, SIZES_10, SLOPES, DISTANCES, BEFORE = (np.int64(SHAPE_MEMORY.fields[name][1]) for name in ("size_5", "size_10", "slopes", "distances", "before"))
CELLS, PLACES, LEVELS, DEEPEST, NOTHING = (np.int64(SHAPE_MEMORY.fields[name][1]) for name in ("cells", "places", "levels", "deepest", "nothing"))


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


# ---------------------------------------------------------------------- several levels

SHOWN_BEFORE: Final = np.int64(VIEW_PLAN.fields["shown_before"][1])


@kernel
def level_of(market, side, i):
    """The i-th best level of a side, as the view shows it."""
    return record_at(market.levels, side * np.int64(market.depth) + i, LEVEL)


@kernel
def keep_levels(market, seen, side):
    """Remember the best levels of a side, which are about to be looked at one by one."""
    copy(address_of(seen) + BEFORE + side * LEVELS_OF_SHAPE * LEVEL_SIZE, address_of(level_of(market, side, 0)), LEVELS_OF_SHAPE * LEVEL_SIZE)


@kernel
def change_size(seen, side, i, more):
    """The i-th best level of a side has become larger by some lots, and is still the i-th best."""
    near = more if i < LEVELS_OF_SHAPE else 0
    number_at(seen, SIZES_10, side).value += np.float64(more if i < 2 * LEVELS_OF_SHAPE else 0)
    number_at(seen, SIZES_5, side).value += np.float64(near)
    seen.flow += np.float64(near * (1 - 2 * side))


@kernel
def add_sizes(plan, market, seen, side):
    """Size of the five and the ten best levels of a side. Lots."""
    total = np.int64(0)
    for i in range(LEVELS_OF_SHAPE):
        total += level_of(market, side, i).size
    number_at(seen, SIZES_5, side).value = np.float64(total)
    if plan.features & TEN_LEVELS:
        for i in range(LEVELS_OF_SHAPE, 2 * LEVELS_OF_SHAPE):
            total += level_of(market, side, i).size
        number_at(seen, SIZES_10, side).value = np.float64(total)


@kernel
def flow_of_side(market, seen, side):
    """Order flow of the k-th best level of a side against the k-th best before, over k = 1 … 5."""
    total = np.int64(0)
    for i in range(LEVELS_OF_SHAPE):
        now = level_of(market, side, i)
        before = record_at(address_of(seen) + BEFORE, side * LEVELS_OF_SHAPE + i, LEVEL)
        sign = 1 - 2 * side
        level = now.price * sign if now.size > 0 else WORST
        total += flow(level, now.size, before.price * sign if before.size > 0 else WORST, before.size)
    return total


@kernel
def slope(products, squares):
    """Slope of the book: by how many lots depth grows per price of distance from the mid. Lots / price.

    Least squares of the cumulative size y on the distance x over the (at most five) best levels, through the origin: sum(x y) / sum(x x); NaN where all
    distances are 0. A steepness as in Naes, Skjeltorp 2006, without their logarithms.
    """
    return products / squares * (2.0 * PRICE_SCALE) if squares > 0.0 else math.nan


@kernel
def lay_distances(market, seen, side):
    """Distances of the levels of a side from the mid, and the sum of their squares: they change with prices only."""
    squares = 0.0
    for i in range(LEVELS_OF_SHAPE):
        level = level_of(market, side, i)
        is_known = (level.size > 0) & (seen.mid_twice != UNDEFINED_PRICE)
        distance = np.float64(abs(seen.mid_twice - 2 * level.price)) if is_known else 0.0
        number_at(seen, DISTANCES, side * LEVELS_OF_SHAPE + i).value = distance
        squares += distance * distance
    number_at(seen, SLOPES, 2 * side + 1).value = squares


@kernel
def add_products(market, seen, side):
    """The sum of distances times cumulative sizes."""
    cumulative, products = 0.0, 0.0
    for i in range(LEVELS_OF_SHAPE):
        cumulative += np.float64(level_of(market, side, i).size)
        products += number_at(seen, DISTANCES, side * LEVELS_OF_SHAPE + i).value * cumulative
    number_at(seen, SLOPES, 2 * side).value = products


@kernel
def update_slopes(plan, market, seen):
    """Slopes change with their side, and both with the mid."""
    mid_twice = market.ask_price + market.bid_price if market.has_bid and market.has_ask else np.int64(UNDEFINED_PRICE)
    is_moved = mid_twice != seen.mid_twice
    seen.mid_twice = mid_twice
    if is_moved:
        plan.walked = plan.near = np.int64(DIRTY)
    for side in range(2):
        if (plan.walked >> side) & 1:
            lay_distances(market, seen, side)
    if plan.near:  # mostly of one side, which it is nobody can predict
        add_products(market, seen, plan.near >> 1)
    if plan.near == DIRTY:
        add_products(market, seen, BIDS)


@leaf
def sums_of(seen, side):
    """What the features of several levels of a side follow from: size of the five and the ten best levels, and the sums for the slope."""
    sizes_5, sizes_10 = number_at(seen, SIZES_5, side).value, number_at(seen, SIZES_10, side).value
    return sizes_5, sizes_10, number_at(seen, SLOPES, 2 * side).value, number_at(seen, SLOPES, 2 * side + 1).value


@kernel
def show_shape(to, bids, asks):
    """Values of what depends on several levels as they are, into a market, all of them; `bids`, `asks`: what they follow from, as `sums_of` gives it."""
    set_feature(to, DEPTH_BID, bids[0])
    set_feature(to, DEPTH_ASK, asks[0])
    set_feature(to, IMBALANCE_5, imbalance(bids[0], asks[0]))
    set_feature(to, IMBALANCE_10, imbalance(bids[1], asks[1]))
    set_feature(to, DEPTH_BID_10, bids[1])
    set_feature(to, DEPTH_ASK_10, asks[1])
    set_feature(to, SLOPE_BID, slope(bids[2], bids[3]))
    set_feature(to, SLOPE_ASK, slope(asks[2], asks[3]))


@kernel
def show_sums(to, seen):
    """The same from what is remembered, and the order flow."""
    show_shape(to, sums_of(seen, BIDS), sums_of(seen, ASKS))
    set_feature(to, ORDER_FLOW_IMBALANCE_5, seen.flow)


@kernel
def show_news(plan, market, seen):
    """The same, into the book's own market; the classes for whom a value differs from what was there.

    No branch on which differ: nobody can predict that. Values are compared by their bits: there is one NaN, and no -0.0.
    """
    first, before = address_of(market) + FEATURES_OFFSET, address_of(plan) + SHOWN_BEFORE
    copy(before, first, 8 * FEATURE_ACTIVITY_FIRST)
    show_sums(market, seen)
    changed = np.uint64(0)
    for which in range(FEATURE_ACTIVITY_FIRST):
        differs = record_at(first, which, COUNTER).n != record_at(before, which, COUNTER).n
        changed |= record_at(plan.feature_masks, which, BITS).bits & (np.uint64(0) - np.uint64(differs))
    return changed


@unit("update_shape")
def update_shape(plan):
    """Bring what depends on several levels of plan.book up to date; the classes for whom a feature changed."""
    book = record_at(plan.book, 0, BOOK)
    market, seen = book.market, record_at(book.shape_memory, 0, SHAPE_MEMORY)
    if plan.walked:
        for side in range(2):
            if (plan.walked >> side) & 1:
                add_sizes(plan, market, seen, side)
                came = np.float64(flow_of_side(market, seen, side) * seen.flow_seen)
                seen.flow += came if side == BIDS else -came
    seen.flow_seen = 1
    if (plan.features >> SLOPE_BID) & 3:
        update_slopes(plan, market, seen)
    return np.int64(show_news(plan, market, seen)) if plan.wakes else 0
