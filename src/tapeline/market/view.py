"""How a book's view is brought up to date at the end of an event, and who has to be told."""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import kernel, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, update_activity
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, DIRTY, DIRTY_ASKS, DIRTY_BIDS, TIMED, side_of
from tapeline.market.features import SHAPE_FEATURES, TOUCH_FEATURES, update_shape, update_touch
from tapeline.market.ladder import CELL, LEVEL, LEVEL_NONE, LEVEL_SIZE, count_at, has_best, next_level, size_at
from tapeline.memory import address_of, record_at, unit


@leaf
def show(first, i, price, size, count):
    """Bring Level number `i` up to date; whether it changed."""
    shown = record_at(first, i, LEVEL)
    changed = (shown.price != price) | (shown.size != size) | (shown.count != count)
    shown.price = price
    shown.size = size
    shown.count = count
    return changed


@kernel
def refresh_levels(ladder, price_step, first, n):
    """Bring the `n` best levels of a side, Level records at `first`, up to date; the first that changed, or `n`. `price_step`: the grid, for asks its negative.

    Absent levels have no price and size 0. The deepest is the one from which on a change concerns a view.
    """
    changed = n
    cells, base = ladder.cells, ladder.base
    i, k = ladder.best - base, np.int64(0)
    while i > 0 and k < n:  # within the window, where nearly all are: one cell after the other
        cell = record_at(cells, i, CELL)
        news = show(first, k, (base + i) * price_step, cell.size, np.int64(cell.count))
        changed = min(changed, k if news else n)
        ladder.watch = base + i
        k += 1
        i -= 1
        while record_at(cells, i, CELL).size == 0:
            i -= 1
    return changed if k == n else min(changed, refresh_far(ladder, price_step, first, (k, n)))


@kernel
def refresh_far(ladder, price_step, first, which):
    """The same for those levels that lie outside the window, or nowhere."""
    k, n = which
    changed = n
    level = next_level(ladder, ladder.base + 1) if has_best(ladder) else LEVEL_NONE
    for i in range(k, n):
        ladder.watch = level
        if level == LEVEL_NONE:
            news = show(first, i, np.int64(UNDEFINED_PRICE), np.int64(0), np.int64(0))
        else:
            news = show(first, i, level * price_step, size_at(ladder, level), count_at(ladder, level))
            level = next_level(ladder, level)
        if news:
            changed = min(changed, i)
    return changed


@leaf
def top_of(ladder, side, book):
    """Bring one side of the BBO up to date; whether it changed."""
    market = book.market
    here = has_best(ladder)
    cell = record_at(ladder.cells, ladder.best - ladder.base, CELL)  # the guard, if there is none
    price = (-ladder.best if side == ASKS else ladder.best) * book.grid if here else np.int64(UNDEFINED_PRICE)
    size = cell.size if here else np.int64(0)
    count = np.int64(cell.count) if here else np.int64(0)
    if side == ASKS:
        changed = (price != market.ask_price) | (size != market.ask_size) | (count != market.ask_count)
        market.ask_price = price
        market.ask_size = size
        market.ask_count = count
        market.has_ask = here
    else:
        changed = (price != market.bid_price) | (size != market.bid_size) | (count != market.bid_count)
        market.bid_price = price
        market.bid_size = size
        market.bid_count = count
        market.has_bid = here
    return changed


@unit("update_deep")
def update_deep(plan):
    """Bring the declared depth and features of plan.book up to date; the classes for whom something changed. Compiled only for runs that declare any."""
    book = record_at(plan.book, 0, BOOK)
    depth = first = plan.depth
    changed = np.uint64(0)
    if depth > 1:
        levels = book.market.levels
        if plan.sides & DIRTY_BIDS:
            first = refresh_levels(side_of(book, BIDS), book.grid, levels, depth)
        if plan.sides & DIRTY_ASKS:
            first = min(first, refresh_levels(side_of(book, ASKS), -book.grid, levels + depth * LEVEL_SIZE, depth))
        if first < depth:
            changed |= record_at(plan.depth_masks, first, BITS).bits
            if plan.features & SHAPE_FEATURES:
                changed |= np.uint64(update_shape(plan))
    if plan.touch_changed and plan.features & TOUCH_FEATURES:
        changed |= np.uint64(update_touch(plan))
    if plan.features & ACTIVITY_FEATURES:
        update_activity(plan)
    return np.int64(changed)


@leaf
def update_view(book, plan, dirty):
    """At the end of an ordinary event: bring book.market up to date; the classes whose own view changed, one bit each. `dirty`: the book's, for this event."""
    if dirty & DIRTY == 0:
        if dirty & TIMED:
            plan.book = address_of(book)
            update_activity(plan)
        return np.uint64(0)
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    bid_changed = top_of(bids, BIDS, book)
    ask_changed = top_of(asks, ASKS, book)
    changed = np.uint64(0)
    if bid_changed | ask_changed:
        changed = record_at(plan.depth_masks, 0, BITS).bits
        if has_best(bids) and has_best(asks):
            book.market.mark = bids.best - asks.best
            book.market.has_mark = True
    if plan.depth == 1:
        bids.watch = bids.best
        asks.watch = asks.best
    if plan.depth > 1 or plan.features != 0:
        plan.book = address_of(book)
        plan.sides = dirty & DIRTY
        plan.touch_changed = bid_changed or ask_changed
        changed |= np.uint64(update_deep(plan))
    return changed
