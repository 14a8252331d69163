"""The features of several levels, straight from the cells of a book: for strategies that look at no levels and are told of changes of the touch, for columns.

`market.levels` keeps the best levels up to date with every event, and sums by difference: that is for those who are told of each change. Where only values
count, at the moment somebody is told, all that happened in between need not be known. After every event it is cheaper, too, than to find out what the event
changed, if nobody has to be told: which of many ways an event has to be followed on, nobody can predict.

The ten best levels nearly always lie within sixteen cells, and mostly in ten: they are added up without a test per level. Levels are mirrored, so that the
distance of one from the mid, in half 1e-9, is the same expression on both sides: the spread, and two ticks more for each cell below the best.
"""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DIRTY, DIRTY_ASKS, DIRTY_BIDS, side_of
from tapeline.market.features import (
    BEFORE,
    BESTS,
    CAME,
    FIVES,
    LEVELS_OF_SHAPE,
    NEAR,
    SHAPE_MEMORY,
    TEN_LEVELS,
    TIGHT_DISTANCES,
    TOUCH_MEMORY,
    flow,
    keep_sums,
    number_at,
    show_news,
    sums_of,
)
from tapeline.market.ladder import CELL, CELL_SIZE, FAR_CELL, LEVEL, LEVEL_NONE, LEVEL_SIZE, has_best, next_level, size_at
from tapeline.market.levels import deepest_of, next_place
from tapeline.memory import address_of, count_bits, filled, first_bit, record_at, ten_filled, unit, unseen
from tapeline.tape.records import COUNTER

LOOKED_AT = np.int64(16)
"""So many cells of a side, from the best down, are looked at for its levels at once: the reach of `filled`."""
LEVELS_N = 2 * LEVELS_OF_SHAPE
TEN, FIVE = np.int64((1 << LEVELS_N) - 1), np.int64((1 << LEVELS_OF_SHAPE) - 1)
NOWHERE, EVERYWHERE = np.int64(0), np.int64(1 << 40)


@leaf
def add_tight(cells, seen):
    """Size of the five and the ten best levels of a side, which lie beside each other, and the sums for its slope, as `market.features` defines them.

    Behind them that of the five best as a whole number, where these lie (a bit each, the lowest for the best; NOWHERE: more than LOOKED_AT away), `cells`, and
    how far from the best the last level is that was looked at.

    `cells`: address of the best's; `seen`: what the features of the touch remember.
    """
    total, products = np.int64(0), -0.0  # to add to -0.0 is nothing
    for k in range(LEVELS_OF_SHAPE):
        total += record_at(cells, -k, CELL).size
        products += number_at(seen, TIGHT_DISTANCES, k).value * np.float64(total)
    near = total
    for k in range(LEVELS_OF_SHAPE, LEVELS_N):
        total += record_at(cells, -k, CELL).size
    return np.float64(near), np.float64(total), products, seen.squares, near, FIVE, cells, np.int64(LEVELS_N - 1)


@leaf
def add_places(cells, places, spread, step):
    """The same of the ten best levels wherever there is a bit of `places`, the lowest for the best."""
    total, products, squares, all_places = np.int64(0), -0.0, -0.0, places
    for _ in range(LEVELS_OF_SHAPE):
        place = first_bit(places)
        places &= places - 1
        total += record_at(cells, -place, CELL).size
        distance = np.float64(spread + place * step)
        products += distance * np.float64(total)
        squares += distance * distance
    near, five, place = total, all_places ^ places, np.int64(0)
    for _ in range(LEVELS_OF_SHAPE):
        place = first_bit(places)
        places &= places - 1
        total += record_at(cells, -place, CELL).size
    return np.float64(near), np.float64(total), products, squares, near, five, cells, place


@leaf
def walk_shape(book, shape, features, dirty):
    """What the features of several levels follow from, of the bids and of the asks of a book whose BBO is shown.

    `dirty`: the book's, if since the last time all levels were watched.
    """
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    market = book.market
    bid, ask = bids.best - bids.base, asks.best - asks.base
    if (bid - LOOKED_AT) | (ask - LOOKED_AT) >= 0:
        seen = record_at(book.touch_memory, 0, TOUCH_MEMORY)
        bid_cells, ask_cells = bids.cells + CELL_SIZE * bid, asks.cells + CELL_SIZE * ask
        if ten_filled(unseen(bid_cells)) | ten_filled(unseen(ask_cells)) | seen.crossed == 0:  # unseen: else sizes are fetched from there again
            return add_tight(bid_cells, seen), add_tight(ask_cells, seen)
        spread, step = market.ask_price - market.bid_price, 2 * book.grid
        bid_places, ask_places = filled(bid_cells), filled(ask_cells)
        if (min(count_bits(bid_places), count_bits(ask_places)) >= LEVELS_N) & (spread >= 0):  # mostly one side alone has gaps
            of_bids = add_tight(bid_cells, seen) if bid_places & TEN == TEN else add_places(bid_cells, bid_places, spread, step)
            of_asks = add_tight(ask_cells, seen) if ask_places & TEN == TEN else add_places(ask_cells, ask_places, spread, step)
            return of_bids, of_asks
    walk_apart(book, shape, features, dirty)
    return sums_kept(shape, BIDS), sums_kept(shape, ASKS)


@leaf
def sums_kept(shape, side):
    """The same, as `walk_apart` left it."""
    sums = sums_of(shape, side)
    return sums[0], sums[1], sums[2], sums[3], word_at(shape, NEAR, side).n, NOWHERE, NOWHERE, NOWHERE


@kernel
def walk_apart(book, shape, features, dirty):
    """The same where levels lie apart: of the sides that are `dirty`, if the other one's are known and the mid is where it was, else of both.

    `book.deepest` is then the last level of a side that was looked at: a change there, or before, makes it dirty, if it is watched (`watch_levels`).
    """
    market = book.market
    has_mid, step = market.has_bid and market.has_ask, 2 * book.grid
    mid_twice = market.ask_price + market.bid_price if has_mid else np.int64(UNDEFINED_PRICE)
    n = np.int64(LEVELS_N if features & TEN_LEVELS else LEVELS_OF_SHAPE)
    is_known = (mid_twice == shape.mid_twice) & (word_at(shape, FIVES, BIDS).n == NOWHERE)
    shape.mid_twice = mid_twice
    shape.walked = dirty & DIRTY if is_known else np.int64(DIRTY)
    for side in range(2):
        if (shape.walked >> side) & 1:
            ladder = side_of(book, side)
            sums = walk_side(ladder, shape, side, (-mid_twice if has_mid and side == ASKS else mid_twice, step, n))
            keep_sums(shape, side, sums)
            word_at(shape, NEAR, side).n = sums[4]
            deepest_of(book, side).n = ladder.best - sums[5]


@leaf
def watch_levels(book, bids, asks):
    """Note that changes of what the sums of both sides were made of concern a view; `bids`, `asks`: of `walk_shape`."""
    if bids[5] == NOWHERE:
        side_of(book, BIDS).watch, side_of(book, ASKS).watch = deepest_of(book, BIDS).n, deepest_of(book, ASKS).n
    else:
        side_of(book, BIDS).watch, side_of(book, ASKS).watch = side_of(book, BIDS).best - bids[7], side_of(book, ASKS).best - asks[7]


@leaf
def flow_of_level(shape, side, k, level, size):
    """What the k-th best level of a side contributes to the order flow against the k-th best before; it is remembered. LEVEL_NONE: there is none."""
    before = record_at(address_of(shape) + BEFORE, side * LEVELS_OF_SHAPE + k, LEVEL)
    came = flow(level, size, before.price if before.size > 0 else LEVEL_NONE, before.size)
    before.price = level
    before.size = size
    return came


@kernel
def walk_side(ladder, shape, side, of_mid):
    """The sums of one side, level by level, wherever they lie, and how far from the best the last level is; its order flow is left in `shape.came`.

    `of_mid`: twice the mid, mirrored for asks, as levels are; two ticks; how many levels.
    """
    mid_twice, step, n = of_mid
    cells, has_mid = ladder.cells, mid_twice != UNDEFINED_PRICE
    i, k, near, total, came = ladder.best - ladder.base, np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    products, squares = 0.0, 0.0
    place, level = ladder.far_count - 1, ladder.best
    while k < n:
        if i > 0:
            level, size = ladder.base + i, record_at(cells, i, CELL).size
            i = next_place(cells, i)
        elif place >= 0:
            found = record_at(ladder.far, place, FAR_CELL)
            level, size = found.level, found.cell.size
            place -= 1
        else:
            break
        if size > 0:
            total += size
            if k < LEVELS_OF_SHAPE:
                near = total
                came += flow_of_level(shape, side, k, level, size)
                distance = np.float64(abs(mid_twice - level * step)) if has_mid else 0.0
                products += distance * np.float64(total)
                squares += distance * distance
            k += 1
    for absent in range(k, LEVELS_OF_SHAPE):
        came += flow_of_level(shape, side, absent, LEVEL_NONE, np.int64(0))
    word_at(shape, CAME, side).n = came
    return np.float64(near), np.float64(total), products, squares, near, ladder.best - level if k == n else EVERYWHERE


@leaf
def word_at(shape, offset, i):
    """One of the whole numbers of a memory."""
    return record_at(address_of(shape) + offset, i, COUNTER)


@leaf
def remember_sizes(shape, side, cells, five):
    """Remember the sizes of the five best levels of a side, which lie where there is a bit."""
    first = address_of(shape) + BEFORE + side * LEVELS_OF_SHAPE * LEVEL_SIZE
    if five == FIVE:
        for k in range(LEVELS_OF_SHAPE):
            record_at(first, k, LEVEL).size = record_at(cells, -k, CELL).size
    else:
        for k in range(LEVELS_OF_SHAPE):
            record_at(first, k, LEVEL).size = record_at(cells, -first_bit(five), CELL).size
            five &= five - 1


@kernel
def flow_of_moves(ladder, shape, side):
    """Order flow of the five best levels of a side, of which some have come or gone."""
    total = np.int64(0)
    level = ladder.best if has_best(ladder) else LEVEL_NONE
    for k in range(LEVELS_OF_SHAPE):
        total += flow_of_level(shape, side, k, level, size_at(ladder, level) if level != LEVEL_NONE else np.int64(0))
        level = next_level(ladder, level) if level != LEVEL_NONE else level
    return total


@leaf
def follow_flow(book, shape, of_bids, of_asks):
    """Bring the order flow of the five best levels up to date; `of_bids`, `of_asks`: of `walk_shape`. Mostly only sizes of levels change."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    moved = (word_at(shape, BESTS, BIDS).n ^ bids.best) | (word_at(shape, BESTS, ASKS).n ^ asks.best)
    moved |= (word_at(shape, FIVES, BIDS).n ^ of_bids[5]) | (word_at(shape, FIVES, ASKS).n ^ of_asks[5])
    if unseen(moved) == 0 and of_bids[5] != NOWHERE and of_asks[5] != NOWHERE:
        came = (of_bids[4] - word_at(shape, NEAR, BIDS).n) - (of_asks[4] - word_at(shape, NEAR, ASKS).n)
        remember_sizes(shape, BIDS, of_bids[6], of_bids[5])
        remember_sizes(shape, ASKS, of_asks[6], of_asks[5])
    else:
        if of_bids[5] == NOWHERE:
            came = word_at(shape, CAME, BIDS).n if shape.walked & DIRTY_BIDS else np.int64(0)
            came -= word_at(shape, CAME, ASKS).n if shape.walked & DIRTY_ASKS else np.int64(0)
        else:
            came = flow_of_moves(bids, shape, BIDS) - flow_of_moves(asks, shape, ASKS)
        came *= shape.flow_seen
        shape.flow_seen |= book.market.has_bid | book.market.has_ask
        word_at(shape, BESTS, BIDS).n, word_at(shape, BESTS, ASKS).n = bids.best, asks.best
        word_at(shape, FIVES, BIDS).n, word_at(shape, FIVES, ASKS).n = of_bids[5], of_asks[5]
    word_at(shape, NEAR, BIDS).n, word_at(shape, NEAR, ASKS).n = of_bids[4], of_asks[4]
    shape.flow += np.float64(came)
    return shape.flow


@unit("update_walked")
def update_walked(plan):
    """Bring what depends on several levels of plan.book, whose BBO is up to date, up to date; the classes for whom a feature changed."""
    book = record_at(plan.book, 0, BOOK)
    shape = record_at(book.shape_memory, 0, SHAPE_MEMORY)
    bids, asks = walk_shape(book, shape, plan.features, plan.sides)
    watch_levels(book, bids, asks)
    keep_sums(shape, BIDS, bids)
    keep_sums(shape, ASKS, asks)
    follow_flow(book, shape, bids, asks)
    return np.int64(show_news(plan, book.market, shape)) if plan.wakes else 0
