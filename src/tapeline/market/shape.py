"""The features of several levels: formula, unit and source of each, in the terms of tapeline.market.features."""

import math
from typing import Final

import numpy as np

from tapeline.constants import FEATURE_ACTIVITY_FIRST, PRICE_SCALE, UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, DIRTY, FEATURES_OFFSET, VIEW_PLAN
from tapeline.market.features import (
    DEPTH_ASK,
    DEPTH_ASK_10,
    DEPTH_BID,
    DEPTH_BID_10,
    IMBALANCE_5,
    IMBALANCE_10,
    LEVELS_OF_SHAPE,
    ORDER_FLOW_IMBALANCE_5,
    SLOPE_ASK,
    SLOPE_BID,
    TEN_LEVELS,
    WORST,
    flow,
    imbalance,
    number_at,
    set_feature,
)
from tapeline.market.ladder import LEVEL, LEVEL_SIZE, Level
from tapeline.memory import address_of, copy, record_at, unit
from tapeline.record import Record, float64, int64
from tapeline.tape.records import COUNTER


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


SHAPE_MEMORY: Final = ShapeMemory.dtype_
SIZES_5, SIZES_10, SLOPES, DISTANCES, BEFORE = (np.int64(SHAPE_MEMORY.fields[name][1]) for name in ("size_5", "size_10", "slopes", "distances", "before"))
CELLS, PLACES, LEVELS, DEEPEST, NOTHING = (np.int64(SHAPE_MEMORY.fields[name][1]) for name in ("cells", "places", "levels", "deepest", "nothing"))
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
