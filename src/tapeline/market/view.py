"""How a book's view is brought up to date at the end of an event, and who has to be told."""

import math

import numpy as np

from tapeline.constants import FEATURE_ACTIVITY_FIRST, UNDEFINED_PRICE
from tapeline.jit import leaf
from tapeline.market.activity import ACTIVITY_FEATURES, ACTIVITY_MEMORY, show_activity, update_activity
from tapeline.market.book import ASKS, BIDS, BITS, BOOK, DIRTY, FEATURES_OFFSET, MARKET, TIMED, side_of
from tapeline.market.features import BOOK_FEATURES, SHAPE_FEATURES, TOUCH_FEATURES, TOUCH_MEMORY, set_feature, show_touch, update_touch
from tapeline.market.ladder import CELL, has_best
from tapeline.market.levels import update_levels
from tapeline.market.shape import SHAPE_MEMORY, show_shape, show_sums, update_shape
from tapeline.market.walk import update_walked, walk_shape
from tapeline.memory import address_of, copy, record_at, unit
from tapeline.record import Record, bool_
from tapeline.tape.records import COUNTER


class Flag(Record):
    """Whether something is there."""

    here: bool_


FLAG = Flag.dtype_
PRICES_OFFSET, SIZES_OFFSET, COUNTS_OFFSET, HAS_OFFSET = (np.int64(MARKET.fields[n][1]) for n in ("bid_price", "bid_size", "bid_count", "has_bid"))
"""Where a Market has the best bid's price, size, number of orders, and whether there is one; the best ask's are behind them."""
FEATURES_OF_BOOK_SIZE = np.int64(8 * FEATURE_ACTIVITY_FIRST)


@leaf
def refresh_best(book, side):
    """Bring one side of the BBO up to date; whether it changed. No branch on the side: a coin."""
    ladder = side_of(book, side)
    first = address_of(book.market)
    best = ladder.best
    ladder.watch = best
    cell = record_at(ladder.cells, best - ladder.base, CELL)  # the guard, if there is none
    here = has_best(ladder)
    price = (-best if side == ASKS else best) * book.grid if here else np.int64(UNDEFINED_PRICE)
    size = cell.size if here else np.int64(0)
    count = np.int64(cell.count) if here else np.int64(0)
    shown_price = record_at(first + PRICES_OFFSET, side, COUNTER)
    shown_size = record_at(first + SIZES_OFFSET, side, COUNTER)
    shown_count = record_at(first + COUNTS_OFFSET, side, COUNTER)
    changed = (shown_price.n != price) | (shown_size.n != size) | (shown_count.n != count)
    shown_price.n = price
    shown_size.n = size
    shown_count.n = count
    record_at(first + HAS_OFFSET, side, FLAG).here = here
    return changed


@leaf
def refresh_size(book, side):
    """Bring size and number of orders of the best of a side up to date, whose price has not changed."""
    ladder = side_of(book, side)
    cell = record_at(ladder.cells, ladder.best - ladder.base, CELL)
    here, first = has_best(ladder), address_of(book.market)
    record_at(first + SIZES_OFFSET, side, COUNTER).n = cell.size if here else np.int64(0)
    record_at(first + COUNTS_OFFSET, side, COUNTER).n = np.int64(cell.count) if here else np.int64(0)


@leaf
def refresh_touch(book, dirty):
    """Bring the BBO up to date, as far as it may have changed; whether it did."""
    one = np.int64(dirty & DIRTY) >> 1  # the side that may have changed, or one of both
    changed = refresh_best(book, one)
    if dirty & DIRTY == DIRTY:
        changed |= refresh_best(book, BIDS)
    return changed


@unit("update_deep")
def update_deep(plan):
    """Bring the declared depth and features of plan.book up to date; the classes for whom something changed. Compiled only for runs that declare any."""
    book = record_at(plan.book, 0, BOOK)
    depth = plan.depth
    changed = np.uint64(0)
    if plan.touch_changed and plan.followed & BOOK_FEATURES:
        update_touch(book)
    if plan.sums:
        changed |= np.uint64(update_walked(plan))
    if depth > 1:
        first = update_levels(book, plan)
        if first < depth:
            changed |= record_at(plan.depth_masks, first, BITS).bits
            if plan.followed & SHAPE_FEATURES:
                changed |= np.uint64(update_shape(plan))
    if plan.followed & ACTIVITY_FEATURES:
        update_activity(plan)
    show_after_event(book, plan)
    return np.int64(changed)


@unit("show_features")
def show_features(plan):
    """Write the values of the features, as the last ordinary event of plan.book left them, into the market at plan.to: of each group of which one is declared.

    Where levels are walked for them, those of several levels only if plan.of_view: to whom such runs tell of them, they tell with changes of the view alone.
    Of the book's features those are written, too, that nobody declared: strategies are given copies of what they declare.

    Where nothing else has to follow each event, those of the touch are brought up to date here, since every change of the touch is told.
    """
    book, features = record_at(plan.book, 0, BOOK), plan.features
    to = record_at(plan.to, 0, MARKET)
    if plan.of_view and not plan.follows and features & BOOK_FEATURES:
        update_touch(book)
    if plan.wakes:
        copy(plan.to + FEATURES_OFFSET, address_of(book.market) + FEATURES_OFFSET, FEATURES_OF_BOOK_SIZE)
    if features & TOUCH_FEATURES:
        show_touch(book.market, record_at(book.touch_memory, 0, TOUCH_MEMORY), to)
    if plan.walks:
        if plan.of_view:
            bids, asks = walk_shape(book, record_at(book.shape_memory, 0, SHAPE_MEMORY), features)
            show_shape(to, bids, asks)
    elif features & SHAPE_FEATURES and not plan.wakes:
        show_sums(to, record_at(book.shape_memory, 0, SHAPE_MEMORY))
    if features & ACTIVITY_FEATURES:
        show_activity(plan, record_at(book.activity_memory, 0, ACTIVITY_MEMORY), to)
    return 0


@leaf
def show_after_event(book, plan):
    """The same, into the book's own market, where they are wanted after each event, and only those that are declared."""
    if plan.shows:
        plan.to = address_of(book.market)
        show_features(plan)
        for which in range(FEATURE_ACTIVITY_FIRST):
            if (plan.features >> which) & 1 == 0:
                set_feature(book.market, which, math.nan)


@leaf
def mark_mid(book):
    """Note the mid in half ticks, if there is one."""
    market = book.market
    if market.has_bid & market.has_ask:
        market.mark = side_of(book, BIDS).best - side_of(book, ASKS).best
        market.has_mark = True


@leaf
def update_view(book, event, plan, dirty):
    """At the end of an ordinary event: bring book.market up to date; the classes whose own view changed, one bit each.

    `event`: its last tape event; `dirty`: the book's, for this event.
    """
    if dirty & DIRTY == 0:
        if dirty & TIMED:
            plan.book = address_of(book)
            plan.event = address_of(event)
            update_activity(plan)
            show_after_event(book, plan)
        return np.uint64(0)
    is_touched = refresh_touch(book, dirty)
    mark_mid(book)
    changed = record_at(plan.depth_masks, 0, BITS).bits & -np.uint64(is_touched)
    if plan.follows:
        plan.book = address_of(book)
        plan.event = address_of(event)
        plan.sides = dirty & DIRTY
        plan.touch_changed = is_touched
        changed |= np.uint64(update_deep(plan))
    return changed
