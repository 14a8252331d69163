"""The features of several levels, straight from the cells of a book: for strategies that look at no levels and are told of changes of the touch, for columns.

`market.levels` keeps the best levels up to date with every event, and sums by difference: that is for those who are told of each change. Where only values
count, at the moment somebody is told, all that happened in between need not be known (`walk_shape`). After every event it is cheaper, too, than to find out
which levels the event changed: which of many ways an event has to be followed on, nobody can predict. Then levels are found where one may have come or gone
(`lay_sides`), and where they are is remembered, so that otherwise their sizes are added up (`sum_side`), however far apart they lie.

The ten best levels nearly always lie within sixteen cells, and mostly in ten: they are added up without a test per level. Levels are mirrored, so that the
distance of one from the mid, in half 1e-9, is the same expression on both sides: the spread, and two ticks more for each cell below the best.
"""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DIRTY, side_of
from tapeline.market.features import LEVELS_OF_SHAPE, TEN_LEVELS, TIGHT_DISTANCES, TOUCH_MEMORY, flow, number_at
from tapeline.market.ladder import CELL, CELL_SIZE, FAR_CELL, LEVEL, LEVEL_NONE
from tapeline.market.shape import BEFORE, CELLS, DEEPEST, DISTANCES, LEVELS, NOTHING, PLACES, SHAPE_MEMORY, SIZES_5, SIZES_10, SLOPES, show_news, sums_of
from tapeline.memory import address_of, count_bits, filled, first_bit, record_at, ten_filled, unit, unseen
from tapeline.tape.records import COUNTER

LOOKED_AT = np.int64(16)
"""So many cells of a side, from the best down, are looked at for its levels at once: the reach of `filled`."""
LEVELS_N = 2 * LEVELS_OF_SHAPE
TEN = np.int64((1 << LEVELS_N) - 1)


@leaf
def add_tight(cells, seen):
    """Size of the five and the ten best levels of a side, which lie beside each other, the first of the sums for its slope, and the sizes of the five best.

    `cells`: address of the best's; `seen`: what the features of the touch remember.
    """
    sizes = (
        record_at(cells, 0, CELL).size,
        record_at(cells, -1, CELL).size,
        record_at(cells, -2, CELL).size,
        record_at(cells, -3, CELL).size,
        record_at(cells, -4, CELL).size,
    )
    total, products = np.int64(0), -0.0  # to add to -0.0 is nothing
    for k in range(LEVELS_OF_SHAPE):
        total += sizes[k]
        products += number_at(seen, TIGHT_DISTANCES, k).value * np.float64(total)
    near = total
    for k in range(LEVELS_OF_SHAPE, LEVELS_N):
        total += record_at(cells, -k, CELL).size
    return np.float64(near), np.float64(total), products, sizes


@leaf
def sums_tight(cells, seen):
    """Size of the five and the ten best levels of a side, which lie beside each other, and the sums for its slope, as `market.shape` defines them."""
    near, total, products, _ = add_tight(cells, seen)
    return near, total, products, seen.squares


@leaf
def add_places(cells, places, spread, step):
    """The same of the ten best levels wherever there is a bit of `places`, the lowest for the best."""
    total, products, squares = np.int64(0), -0.0, -0.0
    for _ in range(LEVELS_OF_SHAPE):
        place = first_bit(places)
        places &= places - 1
        total += record_at(cells, -place, CELL).size
        distance = np.float64(spread + place * step)
        products += distance * np.float64(total)
        squares += distance * distance
    near = total
    for _ in range(LEVELS_OF_SHAPE):
        total += record_at(cells, -first_bit(places), CELL).size
        places &= places - 1
    return np.float64(near), np.float64(total), products, squares


@leaf
def walk_shape(book, shape, features):
    """What the features of several levels follow from, of the bids and of the asks of a book whose BBO is shown, for who looks now and then."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    market = book.market
    bid, ask = bids.best - bids.base, asks.best - asks.base
    if (bid - LOOKED_AT) | (ask - LOOKED_AT) >= 0:
        seen = record_at(book.touch_memory, 0, TOUCH_MEMORY)
        bid_cells, ask_cells = bids.cells + CELL_SIZE * bid, asks.cells + CELL_SIZE * ask
        if ten_filled(unseen(bid_cells)) | ten_filled(unseen(ask_cells)) | seen.crossed == 0:  # unseen: else sizes are fetched from there again
            return sums_tight(bid_cells, seen), sums_tight(ask_cells, seen)
        spread, step = market.ask_price - market.bid_price, 2 * book.grid
        bid_places, ask_places = filled(bid_cells), filled(ask_cells)
        if (min(count_bits(bid_places), count_bits(ask_places)) >= LEVELS_N) & (spread >= 0):  # mostly one side alone has gaps
            of_bids = sums_tight(bid_cells, seen) if bid_places & TEN == TEN else add_places(bid_cells, bid_places, spread, step)
            of_asks = sums_tight(ask_cells, seen) if ask_places & TEN == TEN else add_places(ask_cells, ask_places, spread, step)
            return of_bids, of_asks
    lay_sides(book, shape, np.int64(DIRTY), np.int64(DIRTY), features)
    return sums_of(shape, BIDS), sums_of(shape, ASKS)


# ---------------------------------------------------------------------- for who looks after every event


@leaf
def word_at(shape, offset, i):
    """One of the whole numbers of a memory."""
    return record_at(address_of(shape) + offset, i, COUNTER)


@leaf
def before_of(shape, side, k):
    """The k-th best level of a side, as the last event left it."""
    return record_at(address_of(shape) + BEFORE, side * LEVELS_OF_SHAPE + k, LEVEL)


@leaf
def add_listed(shape, side):
    """As `add_tight`, of levels that do not lie beside each other, but where they were found last. Absent ones have a place of size 0."""
    sizes = (
        size_listed(shape, side, 0),
        size_listed(shape, side, 1),
        size_listed(shape, side, 2),
        size_listed(shape, side, 3),
        size_listed(shape, side, 4),
    )
    total, products = np.int64(0), -0.0
    for k in range(LEVELS_OF_SHAPE):
        total += sizes[k]
        products += number_at(shape, DISTANCES, side * LEVELS_OF_SHAPE + k).value * np.float64(total)
    near = total
    for k in range(LEVELS_OF_SHAPE, LEVELS_N):
        total += size_listed(shape, side, k)
    return np.float64(near), np.float64(total), products, sizes


@leaf
def size_listed(shape, side, k):
    """Size of the k-th best level of a side, where it was found last."""
    return record_at(word_at(shape, PLACES, side * LEVELS_N + k).n, 0, COUNTER).n  # a cell begins with its size


@leaf
def sum_side(book, shape, side):
    """Bring the sums of a side up to date, of whose levels none has come or gone since they were laid."""
    cells = word_at(shape, CELLS, side).n
    sums = add_tight(cells, record_at(book.touch_memory, 0, TOUCH_MEMORY)) if cells != 0 else add_listed(shape, side)
    number_at(shape, SIZES_5, side).value = sums[0]
    number_at(shape, SIZES_10, side).value = sums[1]
    number_at(shape, SLOPES, 2 * side).value = sums[2]
    for k in range(LEVELS_OF_SHAPE):
        before_of(shape, side, k).size = sums[3][k]


@leaf
def flow_of_level(shape, side, k, level, size):
    """What the k-th best level of a side contributes to the order flow against the k-th best before; it is remembered. LEVEL_NONE: there is none."""
    before = before_of(shape, side, k)
    came = flow(level, size, before.price if before.size > 0 else LEVEL_NONE, before.size)
    before.price = level
    before.size = size
    return came


@leaf
def list_level(shape, side, k, level, cell):
    """Note which level is the k-th best of a side, and the address of its cell."""
    word_at(shape, LEVELS, side * LEVELS_N + k).n = level
    word_at(shape, PLACES, side * LEVELS_N + k).n = cell


@kernel
def list_near(ladder, shape, side, places):
    """Note the ten best levels of a side wherever there is a bit of `places`, the lowest for the best: no branch per level."""
    best, cell = ladder.best, ladder.cells + CELL_SIZE * (ladder.best - ladder.base)
    for k in range(LEVELS_N):
        place = first_bit(places)
        places &= places - 1
        list_level(shape, side, k, best - place, cell - CELL_SIZE * place)


@kernel
def list_levels(ladder, shape, side, n):
    """Find the `n` best levels of a side wherever they lie: sixteen cells at a time, then the window's last, then those outside it."""
    cells, base = ladder.cells, ladder.base
    i, k = ladder.best - base, np.int64(0)
    while (k < n) & (i >= LOOKED_AT):
        places = filled(cells + CELL_SIZE * i)
        while (k < n) & (places != 0):
            place = i - first_bit(places)
            places &= places - 1
            list_level(shape, side, k, base + place, cells + CELL_SIZE * place)
            k += 1
        i -= LOOKED_AT
    while (k < n) & (i > 0):
        if record_at(cells, i, CELL).size != 0:
            list_level(shape, side, k, base + i, cells + CELL_SIZE * i)
            k += 1
        i -= 1
    place = ladder.far_count - 1
    while (k < n) & (place >= 0):
        found = record_at(ladder.far, place, FAR_CELL)
        if found.cell.size > 0:
            list_level(shape, side, k, found.level, address_of(found))
            k += 1
        place -= 1
    for absent in range(k, LEVELS_N):
        list_level(shape, side, absent, LEVEL_NONE, address_of(shape) + NOTHING)


@leaf
def lay_distances(shape, side, of_mid):
    """Distances of the levels of a side from the mid, wherever they lie, and the sum of their squares; `of_mid`: as `lay_listed`."""
    mid_twice, step, _ = of_mid
    squares = 0.0
    for k in range(LEVELS_OF_SHAPE):
        level = word_at(shape, LEVELS, side * LEVELS_N + k).n
        is_known = (level != LEVEL_NONE) & (mid_twice != UNDEFINED_PRICE)
        distance = np.float64(abs(mid_twice - level * step)) if is_known else 0.0
        number_at(shape, DISTANCES, side * LEVELS_OF_SHAPE + k).value = distance
        squares += distance * distance
    return squares


@kernel
def lay_listed(ladder, shape, side, of_mid):
    """Find the levels of a side wherever they lie, and their distances from the mid: their order flow, and the sum of squared distances.

    `of_mid`: twice the mid, mirrored for asks, as levels are; two ticks; how many levels.
    """
    n = of_mid[2]
    i = ladder.best - ladder.base
    places = filled(ladder.cells + CELL_SIZE * i) if i >= LOOKED_AT else np.int64(0)
    if count_bits(places) >= LEVELS_N:
        list_near(ladder, shape, side, places)
    else:
        list_levels(ladder, shape, side, n)
    came = np.int64(0)
    for k in range(LEVELS_OF_SHAPE):
        came += flow_of_level(shape, side, k, word_at(shape, LEVELS, side * LEVELS_N + k).n, size_listed(shape, side, k))
    word_at(shape, DEEPEST, side).n = word_at(shape, LEVELS, side * LEVELS_N + n - 1).n
    return came, lay_distances(shape, side, of_mid)


@kernel
def lay_tight(ladder, shape, side, cells):
    """The order flow of levels that lie beside each other; `cells`: as `add_tight`."""
    came = np.int64(0)
    for k in range(LEVELS_OF_SHAPE):
        came += flow_of_level(shape, side, k, ladder.best - k, record_at(cells, -k, CELL).size)
    word_at(shape, DEEPEST, side).n = ladder.best - (LEVELS_N - 1)
    return came


@kernel
def lay_side(book, shape, side, of_mid):
    """Find the levels of a side, of which some have come or gone, or the mid has moved: their sums, and what that is for the order flow."""
    ladder, seen = side_of(book, side), record_at(book.touch_memory, 0, TOUCH_MEMORY)
    i = ladder.best - ladder.base
    cells = ladder.cells + CELL_SIZE * i
    if (i >= LEVELS_N) & (seen.crossed == 0) & (of_mid[0] != UNDEFINED_PRICE) and ten_filled(unseen(cells)) == 0:
        word_at(shape, CELLS, side).n = cells
        came, squares = lay_tight(ladder, shape, side, cells), seen.squares
    else:
        word_at(shape, CELLS, side).n = 0
        came, squares = lay_listed(ladder, shape, side, of_mid)
    number_at(shape, SLOPES, 2 * side + 1).value = squares
    near = number_at(shape, SIZES_5, side).value
    sum_side(book, shape, side)
    rest = np.float64(came * shape.flow_seen) - (number_at(shape, SIZES_5, side).value - near)
    shape.flow_rest += rest if side == BIDS else -rest


@kernel
def lay_side_again(book, shape, side, of_mid):
    """The same where none has come or gone: sizes, and distances from the mid; the order flow is what sizes make of it."""
    seen = record_at(book.touch_memory, 0, TOUCH_MEMORY)
    if word_at(shape, CELLS, side).n == 0:
        number_at(shape, SLOPES, 2 * side + 1).value = lay_distances(shape, side, of_mid)
    elif (seen.crossed == 0) & (of_mid[0] != UNDEFINED_PRICE):
        number_at(shape, SLOPES, 2 * side + 1).value = seen.squares
    else:
        lay_side(book, shape, side, of_mid)
        return
    sum_side(book, shape, side)


@kernel
def lay_sides(book, shape, sides, moved, features):
    """The same of those sides (a bit each) of which anything has changed, and of both if the mid has moved; the BBO is shown.

    `moved`: the sides of which levels have come or gone, at least. In half of these events the mid has moved, and the other side's levels are where they were.
    """
    market = book.market
    has_mid = market.has_bid & market.has_ask
    mid_twice = market.ask_price + market.bid_price if has_mid else np.int64(UNDEFINED_PRICE)
    n = np.int64(LEVELS_N if features & TEN_LEVELS else LEVELS_OF_SHAPE)
    if mid_twice != shape.mid_twice:
        sides = np.int64(DIRTY)
    shape.mid_twice = mid_twice
    for side in range(2):
        if (sides >> side) & 1:
            of_mid = (-mid_twice if has_mid and side == ASKS else mid_twice, 2 * book.grid, n)
            if (moved >> side) & 1:
                lay_side(book, shape, side, of_mid)
            else:
                lay_side_again(book, shape, side, of_mid)
    shape.flow_seen |= market.has_bid | market.has_ask


@leaf
def watch_levels(book, shape):
    """Note that changes of the levels that were looked at concern a view."""
    side_of(book, BIDS).watch, side_of(book, ASKS).watch = word_at(shape, DEEPEST, BIDS).n, word_at(shape, DEEPEST, ASKS).n


@leaf
def show_flow(shape):
    """Bring the order flow of the five best levels up to date: whole numbers, so that it does not matter what is added to what."""
    shape.flow = shape.flow_rest + (number_at(shape, SIZES_5, BIDS).value - number_at(shape, SIZES_5, ASKS).value)


@unit("update_walked")
def update_walked(plan):
    """Bring what depends on several levels of plan.book, whose BBO is up to date, up to date; the classes for whom a feature changed."""
    book = record_at(plan.book, 0, BOOK)
    shape = record_at(book.shape_memory, 0, SHAPE_MEMORY)
    lay_sides(book, shape, plan.sides, np.int64(DIRTY), plan.features)
    watch_levels(book, shape)
    show_flow(shape)
    return np.int64(show_news(plan, book.market, shape)) if plan.wakes else 0
