"""The features of several levels, straight from the cells of a book, for strategies that look at no levels themselves and are told of changes of the touch.

`market.levels` keeps the best levels up to date with every event, and sums by difference: that is for those who are told of each change. Where only values
count, at the moment somebody is told, all that happened in between need not be known.
"""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel
from tapeline.market.book import ASKS, BOOK, side_of
from tapeline.market.features import DENSE_BELOW, DISTANCES, LEVELS_OF_SHAPE, SHAPE_MEMORY, SIZES_5, SIZES_10, SLOPES, TEN_LEVELS, number_at
from tapeline.market.ladder import CELL, FAR_CELL, LEVEL_NONE
from tapeline.market.levels import next_place
from tapeline.memory import address_of, record_at, unit
from tapeline.tape.records import COUNTER


@kernel
def walk_dense(cells, i, seen, side, n):
    """As `walk_side` from cell `i` on, where each of the `n` best levels lies beside the one before it, at the distances of last time; whether they do."""
    total, products, is_dense = np.int64(0), 0.0, True
    for k in range(LEVELS_OF_SHAPE):
        size = record_at(cells, i - k, CELL).size
        is_dense &= size != 0
        total += size
        products += number_at(seen, DISTANCES, side * LEVELS_OF_SHAPE + k).value * np.float64(total)
    near = total
    if n > LEVELS_OF_SHAPE:
        for k in range(LEVELS_OF_SHAPE, 2 * LEVELS_OF_SHAPE):
            size = record_at(cells, i - k, CELL).size
            is_dense &= size != 0
            total += size
    if is_dense:
        number_at(seen, SIZES_5, side).value = np.float64(near)
        number_at(seen, SIZES_10, side).value = np.float64(total)
        number_at(seen, SLOPES, 2 * side).value = products
    return is_dense


@kernel
def walk_side(book, seen, side, mid_twice, n):
    """Size of the five and the `n` best levels of a side, and the sums for its slope, as `market.features` defines them.

    Levels are mirrored, so that a level's distance from the mid, in half 1e-9, is the same expression on both sides.
    """
    ladder = side_of(book, side)
    cells, step = ladder.cells, 2 * book.grid
    i, k, total = ladder.best - ladder.base, np.int64(0), np.int64(0)
    dense_below = record_at(address_of(seen) + DENSE_BELOW, side, COUNTER)
    if (dense_below.n == ladder.best) & (i > n) and walk_dense(cells, i, seen, side, n):
        return
    products, squares, first = 0.0, 0.0, i
    start = (-mid_twice if side == ASKS else mid_twice) - ladder.base * step
    while (i > 0) & (k < LEVELS_OF_SHAPE):
        total += record_at(cells, i, CELL).size
        distance = np.float64(abs(start - i * step))
        number_at(seen, DISTANCES, side * LEVELS_OF_SHAPE + k).value = distance
        products += distance * np.float64(total)
        squares += distance * distance
        k += 1
        i = next_place(cells, i)
    near = total
    has_mid = mid_twice != UNDEFINED_PRICE
    dense_below.n = ladder.best if has_mid & (k == LEVELS_OF_SHAPE) & (first - i == LEVELS_OF_SHAPE) else LEVEL_NONE
    while (i > 0) & (k < n):
        total += record_at(cells, i, CELL).size
        k += 1
        i = next_place(cells, i)
    if (k < n) & (ladder.far_count > 0):
        near, total, products, squares = walk_far(ladder, start + ladder.base * step, step, (k, n), (near, total, products, squares))
    number_at(seen, SIZES_5, side).value = np.float64(near)
    number_at(seen, SIZES_10, side).value = np.float64(total)
    number_at(seen, SLOPES, 2 * side).value = products if has_mid else 0.0
    number_at(seen, SLOPES, 2 * side + 1).value = squares if has_mid else 0.0


@kernel
def walk_far(ladder, start, step, numbers, sums):
    """The same from level number k on, of those outside the window."""
    k, n = numbers
    near, total, products, squares = sums
    place = ladder.far_count - 1
    while (place >= 0) & (k < n):
        found = record_at(ladder.far, place, FAR_CELL)
        place -= 1
        if found.cell.size > 0:
            total += found.cell.size
            if k < LEVELS_OF_SHAPE:
                near = total
                distance = np.float64(abs(start - found.level * step))
                products += distance * np.float64(total)
                squares += distance * distance
            k += 1
    return near, total, products, squares


@unit("walk_shape")
def walk_shape(plan):
    """Bring what the features of several levels follow from up to date with plan.book, whose BBO is shown."""
    book = record_at(plan.book, 0, BOOK)
    market, seen = book.market, record_at(book.shape_memory, 0, SHAPE_MEMORY)
    mid_twice = market.ask_price + market.bid_price if market.has_bid and market.has_ask else np.int64(UNDEFINED_PRICE)
    if mid_twice != seen.mid_twice:
        seen.mid_twice = mid_twice
        for side in range(2):
            record_at(address_of(seen) + DENSE_BELOW, side, COUNTER).n = LEVEL_NONE
    n = np.int64(2 * LEVELS_OF_SHAPE if plan.features & TEN_LEVELS else LEVELS_OF_SHAPE)
    for side in range(2):
        walk_side(book, seen, side, mid_twice, n)
    return 0
