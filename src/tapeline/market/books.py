"""The Python side of the books: owns their memory, and makes room when a ladder's window has to move."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tapeline.constants import FEATURE_ACTIVITY_FIRST, LEVEL_NONE, Feature
from tapeline.errors import LimitError
from tapeline.instruments import Instrument
from tapeline.jit import JIT, bound
from tapeline.market.activity import ACTIVITY_FEATURES, ActivityMemory, note_activity, update_activity
from tapeline.market.book import BOOK, FEATURES_N, PHASE_CHANGE, RUN, Book, Market, ViewPlan, ask_ahead
from tapeline.market.features import BOOK_FEATURES, LEVELS_OF_SHAPE, SHAPE_FEATURES, TEN_LEVELS, TOUCH_FEATURES, TouchMemory, bits_of
from tapeline.market.ladder import CELL, FAR_CELL, FAR_TOUCHES_MAX, LEVEL, WIDTH_FIRST, WIDTH_MIN, Ladder, best_anywhere, lay_window
from tapeline.market.shape import ShapeMemory, update_shape
from tapeline.market.view import show_features, update_deep
from tapeline.market.walk import update_walked
from tapeline.memory import copy, view
from tapeline.pages import Arena, aligned, zeros

_FAR_FIRST, _FAR_MIN = 16, 64
"""Levels outside its window that a ladder has room for, at first and later."""

_STARTS_AT_ZERO = {
    *(Feature.DEPTH_BID, Feature.DEPTH_ASK, Feature.DEPTH_BID_10, Feature.DEPTH_ASK_10, Feature.ORDER_FLOW_IMBALANCE, Feature.ORDER_FLOW_IMBALANCE_5),
    *(Feature.EVENT_RATE, Feature.ADD_RATE, Feature.CANCEL_RATE, Feature.TRADE_RATE, Feature.VOLUME_RATE, Feature.TRADE_FLOW),
}
OF_THE_BOOK = (1 << FEATURE_ACTIVITY_FIRST) - 1
"""The features that are not of what happened."""
_UNITS_OF_FEATURES = (
    (BOOK_FEATURES, "touch_memory", TouchMemory, ()),
    (SHAPE_FEATURES, "shape_memory", ShapeMemory, (update_shape,)),
    (ACTIVITY_FEATURES, "activity_memory", ActivityMemory, (note_activity, update_activity)),
)
"""Per group of features: a bit for each, where a book keeps the address of what they remember, what that is, and the units that do the work."""


class Looks(NamedTuple):
    """What a strategy class looks at in every book."""

    depth: int = 1
    features: int = 0
    """A bit for each."""
    wake_depth: int | None = None
    """It is told of changes of so many levels; None: of all that it looks at."""

    @classmethod
    def of(cls, strategy: Any) -> "Looks":
        """What a strategy class declares."""
        return cls(int(strategy.depth), bits_of(*strategy.features), strategy.wake_depth)


def set_plan(plan: ViewPlan, views: Sequence[Looks], keep: list[Any], *, told: bool = False, traced: bool = False) -> None:
    """Fill in who looks at what, per class. Arrays that the plan refers to are added to `keep`.

    `told`: whether classes are told what changed, and shown values of features then. `traced`: whether what features follow from is written down after each
    event (market.trace). Otherwise values are in the market after each event.
    """
    wanted = 0
    feature_masks = np.zeros(FEATURES_N, np.uint64)
    for bit, looks in enumerate(views):
        wanted |= looks.features
        if looks.wake_depth is None:
            feature_masks[numbers_of(looks.features & OF_THE_BOOK)] |= np.uint64(1 << bit)
    depth = max(looks.depth for looks in views)
    wakes = told and feature_masks[numbers_of(int(SHAPE_FEATURES))].any()
    adds_up = told and depth == 1 and wanted & int(SHAPE_FEATURES) != 0
    plan.sums = adds_up and (wakes or wanted & bits_of(Feature.ORDER_FLOW_IMBALANCE_5) != 0)
    plan.walks = adds_up and not plan.sums
    if wanted & int(SHAPE_FEATURES) and not adds_up and not traced:
        depth = max(depth, 2 * LEVELS_OF_SHAPE if wanted & TEN_LEVELS else LEVELS_OF_SHAPE)
    masks = np.zeros(depth, np.uint64)
    for bit, looks in enumerate(views):
        masks[: looks.wake_depth or looks.depth] |= np.uint64(1 << bit)
    keep += [masks, feature_masks]
    plan.depth, plan.features, plan.followed = depth, wanted, 0 if traced else wanted
    plan.shows = wanted != 0 and not told and not traced
    plan.wakes, plan.of_view = wakes, not told
    plan.follows = depth > 1 or plan.sums or (plan.followed != 0 and (not told or wanted & int(ACTIVITY_FEATURES) != 0))
    plan.depth_masks, plan.feature_masks = masks.ctypes.data, feature_masks.ctypes.data


def shown_by(plan: ViewPlan) -> int:
    """The features that notices show, a bit each: those of the book by the group, but for the order flow of levels that are walked."""
    shown = int(plan.features)
    for group in (int(TOUCH_FEATURES), int(SHAPE_FEATURES)):
        shown |= group if shown & group else 0
    return shown & ~bits_of(Feature.ORDER_FLOW_IMBALANCE_5) if plan.walks else shown


def numbers_of(features: int) -> np.ndarray[Any, Any]:
    """The numbers of features given as a bit each."""
    return np.array([feature for feature in range(FEATURES_N) if (features >> feature) & 1], np.int64)


def runs_of(features: int) -> np.ndarray[Any, Any]:
    """Runs of features given as a bit each, those of the book first."""
    starts = (features & ~(features << 1)) | (features & 1 << FEATURE_ACTIVITY_FIRST)
    numbers, firsts = numbers_of(features), numbers_of(starts)
    return np.array([(first, np.count_nonzero((numbers >= first) & (numbers < end))) for first, end in pairwise((*firsts, FEATURES_N))], RUN)


@cache
def blank_market(depth: int, features: int) -> Any:
    """A Market before anything was seen, that shows so many levels and features (a bit each): what those of all instruments have in common."""
    market = Market(depth=depth)
    for feature in range(FEATURES_N):
        if (features >> feature) & 1 and feature in _STARTS_AT_ZERO:
            market.features[feature] = 0.0
    return market


@dataclass(frozen=True)
class BookState:
    """A book at a moment, by value: only levels that hold something, so that thousands fit in memory."""

    record: np.ndarray[Any, Any]
    levels: np.ndarray[Any, Any]
    sides: tuple[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]], ...]
    """Per side the places of cells in the window, the cells, and the far cells."""
    memories: tuple[tuple[str, np.ndarray[Any, Any]], ...]
    """What features remember, by the field of the book that has its address."""

    @property
    def nbytes(self) -> int:
        """About what it takes."""
        arrays = [self.record, self.levels, *(part for side in self.sides for part in side), *(memory for _, memory in self.memories)]
        return sum(array.nbytes for array in arrays)


class Books:
    """All books of a run."""

    def __init__(self, plan: ViewPlan, levels_max: int) -> None:
        """No books yet; `levels_max` is the setting Limits(ladder_levels_max)."""
        self._plan = plan
        if JIT and (int(plan.follows) or int(plan.features)):
            if int(plan.follows):
                update_deep.place(plan)
            if int(plan.followed):
                show_features.place(plan)
            for group, _, _, units in _UNITS_OF_FEATURES:
                for unit in units if int(plan.followed) & int(group) and not ((plan.walks or plan.sums) and group is SHAPE_FEATURES) else ():
                    unit.place(plan)
            if int(plan.sums):
                update_walked.place(plan)
        self._memories = [(field, memory) for group, field, memory, _ in _UNITS_OF_FEATURES if int(plan.features) & int(group)]
        self._levels_max = levels_max
        self._keep: dict[tuple[int, int | str], Any] = {}
        self._arena = Arena()
        self._new = Ladder.array(1)
        self._lay_window, self._best_anywhere = bound(lay_window, self._new[0], self._new[0]), bound(best_anywhere, self._new[0])
        self._blank_levels = np.zeros(2 * int(plan.depth), LEVEL)
        self._blank_levels["price"] = 2**63 - 1
        self._blank_levels_at = self._blank_levels.ctypes.data
        self._blank = Book(ts_arrived=-(2**62), trade_last=2**63 - 1, market=blank_market(int(plan.depth), int(plan.features)))
        for side in range(2):  # for all books the same, since nothing is ever put there: what comes first asks for room
            self._blank.sides[side] = self._ladder(self._arena.take(_window_bytes(1, 1)), 1, 2 * LEVEL_NONE, 0)
        self._tie(aligned(4, BOOK))

    def _tie(self, array: np.ndarray[Any, Any]) -> None:
        """Let the books lie there. A field of all books takes a twentieth of a book's attribute to be set."""
        self.array = array
        self.address = int(array.ctypes.data)
        self._ladders, self._grid, self._index = array["sides"], array["grid"], array["index"]
        self._width, self._base, self._own_best, self._reach = (self._ladders[name] for name in ("width", "base", "own_best", "reach"))
        self._tick, self._levels, self._instrument = (array["market"][name] for name in ("tick", "levels", "instrument"))

    def open(self, instrument: Instrument) -> None:
        """An empty book for an instrument. Books may move in memory."""
        index = instrument.index
        if index >= len(self.array):
            fewer = self.array
            self._tie(aligned(2 * len(fewer), BOOK))
            self.array[: len(fewer)] = fewer
        if JIT and index == 1:
            ask_ahead.place(self._plan)
        levels = self._arena.take(self._blank_levels.nbytes)
        copy(levels, self._blank_levels_at, self._blank_levels.nbytes)
        self.array[index] = self._blank
        self._grid[index], self._index[index], self._instrument[index] = instrument.grid, index, index
        self._tick[index], self._levels[index] = instrument.tick, levels
        if instrument.phases:
            book = self.array[index]
            changes = self._keep[index, "phases"] = np.array(list(instrument.phases), PHASE_CHANGE)
            book.phases, book.phases_n = changes.ctypes.data, len(changes)
        for field, memory in self._memories:
            self._keep[index, field] = remembered = memory.array(1)
            setattr(self.array[index], field, remembered.ctypes.data)

    def _ladder(self, memory: int, width: int, base: int, far_capacity: int) -> Any:
        """An empty ladder, with a window of `width` cells from the level `base` on, in zeroed memory; it lies where the last one was."""
        self._new[0] = _empty_ladder(memory, width, base, far_capacity)
        return self._new[0]

    def make_room(self, index: int, side: int, level: int) -> None:
        """Move or widen the window of a ladder, or its list of far levels, so that `level` and the best can be worked with."""
        if level > LEVEL_NONE and self._width[index, side] == 1:
            self._lay_first(index, side, level)
            return
        ladder = self._ladders[index, side]
        top = max(level, int(self._best_anywhere(ladder)))
        width = max(int(ladder.width), WIDTH_MIN)
        if int(ladder.far_touches) >= FAR_TOUCHES_MAX and width < self._levels_max:
            width *= 2
        # the window is kept where it is unless the best lies outside, or so close to its end that it might soon
        base = int(ladder.base)
        if top > LEVEL_NONE and (int(ladder.width) != width or not base < top < base + width):
            base = _base_under(top, width)
        capacity = _FAR_MIN
        cells = self._cells(index, side)
        taken = int(ladder.far_count) + int(np.count_nonzero(cells["size"])) + int(np.count_nonzero(cells["own"]))
        while capacity < 2 * taken + 2:
            capacity *= 2
        if capacity > 1 << 30:
            raise LimitError("more than 2^29 price levels outside the window of a ladder; raise Limits(ladder_levels_max=…)")
        memory = zeros(_window_bytes(width, capacity), np.uint8)
        self._lay_window(ladder, self._ladder(memory.ctypes.data, width, base, capacity))
        self._set_reach(index, side)
        self._keep[index, side] = memory

    def _lay_first(self, index: int, side: int, level: int) -> None:
        """The first window of a ladder, and of the other side's if it has none: that is near the same price."""
        for s, at in ((side, level), (1 - side, -level)):
            if self._width[index, s] == 1:
                memory = self._arena.take(_window_bytes(WIDTH_FIRST, _FAR_FIRST))
                own_best = int(self._own_best[index, s])
                self._ladders[index, s] = _empty_ladder(memory, WIDTH_FIRST, _base_under(at, WIDTH_FIRST), _FAR_FIRST, own_best)
                self._set_reach(index, s)

    def _set_reach(self, index: int, side: int) -> None:
        """As book.set_own_best, for a window that was laid anew."""
        beyond = -int(self._own_best[index, 1 - side]) - int(self._base[index, side])
        self._reach[index, side] = max(min(int(self._width[index, side]), beyond), 1)

    def _cells(self, index: int, side: int) -> np.ndarray[Any, Any]:
        """The cells of a ladder's window."""
        ladder = self._ladders[index, side]
        return view(ladder.cells, ladder.width, CELL)

    def _far_cells(self, index: int, side: int) -> np.ndarray[Any, Any]:
        """The far cells of a ladder that are there."""
        ladder = self._ladders[index, side]
        return view(ladder.far, ladder.far_count, FAR_CELL)

    def best(self, index: int, side: int, n: int) -> np.ndarray[Any, Any]:
        """(levels, 3) of the level, size and number of orders of the at most `n` best levels of a side, best first."""
        ladder, cells, far = self._ladders[index, side], self._cells(index, side), self._far_cells(index, side)[::-1]
        places = 1 + np.flatnonzero(cells["size"][1 : int(ladder.best) - int(ladder.base) + 1])[::-1][:n]
        beyond, beyond_levels = far["cell"], far["level"]
        held = beyond["size"] > 0
        window = np.column_stack([int(ladder.base) + places, cells["size"][places], cells["count"][places]])
        return np.concatenate([window, np.column_stack([beyond_levels[held], beyond["size"][held], beyond["count"][held]])])[:n]

    def save(self, index: int) -> BookState:
        """What a book is now."""
        sides = []
        for side in range(2):
            cells = self._cells(index, side)
            places = np.flatnonzero((cells["size"] != 0) | (cells["count"] != 0))
            sides.append((places, cells[places], self._far_cells(index, side).copy()))
        memories = tuple((field, self._keep[index, field].copy()) for field, _ in self._memories)
        return BookState(self.array[index : index + 1].copy(), self._levels_of(index).copy(), tuple(sides), memories)

    def restore(self, index: int, state: BookState) -> None:
        """Make a book, which is open, what one was when it was saved, be it in other Books of the same plan."""
        book = state.record[0].copy()
        here = self.array[index]
        book.market.levels, book.phases = here.market.levels, here.phases
        self._levels_of(index)[:] = state.levels
        for field, memory in state.memories:
            setattr(book, field, getattr(here, field))
            self._keep[index, field][:] = memory
        for side, (places, saved, saved_far) in enumerate(state.sides):
            ladder = book.sides[side]
            memory = self._keep[index, side] = zeros(_window_bytes(int(ladder.width), int(ladder.far_capacity)), np.uint8)
            ladder.cells, ladder.far = memory.ctypes.data, memory.ctypes.data + int(ladder.width) * CELL.itemsize
            view(ladder.cells, ladder.width, CELL)[places] = saved
            view(ladder.far, len(saved_far), FAR_CELL)[:] = saved_far
        self.array[index] = book

    def _levels_of(self, index: int) -> np.ndarray[Any, Any]:
        """What a book's view shows of its levels."""
        return view(int(self._levels[index]), len(self._blank_levels), LEVEL)


def _window_bytes(width: int, far_capacity: int) -> int:
    """Of a window's cells and the list of far levels behind it."""
    return width * CELL.itemsize + far_capacity * FAR_CELL.itemsize


def _empty_ladder(memory: int, width: int, base: int, far_capacity: int, own_best: int = LEVEL_NONE) -> tuple[Any, ...]:
    """All fields of a ladder, in their order: one by one they take ten times as long to be set."""
    ctypes.c_int64.from_address(memory).value = 1  # the size of cell 0, the guard
    return memory, base, width, base, LEVEL_NONE, own_best, 1, memory + width * CELL.itemsize, 0, far_capacity, 0, (0,) * 5


def _base_under(top: int, width: int) -> int:
    """The base of a window that has a quarter of itself free above a level."""
    return top + width // 4 - width
