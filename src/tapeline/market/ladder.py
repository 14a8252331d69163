"""One side of a book: size, number of orders and our own interest per price level.

Both sides are stored so that *better is a larger level* (asks are mirrored): one code path, no branch on the side. A window of `width` levels around the
market is a flat array; its cell 0 is a guard that is never empty, so that the scan for the next best needs no bound. Levels worse than the window (far stub
quotes), and those better than it where only orders of ours rest, live in a short sorted list, `far`: slow and right. A size better than the window, or a window
that ran empty, makes the driver move it (`make_room`): rare, since a quarter of it is kept free above the best.
"""

from typing import Final

import numpy as np

from tapeline import constants
from tapeline.jit import entry, kernel, leaf
from tapeline.memory import record_at, view
from tapeline.record import Record, int32, int64


class Cell(Record):
    """One level, 16 bytes."""

    size: int64
    count: int32
    own: int32  # head of the list of our own orders and takes here; 0: none


class FarCell(Record):
    """One level outside the window."""

    cell: Cell
    level: int64


class Level(Record):
    """What a view shows of one level; price in 1e-9, or the level itself while inside the book."""

    price: int64
    size: int64
    count: int64


class Ladder(Record):
    """One side of one book."""

    cells: int64  # address of `width` cells; cell 0 is the guard
    base: int64  # level of cell 0
    width: int64
    best: int64  # greatest level with size > 0; `base` (the guard) if there is none
    watch: int64  # a change at this level or better changes the view
    own_best: int64  # no own order of ours rests at a better level
    reach: int64  # cells 1 to reach - 1 are the window's but for those at which an order that comes to rest would meet one of ours (1 or more)
    far: int64  # address of the far cells, sorted by level
    far_count: int64
    far_capacity: int64
    far_touches: int64  # since the window was last laid: many mean that it is too narrow
    spare: (int64, (5,))  # type: ignore[syntax]  # 128 bytes: the side that an event is of is found by a shift


CELL, FAR_CELL, LEVEL, LADDER = Cell.dtype_, FarCell.dtype_, Level.dtype_, Ladder.dtype_
LEVEL_SIZE: Final = LEVEL.itemsize
CELL_SIZE: Final = np.int64(CELL.itemsize)
LEVEL_NONE: Final = np.int64(constants.LEVEL_NONE)
WIDTH_MIN: Final = 1024
WIDTH_FIRST: Final = 256
"""Of a ladder's first window: a page of memory, for there may be thousands of books in which not much happens."""
FAR_TOUCHES_MAX: Final = 4096
"""After so many touches of far levels the driver doubles the window."""


@leaf
def has_best(ladder):
    """Whether the side holds anything (the window never runs empty while far levels do not: see make_room)."""
    return ladder.best > ladder.base


@kernel
def far_place(ladder, level):
    """Index of the first far cell that is not below a level."""
    low, high = 0, ladder.far_count
    while low < high:
        middle = (low + high) >> 1
        if record_at(ladder.far, middle, FAR_CELL).level < level:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def far_cell(ladder, level):
    """The far cell of a level, made if it was not there; the caller has seen to it that there is room for one more."""
    place = far_place(ladder, level)
    if place == ladder.far_count or record_at(ladder.far, place, FAR_CELL).level != level:
        cells = view(ladder.far, ladder.far_capacity, FAR_CELL)
        for i in range(ladder.far_count, place, -1):
            cells[i] = cells[i - 1]
        new = cells[place]
        new.level = level
        new.cell.size = 0
        new.cell.count = 0
        new.cell.own = 0
        ladder.far_count += 1
    return record_at(ladder.far, place, FAR_CELL).cell


@kernel
def far_drop_empty(ladder, level):
    """Forget the far cell of a level if nothing is left in it."""
    place = far_place(ladder, level)
    if place < ladder.far_count:
        found = record_at(ladder.far, place, FAR_CELL)
        if found.level == level and found.cell.size == 0 and found.cell.count == 0 and found.cell.own == 0:
            cells = view(ladder.far, ladder.far_capacity, FAR_CELL)
            for i in range(place, ladder.far_count - 1):
                cells[i] = cells[i + 1]
            ladder.far_count -= 1


@leaf
def needs_room(ladder, level):
    """Whether the driver has to make room before a level outside the window can be touched."""
    above = level >= ladder.base + ladder.width
    return above or not has_best(ladder) or ladder.far_count == ladder.far_capacity or ladder.far_touches >= FAR_TOUCHES_MAX


@leaf
def cell_at(ladder, level):
    """The cell of a level, wherever it lies; needs_room() was asked."""
    i = level - ladder.base
    if 0 < i < ladder.width:
        return record_at(ladder.cells, i, CELL)
    return touch_far(ladder, level)


@kernel
def touch_far(ladder, level):
    """As cell_at, for a level outside the window."""
    ladder.far_touches += 1
    return far_cell(ladder, level)


@kernel
def size_at(ladder, level):
    """Displayed size at a level."""
    i = level - ladder.base
    if 0 < i < ladder.width:
        return record_at(ladder.cells, i, CELL).size
    place = far_place(ladder, level)
    if place < ladder.far_count:
        found = record_at(ladder.far, place, FAR_CELL)
        if found.level == level:
            return found.cell.size
    return np.int64(0)


@kernel
def count_at(ladder, level):
    """Number of orders at a level that holds size."""
    i = level - ladder.base
    if 0 < i < ladder.width:
        return np.int64(record_at(ladder.cells, i, CELL).count)
    return np.int64(record_at(ladder.far, far_place(ladder, level), FAR_CELL).cell.count)


@kernel
def next_level(ladder, level):
    """The next level below `level` that holds size; LEVEL_NONE at the end."""
    if level > ladder.base + 1:
        i = min(level - ladder.base, ladder.width) - 1
        while record_at(ladder.cells, i, CELL).size == 0:
            i -= 1
        if i > 0:
            return ladder.base + i
    return best_far(ladder, far_place(ladder, level))


@kernel
def best_far(ladder, n):
    """The best level with size among the `n` least of those outside the window; LEVEL_NONE if there is none."""
    place = n - 1
    while place >= 0:
        found = record_at(ladder.far, place, FAR_CELL)
        if found.cell.size > 0:
            return found.level
        place -= 1
    return LEVEL_NONE


@leaf
def scan_best(ladder, level):
    """The best at or below a level of the window; the guard's if there is none. Next level: at most a few ticks away in liquid books."""
    i = level - ladder.base
    while record_at(ladder.cells, i, CELL).size == 0:
        i -= 1
    return ladder.base + i


@kernel
def clear(ladder):
    """Void all sizes and counts; our own interest stays."""
    cells = view(ladder.cells, ladder.width, CELL)
    if has_best(ladder):
        for i in range(1, ladder.best - ladder.base + 1):
            cells[i].size = 0
            cells[i].count = 0
    ladder.best = ladder.base
    kept = 0
    far = view(ladder.far, ladder.far_capacity, FAR_CELL)
    for i in range(ladder.far_count):
        if far[i].cell.own != 0:
            far[i].cell.size = 0
            far[i].cell.count = 0
            far[kept] = far[i]
            kept += 1
    ladder.far_count = kept


@entry
def lay_window(ladder, new):
    """Give a ladder another window and another far list, both empty and with room for all that it holds; `new` is a ladder of these."""
    for i in range(ladder.far_count):
        found = record_at(ladder.far, i, FAR_CELL)
        move_cell(new, found.level, found.cell)
    for i in range(1, ladder.width):
        cell = record_at(ladder.cells, i, CELL)
        if cell.size != 0 or cell.own != 0 or cell.count != 0:
            move_cell(new, ladder.base + i, cell)
    ladder.cells, ladder.base, ladder.width = new.cells, new.base, new.width
    ladder.far, ladder.far_count, ladder.far_capacity, ladder.far_touches = new.far, new.far_count, new.far_capacity, 0
    ladder.best = scan_best(new, new.base + new.width - 1)
    ladder.watch = LEVEL_NONE  # an empty side watches its window's base, which has moved


@kernel
def move_cell(ladder, level, cell):
    """Copy a cell to its place."""
    to = cell_at(ladder, level)
    to.size = cell.size
    to.count = cell.count
    to.own = cell.own


@entry
def best_anywhere(ladder):
    """The best level with size, of window and far; LEVEL_NONE if there is none. For make_room, whose window may have run empty."""
    return ladder.best if has_best(ladder) else best_far(ladder, ladder.far_count)
