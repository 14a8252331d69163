"""How a book's view is brought up to date at the end of an event, and who has to be told."""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, side_of
from tapeline.market.features import update_features
from tapeline.market.ladder import CELL, LEVEL, LEVEL_NONE, LEVEL_SIZE, count_at, has_best, next_level, size_at
from tapeline.memory import address_of, copy, record_at, unit


@kernel
def collect_levels(ladder, side, grid, first, n):
    """Write the `n` best levels of a side to Level records at `first`; absent ones have no price and size 0."""
    level = ladder.best if has_best(ladder) else LEVEL_NONE
    for i in range(n):
        to = record_at(first, i, LEVEL)
        if level == LEVEL_NONE:
            to.price = UNDEFINED_PRICE
            to.size = 0
            to.count = 0
        else:
            to.price = (-level if side == ASKS else level) * grid
            to.size = size_at(ladder, level)
            to.count = count_at(ladder, level)
            level = next_level(ladder, level)


@leaf
def top_of(ladder, side, book):
    """Bring one side of the BBO up to date; whether it changed."""
    market = book.market
    here = has_best(ladder)
    price = np.int64(UNDEFINED_PRICE)
    size = np.int64(0)
    count = np.int64(0)
    if here:
        cell = record_at(ladder.cells, ladder.best - ladder.base, CELL)
        price = (-ladder.best if side == ASKS else ladder.best) * book.grid
        size = cell.size
        count = np.int64(cell.count)
    if side == ASKS:
        changed = price != market.ask_price or size != market.ask_size or count != market.ask_count
        market.ask_price = price
        market.ask_size = size
        market.ask_count = count
        market.has_ask = here
    else:
        changed = price != market.bid_price or size != market.bid_size or count != market.bid_count
        market.bid_price = price
        market.bid_size = size
        market.bid_count = count
        market.has_bid = here
    return changed


@kernel
def update_levels(book, plan):
    """Bring the declared depth up to date; the classes for whom a level changed."""
    depth = plan.depth
    collect_levels(side_of(book, BIDS), BIDS, book.grid, plan.scratch, depth)
    collect_levels(side_of(book, ASKS), ASKS, book.grid, plan.scratch + depth * LEVEL_SIZE, depth)
    for k in range(depth):
        if level_differs(plan.scratch, book.market.levels, k) or level_differs(plan.scratch, book.market.levels, depth + k):
            copy(book.market.levels, plan.scratch, 2 * depth * LEVEL_SIZE)
            return record_at(plan.depth_masks, k, BITS).bits
    return np.uint64(0)


@kernel
def level_differs(first, second, i):
    """Whether Level `i` of two lists differs."""
    a, b = record_at(first, i, LEVEL), record_at(second, i, LEVEL)
    return a.price != b.price or a.size != b.size or a.count != b.count


@kernel
def watch_levels(book, plan):
    """Note from which level on a change concerns a view: the deepest one declared."""
    for i in range(2):
        last = record_at(book.market.levels, i * plan.depth + plan.depth - 1, LEVEL)
        side_of(book, i).watch = LEVEL_NONE if last.size == 0 else (1 - 2 * i) * (last.price // book.grid)


@unit("update_deep")
def update_deep(plan):
    """Bring the declared depth and features of plan.book up to date; the classes for whom something changed. Compiled only for runs that declare any."""
    book = record_at(plan.book, 0, BOOK)
    changed = np.uint64(0)
    if plan.depth > 1:
        changed |= update_levels(book, plan)
        watch_levels(book, plan)
    if plan.features != 0:
        changed |= update_features(book, plan)
    return np.int64(changed)


@leaf
def update_view(book, plan):
    """At the end of an ordinary event that touched a view: bring book.market up to date; the classes whose own view changed, one bit each."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    bid_changed = top_of(bids, BIDS, book)
    ask_changed = top_of(asks, ASKS, book)
    changed = np.uint64(0)
    if bid_changed or ask_changed:
        changed = record_at(plan.depth_masks, 0, BITS).bits
        if has_best(bids) and has_best(asks):
            book.market.mark = bids.best - asks.best
            book.market.has_mark = True
    bids.watch = bids.best
    asks.watch = asks.best
    if plan.depth > 1 or plan.features != 0:
        plan.book = address_of(book)
        changed |= np.uint64(update_deep(plan))
    return changed
