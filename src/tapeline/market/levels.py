"""The levels that a view shows, best first, brought up to date at the end of an event.

Nearly every event changes the size of one or two levels that stay where they are. Which ones, its tape events say: these lie side by side, and are looked at
once more (`follow_levels`). Where a level came or went, or where that is not known, all levels of the side are looked at (`refresh_levels`).
"""

from typing import Final

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, DEEPEST_OFFSET, EVENTS_MAX, PLACE, VIEW_PLAN, side_of
from tapeline.market.features import LEVELS_OF_SHAPE, SHAPE_FEATURES
from tapeline.market.ladder import CELL, LEVEL, LEVEL_NONE, LEVEL_SIZE, count_at, has_best, next_level, size_at
from tapeline.market.shape import SHAPE_MEMORY, change_size, keep_levels
from tapeline.memory import address_of, record_at
from tapeline.tape.records import CLEAR, COUNTER, EVENT, EVENT_SIZE, FILL, LAST, SNAPSHOT, side_index

OTHERS_MAX: Final = 4
"""So many tape events of other books are passed on the way back to the book's last event."""
UNKNOWN, NOWHERE, FOUND = (np.int64(n) for n in (-1, 0, 1))
PLACES_OFFSET: Final = np.int64(VIEW_PLAN.fields["places"][1])


@leaf
def differs(shown, price, size, count):
    """Whether a Level shows something else."""
    return (shown.price != price) | (shown.size != size) | (shown.count != count)


@leaf
def show(shown, price, size, count):
    """What a Level shows from now on."""
    shown.price = price
    shown.size = size
    shown.count = count


@leaf
def next_place(cells, i):
    """The next cell below number `i` that holds size; the guard's, if there is none."""
    i -= 1
    while record_at(cells, i, CELL).size == 0:
        i -= 1
    return i


@kernel
def refresh_levels(ladder, price_step, first, n):
    """Bring the `n` best levels of a side, Level records at `first`, up to date; the first that changed, or `n`. `price_step`: the grid, for asks its negative.

    Absent levels have no price and size 0. The deepest is the one from which on a change concerns a view.
    """
    cells, base = ladder.cells, ladder.base
    i, k = ladder.best - base, np.int64(0)
    last = i
    while (i > 0) & (k < n):  # levels as they were, within the window, where nearly all are: one cell after the other
        cell = record_at(cells, i, CELL)
        if differs(record_at(first, k, LEVEL), (base + i) * price_step, cell.size, np.int64(cell.count)):
            break
        last = i
        k += 1
        i = next_place(cells, i)
    changed = k
    while (i > 0) & (k < n):
        cell = record_at(cells, i, CELL)
        show(record_at(first, k, LEVEL), (base + i) * price_step, cell.size, np.int64(cell.count))
        last = i
        k += 1
        i = next_place(cells, i)
    ladder.watch = base + last
    return changed if k == n else refresh_far(ladder, price_step, first, (changed, k, n))


@kernel
def refresh_far(ladder, price_step, first, which):
    """The same for those levels, from number k on, that lie outside the window, or nowhere."""
    changed, k, n = which
    is_first = changed == k
    level = next_level(ladder, ladder.base + 1) if has_best(ladder) else LEVEL_NONE
    for i in range(k, n):
        shown = record_at(first, i, LEVEL)
        ladder.watch = level
        price, size, count = np.int64(UNDEFINED_PRICE), np.int64(0), np.int64(0)
        if level != LEVEL_NONE:
            price, size, count = level * price_step, size_at(ladder, level), count_at(ladder, level)
            level = next_level(ladder, level)
        is_first = is_first and not differs(shown, price, size, count)
        changed += is_first
        show(shown, price, size, count)
    return changed


@leaf
def deepest_of(book, side):
    """Where it stands which level is the last that the view shows."""
    return record_at(address_of(book) + DEEPEST_OFFSET, side, COUNTER)


@leaf
def find_place(book, plan, event, place):
    """Which Level of the view a tape event has changed: FOUND, in `place`; NOWHERE; or UNKNOWN, if levels may have come or gone."""
    if event.kind >= FILL:
        return UNKNOWN if event.kind == CLEAR else NOWHERE
    side = side_index(event.side)
    ladder = side_of(book, side)
    level = np.int64(event.level)
    if level < deepest_of(book, side).n:
        return NOWHERE
    i = level - ladder.base
    if not 0 < i < ladder.width or record_at(ladder.cells, i, CELL).size == 0:
        return UNKNOWN
    depth = plan.depth
    first = book.market.levels + side * depth * LEVEL_SIZE
    price = level * (-book.grid if side == ASKS else book.grid)
    k = min(max(ladder.best - level, 0), depth - 1)  # there it is, if no level in between is empty
    while record_at(first, k, LEVEL).price != price:
        k -= 1
        if k < 0:
            return UNKNOWN
    place.cell = address_of(record_at(ladder.cells, i, CELL))
    place.side = side
    place.number = k
    return FOUND


@kernel
def find_places(book, plan):
    """Which Levels the event that plan.event ends has changed: how many are in plan.places; UNKNOWN, if levels may have come or gone, or it cannot be told.

    The view shows what the book's last ordinary event left, which ended at the tape event of this book that comes before.
    """
    at, n, others = plan.event, np.int64(0), 0
    event = record_at(at, 0, EVENT)
    for _ in range(EVENTS_MAX):
        what = find_place(book, plan, event, place_at(plan, n))
        if what == UNKNOWN:
            return UNKNOWN
        n += what
        while True:
            if at == plan.events or others > OTHERS_MAX:
                return UNKNOWN
            at -= EVENT_SIZE
            event = record_at(at, 0, EVENT)
            if np.int64(event.instrument) == book.index:
                break
            others += 1
        if event.flags & SNAPSHOT:
            return UNKNOWN  # its changes are not shown yet
        if event.flags & LAST:
            return n
    return UNKNOWN


@leaf
def place_at(plan, number):
    """One of the places of a plan."""
    return record_at(address_of(plan) + PLACES_OFFSET, number, PLACE)


@kernel
def follow_levels(book, plan, n):
    """Bring the Levels at the `n` places of the plan up to date; the first that changed, of either side, or the depth."""
    depth, of_shape = plan.depth, plan.followed & SHAPE_FEATURES != 0
    first, near = depth, np.int64(0)
    for j in range(n):
        place = place_at(plan, j)
        side, k = place.side, place.number
        shown, cell = record_at(book.market.levels, side * depth + k, LEVEL), record_at(place.cell, 0, CELL)
        more, count = cell.size - shown.size, np.int64(cell.count)
        is_changed = (more != 0) | (shown.count != count)
        shown.size = cell.size
        shown.count = count
        first = min(first, k if is_changed else depth)
        near |= np.int64(is_changed & (k < LEVELS_OF_SHAPE)) << side
        if of_shape:
            change_size(record_at(book.shape_memory, 0, SHAPE_MEMORY), side, k, more)
    plan.near, plan.walked = near, 0
    return first


@kernel
def walk_levels(book, plan):
    """Bring all Levels of the sides on which something changed up to date; likewise."""
    market, depth = book.market, plan.depth
    plan.near, plan.walked = 0, plan.sides
    first = depth
    for side in range(2):
        if (plan.sides >> side) & 1:
            if plan.followed & SHAPE_FEATURES:
                keep_levels(market, record_at(book.shape_memory, 0, SHAPE_MEMORY), side)
            ladder = side_of(book, side)
            changed = refresh_levels(ladder, -book.grid if side == ASKS else book.grid, market.levels + side * depth * LEVEL_SIZE, depth)
            deepest_of(book, side).n = ladder.watch
            plan.near |= np.int64(changed < LEVELS_OF_SHAPE) << side
            first = min(first, changed)
    return first


@leaf
def update_levels(book, plan):
    """Bring the Levels of the view up to date; the first that changed, of either side, or the depth."""
    n = find_places(book, plan)
    if n == UNKNOWN:
        return walk_levels(book, plan)
    for side in range(2):
        side_of(book, side).watch = deepest_of(book, side).n
    return follow_levels(book, plan, n)
