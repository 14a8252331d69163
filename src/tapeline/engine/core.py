"""The event loop: tape events into the book, and whatever is due in between.

`core` knows no strategy. It runs until a callback has to be made, a notice is next, or the driver has to act, and says which; the runner (generated for a
set of strategy classes) delivers the notice, makes the callback and calls `core` again, which goes on where it was. So it is compiled once for all strategies.
"""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.engine.beginning import begin, sleep
from tapeline.engine.due import NO_BOOK, is_news_next, wake
from tapeline.engine.estimators import note_event, settle_event
from tapeline.engine.lists import node_at
from tapeline.engine.notices import NOTICES_PER_EVENT_MAX, publish, publish_trade, ring_is_full, tell_followers
from tapeline.engine.records import GROW_NOTICES, NEWS, ON_BOOK
from tapeline.engine.rules import meet_history
from tapeline.engine.special import trigger_stops
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DIRTY, DONE, GUESSED, TRADED, WATCHED, ask_for_room, find_next_best, in_event, side_of, turn
from tapeline.market.ladder import CELL, cell_at, clear, far_drop_empty, has_best, needs_room
from tapeline.market.view import update_view
from tapeline.memory import address_of, raise_pair, record_at, unit, unseen
from tapeline.tape.records import ADD, CLEAR, COUNTER, EVENT, EVENT_SIZE, FILL, LAST, SNAPSHOT, TRADE, side_index


@leaf
def begin_event(engine, book, event):
    """Something may be due before an ordinary event: let it happen. The callback to be made, NEWS, or 0."""
    if not engine.started:
        engine.started = 1
        if event.ts_event >= engine.starts:
            return begin(engine, event.ts_event)
        sleep(engine)
    engine.due_for = book.index
    engine.due_before = event.ts_event
    engine.next_event = address_of(event)
    return NEWS if is_news_next(engine, book) else wake(engine)


@kernel
def note_return(book, event):
    """A snapshot brings back an order that stood in the book before it was voided: nothing was lost."""
    if event.kind == ADD and event.flags & SNAPSHOT and event.priority < book.stamp_voided:
        book.lost = 0


@leaf
def come_to(engine, book, event):
    """Something is due before a tape event, or to be looked at: the callback to be made, or what the driver has to do, or 0."""
    result = 0
    if not in_event(book) and event.flags & SNAPSHOT == 0:
        result = begin_event(engine, book, event)
    elif book.void:
        note_return(book, event)
    if result == 0 and engine.notices_fit < NOTICES_PER_EVENT_MAX and ring_is_full(engine):
        return GROW_NOTICES
    return result


@leaf
def tell_orders(engine, event, first):
    """An event concerns our orders, or may: let them know."""
    engine.history_event = address_of(event)
    engine.history_first = first
    if not engine.exact:
        note_event(engine)
    meet_history(engine)


@leaf
def concerns_orders(engine, event, cell):
    """Whether an ADD or REMOVE does anything to our orders at its level. One test: at the touch, where a maker's are, each of its parts is as good as a coin.

    Behind the first of ours it concerns only others behind that; and an ADD joins behind all of ours, but for those that a snapshot brings back.
    """
    head = node_at(engine, cell.own)  # node 0, which is nobody's, if there is none
    is_quiet = (np.int64(event.flags) | engine.told_all) & SNAPSHOT == 0
    is_behind = (event.priority >= head.priority) & ((head.next == 0) | (event.kind == ADD)) & is_quiet
    return unseen((cell.own != 0) & (is_behind == 0)) != 0


@leaf
def change_book(engine, book, event, side, cell, meets):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """ADD or REMOVE: what it does to our orders, then to the book. MAKE_ROOM, if that is needed before the next event, or 0.

    Selects in place of branches: which of ADD and REMOVE comes next, and whether at the best, nobody can predict, and a mispredicted branch costs as much as
    all the rest.
    """
    ladder = side_of(book, side)
    level = np.int64(event.level)
    if concerns_orders(engine, event, cell) or meets:
        tell_orders(engine, event, cell.own)
    book.stamp = max(book.stamp, event.priority + 1)  # of a REMOVE, its ADD's, which was seen
    cell.count += event.orders
    size = cell.size + event.delta
    cell.size = size
    book.dirty |= (level >= ladder.watch) << side
    best = max(ladder.best, level)  # what leaves was there, so that it is no better
    ladder.best = best
    if (size == 0) & (level == best):
        return find_next_best(engine, book, side)
    return 0


@kernel
def change_far(engine, book, event, side):
    """As change_book and what a FILL does, for a level outside the window, or at which orders meet ours of the other side; MAKE_ROOM or 0."""
    ladder = side_of(book, side)
    level = np.int64(event.level)
    is_far = not 0 < level - ladder.base < ladder.width
    if is_far and needs_room(ladder, level):
        return ask_for_room(engine, book, side, level)
    cell = cell_at(ladder, level)
    result = 0
    if event.kind == FILL:
        meet_fill(engine, event, ladder, cell)
    else:
        result = change_book(engine, book, event, side, cell, event.kind == ADD and side_of(book, 1 - side).own_best + level >= 0)
    if is_far:
        far_drop_empty(ladder, level)
    return result


@leaf
def meet_fill(engine, event, ladder, cell):
    """A FILL may be ours as well."""
    if ladder.own_best >= event.level and event.flags & SNAPSHOT == 0:
        tell_orders(engine, event, cell.own)


@kernel
def change_rarely(engine, book, event):
    """TRADE, CLEAR, STATUS."""
    if event.kind == TRADE:
        note_trade(book, event)
        if ((book.crossed != 0) | (book.phases_n != 0)) and event.flags & SNAPSHOT == 0:
            engine.history_event = address_of(event)
            meet_history(engine)
        book.market.last_price = event.priority
        book.market.last_size = event.delta
        book.market.last_side = event.side
        if not engine.exact:
            engine.history_event = address_of(event)
            note_event(engine)
        if event.flags & SNAPSHOT == 0:
            publish_trade(engine, book, event)
    elif event.kind == CLEAR:
        tell_orders(engine, event, 0)
        clear(side_of(book, BIDS))
        clear(side_of(book, ASKS))
        book.dirty |= DIRTY


@leaf
def note_trade(book, event):
    """The prices of an event's trades, for stops."""
    price = event.priority
    if price != UNDEFINED_PRICE and event.flags & SNAPSHOT == 0:
        is_first = book.dirty & TRADED == 0
        book.trade_high = price if is_first else max(book.trade_high, price)
        book.trade_low = price if is_first else min(book.trade_low, price)
        book.trade_last = price
        book.dirty |= TRADED


@leaf
def apply(engine, book, event):
    """One tape event into the book; MAKE_ROOM or 0."""
    kind = event.kind
    if kind > FILL:
        change_rarely(engine, book, event)
        return 0
    side = side_index(event.side)
    ladder = side_of(book, side)
    i = np.int64(event.level) - ladder.base
    if not 0 < i < ladder.reach:
        return change_far(engine, book, event, side)
    cell = record_at(ladder.cells, i, CELL)
    if kind == FILL:
        meet_fill(engine, event, ladder, cell)
        return 0
    return change_book(engine, book, event, side, cell, meets=False)


@kernel
def look_at_stops(engine, book, event, what):
    """Stops wait for a book that has changed, or traded."""
    if what & TRADED == 0:
        book.trade_high = book.trade_low = book.trade_last
    if book.phases_n != 0:
        book.dirty |= WATCHED  # a change of phase may let them be reached
    engine.trigger_event = address_of(event)
    trigger_stops(engine)


@leaf
def end_event(engine, book, event):
    """After the last tape event of an event that touched a view, or left the book crossed: whether it is now, and whose view changed."""
    if book.dirty:
        if book.dirty & GUESSED:
            engine.history_event = address_of(event)
            settle_event(engine)
        bids, asks = side_of(book, BIDS), side_of(book, ASKS)
        book.crossed = has_best(bids) & has_best(asks) & (bids.best + asks.best >= 0)
        if event.flags & SNAPSHOT == 0:
            what = book.dirty
            book.dirty = 0
            if book.stops != 0 and not book.crossed:
                look_at_stops(engine, book, event, what)
            classes = update_view(book, event, engine.plan, what)
            if classes != 0:
                publish(engine, book, event, ON_BOOK, classes)
    if book.crossed:
        engine.counters.crossed_events += event.flags & SNAPSHOT == 0


@leaf
def move_clocks(engine, event):
    """The exchange's clock goes on to an event's time, but not to a snapshot's."""
    if event.flags & SNAPSHOT == 0:
        raise_pair(address_of(engine.latest), address_of(event))


@leaf
def follow(engine, book, event):
    """What an applied tape event leads to: news of it, the end of its event."""
    record_at(engine.kind_counts, np.int64(event.kind), COUNTER).n += 1
    if event.ts_event < book.ts_arrived:
        engine.counters.records_after_arrival += event.flags & SNAPSHOT == 0
    if engine.followed:
        tell_followers(engine, book, event)
    flags = np.int64(event.flags)
    book.flags = flags
    engine.counters.events += flags >> 7
    if np.int64(book.dirty | book.crossed) > (flags & LAST) ^ LAST:  # one test, since whether it is the last, and changed anything, is as good as a coin each
        end_event(engine, book, event)


@kernel
def resume(engine):
    """The event that made the driver act is in the book already: go on with what it leads to."""
    event = record_at(engine.at, 0, EVENT)
    engine.applied = 0
    engine.at += EVENT_SIZE
    follow(engine, record_at(engine.books, np.int64(event.instrument), BOOK), event)


@unit("core")
def core(engine):
    """Go on until a callback has to be made (≥ FIRST_CALLBACK), a notice is next (NEWS), the driver has to act, or the chunk is done."""
    if engine.applied:
        resume(engine)
    at, end = engine.at, engine.end
    instrument, book = np.int64(-1), record_at(engine.books, 0, BOOK)
    while at < end:
        event = record_at(at, 0, EVENT)
        if np.int64(event.instrument) != instrument:
            instrument = np.int64(event.instrument)
            book = turn(engine.plan, engine.books, at, end)
        result = come_to(engine, book, event) if event.ts_event > engine.agenda.next_due else 0
        if result == 0:
            move_clocks(engine, event)
            result = apply(engine, book, event)
        if result != 0:
            engine.at = at
            return result
        follow(engine, book, event)
        at += EVENT_SIZE
    engine.at = end
    if engine.at_end and engine.started:
        engine.due_for = NO_BOOK
        return wake(engine)
    return DONE
