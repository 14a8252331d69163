"""What history does to our orders: rules 1 to 4 of docs/assumptions.md, and what a take may still take (rule 5)."""

from typing import Final

import numpy as np

from tapeline.constants import UNDEFINED_PRICE, FillRule, QueueModel
from tapeline.engine.account import ACCOUNT
from tapeline.engine.agenda import look_at_room
from tapeline.engine.answers import fill_order, open_lots
from tapeline.engine.lists import find_own_best, first_in_line, link, node_at, own_at, row_at, unlink
from tapeline.engine.records import GROUP, MESSAGE, NODE, NOT_YET, RESTING, SHOWN
from tapeline.engine.steps import ADDED, CLEARED, REMOVED, journal_step, note_fills_ahead
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, go_to, is_in_auction, is_matching, set_own_best, side_of
from tapeline.market.ladder import cell_at, has_best, size_at
from tapeline.memory import address_of, copy, record_at, unit
from tapeline.tape.records import ADD, ASK, CLEAR, EVENT, EXCESS, FILL, MODIFIED, SNAPSHOT, TRADE, side_index

FILL_BEHIND, TRADE_THROUGH, CROSSING, AUCTION = (np.int64(r) for r in (FillRule.FILL_BEHIND, FillRule.TRADE_THROUGH, FillRule.CROSSING, FillRule.AUCTION))
EXACT = np.int64(QueueModel.EXACT)


SHOWN_SIZE: Final = SHOWN.itemsize

# --- takes


@kernel
def find_take(engine, row, instrument, side, level):
    """Number of a row's take at a level; 0 if there is none. A row has few takes, a level those of all rows."""
    index = np.int64(row.takes)
    while index != 0:
        take = node_at(engine, index)
        if take.level == level and take.side == side and take.instrument == instrument:
            return index
        index = np.int64(take.row_next)
    return np.int64(0)


@kernel
def mark_taken(engine, book, place, amount):
    """Remember that a row took `amount` lots at a place (a node that is filled in but for its links): added to what it took there before."""
    row, side, level = row_at(engine, place.row), place.side, np.int64(place.level)
    index = find_take(engine, row, place.instrument, side, level)
    if index == 0:
        index = engine.takes_free
        if index != 0:
            engine.takes_free = node_at(engine, index).next
        elif engine.takes_top < engine.takes_end:
            index = engine.takes_top
            engine.takes_top += 1
        else:
            engine.full = 1
            return
        take = node_at(engine, index)
        take.order_id = 0
        take.row = place.row
        take.side = side
        take.level = level
        take.instrument = place.instrument
        take.left = 0
        take.priority = place.priority
        take.venue_state = RESTING
        link(engine, cell_at(side_of(book, side), level), take, index)
        take.row_prev = 0
        take.row_next = row.takes
        node_at(engine, row.takes).row_prev = index  # of node 0, if there is none: nobody looks
        row.takes = index
    take = node_at(engine, index)
    if place.priority > take.priority:
        unlink(engine, book, take, index)
        link(engine, cell_at(side_of(book, side), level), take, index)
    take.left += amount
    take.priority = place.priority
    take.ahead = place.ahead


@kernel
def forget_take(engine, book, index):
    """A take is used up: give its node back."""
    take = node_at(engine, index)
    unlink(engine, book, take, index)
    if take.row_prev != 0:
        node_at(engine, take.row_prev).row_next = take.row_next
    else:
        row_at(engine, take.row).takes = take.row_next
    node_at(engine, take.row_next).row_prev = take.row_prev
    take.venue_state = 0
    take.next = engine.takes_free
    engine.takes_free = index


# --- rule 1


@leaf
def show_ahead(engine, index, event, what):
    """The queue ahead of an order changed, as `what` (a Step) says: its row learns of it when the feed does."""
    if engine.shows_ahead:
        show_change(engine, index, event, what)


@kernel
def show_change(engine, index, event, what):
    """As show_ahead, in a run in which anybody wants to know."""
    journal_step(engine, index, what, event)
    node = node_at(engine, index)
    row = row_at(engine, node.row)
    if not row.asks_ahead:
        return
    group = record_at(engine.groups, np.int64(row.group), GROUP)
    learn(engine, group, engine.latest.ts_event)
    node.shown_due_last = max(node.shown_due_last, event.ts_recv + group.feed)
    shown = place_in_time(engine, group, node.shown_due_last)
    shown.order_id = node.order_id
    shown.ahead = node.ahead
    shown.node = index
    shown.place = node.arrival
    shown.told_by = node.told_by
    if engine.shown_capacity - (group.shown_written - group.shown_read) < engine.shown_room:
        look_at_room(engine)


@kernel
def place_in_time(engine, group, due):
    """A new place in the ring of what is to be shown, which is in order of time; it is at the end, but for clocks of venues that run back."""
    mask, number = engine.shown_capacity - 1, group.shown_written
    group.shown_written += 1
    while number > group.shown_read:
        before = record_at(group.shown, (number - 1) & mask, SHOWN)
        if before.due <= due:
            break
        copy(group.shown + (number & mask) * SHOWN_SIZE, address_of(before), SHOWN_SIZE)
        number -= 1
    shown = record_at(group.shown, number & mask, SHOWN)
    shown.due = due
    return shown


@kernel
def learn(engine, group, now):
    """What the feed has shown of queues by `now` becomes known to the rows of a group; of a place that a row has not heard of yet, when it does."""
    while group.shown_read < group.shown_written:
        shown = record_at(group.shown, group.shown_read & (engine.shown_capacity - 1), SHOWN)
        if shown.due > now:
            break
        group.shown_read += 1
        node, told_by = node_at(engine, shown.node), record_at(shown.told_by, 0, MESSAGE)
        if told_by.place == shown.place:
            told_by.ahead_shown = shown.ahead
        elif node.order_id == shown.order_id and node.place_known == shown.place:
            node.ahead_shown = shown.ahead


@kernel
def move_queue(engine, book, event, first):
    """An ADD or REMOVE at a level of ours: what stands in front of later stamps changes.

    From the last of the list to the first with an earlier stamp: whatever stands before that has an earlier one, too.
    """
    first, nodes, priority, delta = np.int64(first), engine.nodes, event.priority, np.int64(event.delta)
    shows = engine.shows_ahead
    index = np.int64(record_at(nodes, first, NODE).prev)
    while True:
        node = record_at(nodes, index, NODE)
        before = np.int64(node.prev)
        if priority < node.priority:
            node.ahead += delta
            if node.order_id != 0:
                if shows:
                    show_change(engine, index, event, ADDED if delta > 0 else REMOVED)
            elif delta < 0:
                node.left = min(node.left, node.ahead)
                if node.left <= 0:
                    forget_take(engine, book, index)
            if node.ahead < 0:
                engine.broken = 1 + index
        elif node.priority > 0:
            return
        if index == first:
            return
        index = before


@kernel
def void_queue(engine, book, event):
    """CLEAR: nothing stands in front of our orders until the snapshot says so; takes are forgotten."""
    if not book.void:
        book.void = 1
        book.stamp_voided = book.stamp
        engine.voided += 1
        engine.agenda.next_due = NOT_YET  # when the book's next ordinary event begins, it is known where our orders stand
    book.lost = 1
    for r in range(engine.rows_n):
        index = np.int64(row_at(engine, r).resting)
        while index != 0:
            node = node_at(engine, index)
            if node.instrument == book.index:
                node.voided = 1
                book.void = 2
                if node.ahead != 0:
                    node.ahead = 0
                    show_ahead(engine, index, event, CLEARED)
            index = np.int64(node.row_next)
    for index in range(engine.takes_first, engine.takes_top):
        take = node_at(engine, index)
        if take.venue_state == RESTING and take.instrument == book.index:
            forget_take(engine, book, index)


# --- rules 2 and 3


@kernel
def budget_left(engine, row, size):
    """What is left of the budget that the current FILL or ADD gives a row."""
    if row.budget_of != engine.fills_seen:
        row.budget_of = engine.fills_seen
        row.budget = size
    return row.budget


@kernel
def spend(engine, book, index, event, rule):
    """Fill an order from its row's budget; how many lots."""
    node = node_at(engine, index)
    row = row_at(engine, node.row)
    size = min(row.budget, open_lots(engine, node))
    row.budget -= size
    message = fill_order(engine, book, index, event.ts_event, size)
    message.rule = rule
    message.market_size = abs(event.delta)
    return size


@kernel
def next_in_line(engine, row, book, side, level):
    """The row's first order at a level or better: best level first, then earliest place; 0 if there is none."""
    index = first_in_line(record_at(row.accounts, np.int64(book.index), ACCOUNT), side)
    return index if index != 0 and node_at(engine, index).level >= level else np.int64(0)


@kernel
def fill_behind(engine, book, event, first):
    """Rule 2: a passive order of history was executed, so everything of ours that stood before it was, too. One budget per row."""
    engine.fills_seen += 1
    level = np.int64(event.level)
    side = side_index(event.side)
    ladder = side_of(book, side)
    if ladder.own_best > level:
        set_own_best(book, side, find_own_best(engine, book.index, side))
        for r in range(engine.rows_n):
            trade_through(engine, book, event, row_at(engine, r))
        first = own_at(ladder, level)
    fill_level(engine, book, event, first, FILL_BEHIND)


@kernel
def fill_level(engine, book, event, first, rule):
    """A FILL's budgets are spent on our orders at its level that stand before it."""
    index, nodes, priority, size = np.int64(first), engine.nodes, event.priority, -event.delta
    while index != 0:
        node = record_at(nodes, index, NODE)
        following = np.int64(node.next)
        if node.order_id != 0 and node.venue_state == RESTING and node.priority <= priority:  # an order may have been cancelled by a fill before
            row = row_at(engine, node.row)
            is_believed = row.queue <= EXACT and (row.iceberg_excess or event.flags & EXCESS == 0) and (row.auction or rule != AUCTION)
            if is_believed and budget_left(engine, row, size) > 0:
                spend(engine, book, index, event, rule)
        index = following


@kernel
def trade_through(engine, book, event, row):
    """Rule 2, for a row's orders at better levels than the one that was executed."""
    if not row.trade_through or row.queue > EXACT or (event.flags & EXCESS and not row.iceberg_excess):
        return
    side = side_index(event.side)
    while budget_left(engine, row, -event.delta) > 0:
        index = next_in_line(engine, row, book, side, np.int64(event.level) + 1)
        if index == 0:
            return
        spend(engine, book, index, event, TRADE_THROUGH)


@kernel
def crossing(engine, book, event):
    """Rule 3: an opposite order came to rest at or through our price. It would have met us."""
    side = 1 - side_index(event.side)
    ours = side_of(book, side)
    set_own_best(book, side, find_own_best(engine, book.index, side))
    at_or_through = -np.int64(event.level)
    if ours.own_best < at_or_through:
        return
    size = event.delta
    if event.flags & MODIFIED:
        left = record_at(engine.history_event, -1, EVENT)  # the other half of the modify, which is always the tape event before
        if left.level == event.level and left.side == event.side:
            size = max(size + left.delta, 0)
    engine.fills_seen += 1
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        if not row.crossing:
            continue
        met = np.int64(0)
        while budget_left(engine, row, size) > 0:
            index = next_in_line(engine, row, book, side, at_or_through)
            if index == 0:
                break
            met += spend(engine, book, index, event, CROSSING)
        if met > 0 and row.consume:
            remember_crossing(engine, book, event, r, met)


@kernel
def remember_crossing(engine, book, event, row_index, met):
    """What we traded with the order that crossed us is taken: it cannot be had again."""
    side = side_index(event.side)
    place = node_at(engine, 0)
    place.row = row_index
    place.side = side
    place.level = event.level
    place.instrument = book.index
    place.priority = event.priority + 1
    place.ahead = size_at(side_of(book, side), np.int64(event.level)) + event.delta
    mark_taken(engine, book, place, met)


# --- rule 4


@kernel
def auction_print(engine, book, event):
    """Rule 4: a trade while the book is crossed is an auction's: all of ours that is priced strictly better is filled, whole, at its price."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    if event.delta == 0 or event.priority == UNDEFINED_PRICE:
        return
    could_be = has_best(bids) and has_best(asks) and -asks.best * book.grid <= event.priority <= bids.best * book.grid
    if book.crossed and not could_be:
        return
    tick = np.int64(event.level)  # at the price, or the next one below it
    is_on_grid = tick * book.grid == event.priority
    for side in range(2):
        at_auction = -tick if side == 1 else tick if is_on_grid else tick + 1  # off the grid it is rounded against whoever trades there
        worse = at_auction if is_on_grid else at_auction - 1
        if side_of(book, side).own_best > worse:
            for r in range(engine.rows_n):
                fill_better(engine, book, event, r, side, at_auction, worse)


@kernel
def fill_better(engine, book, event, row_index, side, at_auction, worse):  # noqa: PLR0913, PLR0917 - an argument is a register, a field is memory
    """All of a row's orders at levels better than `worse`, at the auction's level."""
    row = row_at(engine, row_index)
    while row.auction:
        index = next_in_line(engine, row, book, side, worse + 1)
        if index == 0:
            return
        message = fill_order(engine, book, index, event.ts_event, open_lots(engine, node_at(engine, index)))
        message.level = at_auction
        message.price = (at_auction if side == 0 else -at_auction) * book.grid
        message.rule = AUCTION
        message.market_size = event.delta


@kernel
def auction_fill(engine, book, event, first):
    """Rule 4: at the auction's price orders are filled by stamp."""
    price = event.level * book.grid
    if book.trade_last != UNDEFINED_PRICE and price == (-book.trade_last if event.side == ASK else book.trade_last):
        engine.fills_seen += 1
        fill_level(engine, book, event, first, AUCTION)


@unit("meet_history")
def meet_history(engine):
    """What the tape event at engine.history_event, about to be applied, does to our orders; engine.history_first heads the list of those at its level."""
    event = record_at(engine.history_event, 0, EVENT)
    book = record_at(engine.books, np.int64(event.instrument), BOOK)
    go_to(book, event.ts_event)
    if event.kind == CLEAR:
        void_queue(engine, book, event)
    elif event.kind == TRADE:
        if is_in_auction(book):
            auction_print(engine, book, event)
    elif event.kind == FILL:
        if engine.explains:
            note_fills_ahead(engine)
        if is_matching(book):
            fill_behind(engine, book, event, engine.history_first)
        elif is_in_auction(book):
            auction_fill(engine, book, event, engine.history_first)
    else:
        if engine.history_first != 0:
            move_queue(engine, book, event, engine.history_first)
        side = side_index(event.side)
        if event.kind == ADD and side_of(book, 1 - side).own_best + event.level >= 0 and is_matching(book) and event.flags & SNAPSHOT == 0:
            crossing(engine, book, event)
    return 0
