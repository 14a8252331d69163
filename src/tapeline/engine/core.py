"""The event loop: tape events into the book, and whatever is due in between.

`core` knows no strategy. It runs until a callback has to be made or the driver has to act, and says which; the runner (generated for a set of strategy classes) makes
the callback and calls `core` again, which goes on where it was. So it is compiled once for all strategies.
"""

import numpy as np

from tapeline.constants import Update
from tapeline.engine.agenda import free_message, next_time, pop, push_as
from tapeline.engine.deliver import apply_answer, sample_before
from tapeline.engine.lists import row_at
from tapeline.engine.notices import first_group, head_due, notice_at, publish, publish_event, receive, ring_is_full, show_print
from tapeline.engine.records import (
    ALARM,
    ANSWER,
    CANCEL,
    CLASS_SHIFT,
    DONE,
    DUE,
    ENGINE,
    FIRST_CALLBACK,
    GROUP,
    GROW_JOURNAL,
    GROW_NOTICES,
    LIMIT,
    MAKE_ROOM,
    MARKET_DUE,
    MESSAGE,
    NEVER,
    ON_BOOK,
    ON_END,
    ON_FILL,
    ON_ORDER,
    ON_START,
    ON_TIMER,
    STRATEGY_CLASS,
    TIMER,
)
from tapeline.engine.rules import learn, meet_history
from tapeline.engine.venue import let_in
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK, MARKET, MARKETS, side_of, BIDS, ASKS
from tapeline.market.ladder import LEVEL_NONE, CELL, cell_at, clear, far_drop_empty, has_best, needs_room, scan_best
from tapeline.market.view import update_view
from tapeline.memory import address_of, record_at, unit
from tapeline.tape.normalise import ADD, ASK, CLEAR, COUNTER, EVENT, FILL, GONE, LAST, MODIFIED, SNAPSHOT, TRADE

UPDATE_FILL = np.int64(Update.FILL)
NO_BOOK = np.int64(-1)


# --- what is due


@kernel
def journal_is_short(engine):
    """Whether one more delivery might not fit: a row of fills and orders each, and a sample of everything, and everybody's signals."""
    everything = engine.rows_n * engine.instruments
    short = engine.fills.n >= engine.fills.capacity or engine.orders.n >= engine.orders.capacity
    return short or engine.equity.n + everything > engine.equity.capacity or engine.signals.n + engine.signals_per_callback > engine.signals.capacity


@leaf
def set_clock(engine, due):
    """Local time of a delivery: its due time, or later if something later was already processed."""
    if engine.ending:
        engine.now = engine.ts_end
        return
    now = max(due, max(engine.watermark, engine.now))
    engine.counters.clock_clamps += now != due
    sample_before(engine, now)
    engine.now = now


@leaf
def wants(engine, row, callback):
    """Whether a row's class has a callback."""
    return (record_at(engine.classes, np.int64(row.strategy_class), STRATEGY_CLASS).callbacks >> (callback - FIRST_CALLBACK)) & 1


@leaf
def call(engine, group_index, instrument):
    """Prepare a callback to rows of a group: what it shows."""
    group = record_at(engine.groups, np.int64(group_index), GROUP)
    learn(engine, group, engine.now)
    engine.call_group = group_index
    engine.call_instrument = instrument
    engine.call_market = address_of(record_at(group.markets, np.int64(instrument), MARKET))
    markets = record_at(engine.markets, 0, MARKETS)
    markets.first = group.markets
    markets.n = engine.instruments
    markets.instrument = instrument


@leaf
def deliver_notice(engine, group_index, due):
    """A notice reaches a group; the callback to be made, or 0."""
    group = record_at(engine.groups, group_index, GROUP)
    number = group.cursor
    set_clock(engine, due)
    group.due_last = due
    receive(engine, group, number)
    notice = notice_at(engine, number)
    if (record_at(engine.classes, group.strategy_class, STRATEGY_CLASS).callbacks >> (np.int64(notice.what) - FIRST_CALLBACK)) & 1 == 0:
        return 0
    call(engine, group_index, notice.instrument)
    engine.call_classes = group.classes
    if notice.what != ON_BOOK:
        show_print(engine, notice)
    return np.int64(notice.what)


@kernel
def deliver_answer(engine, place, due):
    """An answer reaches its row; the callback to be made, or 0. The message is freed when the callback has seen it."""
    message = record_at(engine.agenda.messages, place, MESSAGE)
    set_clock(engine, due)
    engine.answer_message = place
    apply_answer(engine)
    row = row_at(engine, message.row)
    callback = ON_FILL if message.what == UPDATE_FILL else ON_ORDER
    if engine.ending or not wants(engine, row, callback):
        free_message(engine.agenda, place)
        return 0
    call(engine, row.group, message.instrument)
    engine.call_row = message.row
    engine.call_message = place
    return callback


@kernel
def deliver_alarm(engine, place, due):
    """A timer runs out, unless it was replaced; the callback to be made, or 0."""
    row = row_at(engine, record_at(engine.agenda.messages, place, MESSAGE).row)
    if row.timer_pending != due or engine.ending:
        free_message(engine.agenda, place)
        return 0
    if row.timer > due:
        row.timer_pending = row.timer
        push_as(engine.agenda, row.timer, TIMER << CLASS_SHIFT | engine.agenda.created, place)
        engine.agenda.created += 1
        return 0
    free_message(engine.agenda, place)
    row.timer = row.timer_pending = 0
    set_clock(engine, due)
    if not wants(engine, row, ON_TIMER):
        return 0
    call(engine, row.group, 0)
    engine.call_row = row.index
    return ON_TIMER


@kernel
def follows_parked(engine, message, order):
    """Whether an earlier request of the same row still waits for the same book."""
    for i in range(engine.agenda.n):
        due = record_at(engine.agenda.heap, i, DUE)
        other = record_at(engine.agenda.messages, due.message, MESSAGE)
        if other.parked == 1 and other.kind <= CANCEL and other.row == message.row and other.instrument == message.instrument and due.order < order:
            return True
    return False


@kernel
def park_or_let_in(engine, place, order):
    """A request is due while an event of book engine.due_for is next: it is let in if that is its book, and parked if not.

    A parked request waits for its book's next event; at the latest it is let in when the row could know of it.
    """
    message = record_at(engine.agenda.messages, place, MESSAGE)
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    row = row_at(engine, message.row)
    mine_is_next = engine.due_for == message.instrument or (engine.due_for == NO_BOOK and not book.in_event)
    if mine_is_next or (message.parked and not book.in_event and not follows_parked(engine, message, order)):
        book.parked -= message.parked
        engine.let_in_message = place
        let_in(engine)
        free_message(engine.agenda, place)
    else:
        deadline = NEVER if message.parked else message.ts_event + row.latency_response  # inside an event there is no deadline
        book.parked += 1 - message.parked
        message.parked = 1
        push_as(engine.agenda, deadline, order, place)


@kernel
def let_in_parked(engine, book, ts_event):
    """A book goes on to `ts_event`: requests that waited for that are let in, in the order of their times."""
    while book.parked > 0:
        best = np.int64(-1)
        for i in range(engine.agenda.n):
            due = record_at(engine.agenda.heap, i, DUE)
            message = record_at(engine.agenda.messages, due.message, MESSAGE)
            if message.parked == 1 and message.instrument == book.index and message.kind <= CANCEL and message.ts_event < ts_event:
                if best < 0 or earlier(engine, due, record_at(engine.agenda.heap, best, DUE)):
                    best = i
        if best < 0:
            return
        place = record_at(engine.agenda.heap, best, DUE).message
        record_at(engine.agenda.messages, place, MESSAGE).parked = 2  # let in: its entry is empty
        book.parked -= 1
        engine.let_in_message = place
        let_in(engine)


@kernel
def earlier(engine, a, b):
    """Whether one parked request came before another."""
    x, y = record_at(engine.agenda.messages, a.message, MESSAGE), record_at(engine.agenda.messages, b.message, MESSAGE)
    return x.ts_event < y.ts_event or (x.ts_event == y.ts_event and a.order < b.order)


@kernel
def happen(engine):
    """The first entry of the agenda happens; the callback to be made, or 0."""
    first = record_at(engine.agenda.heap, 0, DUE)
    due, order = first.time, first.order
    place = pop(engine.agenda)
    message = record_at(engine.agenda.messages, place, MESSAGE)
    if message.kind == ANSWER:
        return deliver_answer(engine, place, due)
    if message.kind == ALARM:
        return deliver_alarm(engine, place, due)
    if message.parked == 2:
        free_message(engine.agenda, place)
    else:
        park_or_let_in(engine, place, order)
    return 0


@leaf
def ask_for_room(engine, book, side, level):
    """Tell the driver which level needs room."""
    engine.room_instrument = book.index
    engine.room_side = side
    engine.room_level = level
    return MAKE_ROOM


@kernel
def lacks_far_cells(ladder):
    """Whether a request of ours might not find room for a level outside the window."""
    return ladder.far_count + 2 > ladder.far_capacity


@kernel
def side_lacking_far_cells(engine, instrument):
    """The side of a book that lacks far cells; -1 if none does."""
    book = record_at(engine.books, instrument, BOOK)
    return 0 if lacks_far_cells(side_of(book, BIDS)) else 1 if lacks_far_cells(side_of(book, ASKS)) else -1


@unit("wake")
def wake(engine):
    """Everything due before engine.due_before happens, in order, until a callback has to be made: that, or 0 when nothing is left."""
    ts_event = engine.due_before
    while True:
        group = first_group(engine)
        market_due = head_due(engine, record_at(engine.groups, group, GROUP))
        agenda_due = next_time(engine.agenda)
        if min(market_due, agenda_due) >= ts_event:
            engine.next_due = min(market_due, agenda_due)
            return 0
        if engine.full or engine.agenda.full or engine.broken:
            return LIMIT
        if journal_is_short(engine):
            return GROW_JOURNAL
        if agenda_due < ts_event:
            message = record_at(engine.agenda.messages, record_at(engine.agenda.heap, 0, DUE).message, MESSAGE)
            if message.kind <= CANCEL:
                side = side_lacking_far_cells(engine, np.int64(message.instrument))
                if side >= 0:
                    return ask_for_room(engine, record_at(engine.books, np.int64(message.instrument), BOOK), side, LEVEL_NONE)
        if agenda_due < market_due or (agenda_due == market_due and record_at(engine.agenda.heap, 0, DUE).order >> CLASS_SHIFT < MARKET_DUE):
            callback = happen(engine)
        else:
            callback = deliver_notice(engine, group, market_due)
        if callback:
            engine.next_due = 0  # there may be more
            return callback


# --- one tape event


@leaf
def begin_event(engine, book, event):
    """Before the first tape event of an ordinary event: what is due before it happens. The callback to be made, or 0."""
    if not engine.started:
        engine.started = 1
        engine.now = event.ts_event
        engine.sample_due = -(-event.ts_event // engine.sample_every) * engine.sample_every
        return ON_START
    if book.parked > 0:
        side = side_lacking_far_cells(engine, np.int64(book.index))
        if side >= 0:
            return ask_for_room(engine, book, side, LEVEL_NONE)
        let_in_parked(engine, book, event.ts_event)
    if event.ts_event > engine.next_due:
        engine.due_for = book.index
        engine.due_before = event.ts_event
        callback = wake(engine)
        if callback:
            return callback
    engine.watermark = max(engine.watermark, event.ts_event)
    return 0


@leaf
def tell_orders(engine, event, first):
    """An event concerns our orders, or may: let them know."""
    engine.history_event = address_of(event)
    engine.history_first = first
    meet_history(engine)


@leaf
def apply(engine, book, event, side, cell):
    """ADD, REMOVE or FILL: what it does to our orders, then to the book."""
    ladder = side_of(book, side)
    level = np.int64(event.level)
    if event.kind == FILL:
        if ladder.own_best >= level and not book.crossed and event.flags & SNAPSHOT == 0:
            tell_orders(engine, event, cell.own)
        return
    if cell.own != 0 or (event.kind == ADD and side_of(book, 1 - side).own_best + level >= 0):
        tell_orders(engine, event, cell.own)
    if event.kind == ADD:
        book.stamp = max(book.stamp, event.priority + 1)
        cell.count += 1
    else:
        cell.count -= event.flags & GONE
        if event.flags & MODIFIED:
            book.modified_size = -event.delta
            book.modified_level = level
            book.modified_side = event.side
    cell.size += event.delta
    if level >= ladder.watch:
        book.dirty = 1
    if level >= ladder.best:
        if cell.size > 0:
            ladder.best = level
        else:
            ladder.best = scan_best(ladder, level)
            if ladder.far_count > 0 and not has_best(ladder):
                engine.emptied = 1
                engine.emptied_side = side
    if not ladder.base < level < ladder.base + ladder.width:
        far_drop_empty(ladder, level)


@leaf
def end_event(engine, book, event):
    """After the last tape event of an event: is the book crossed, and whose view changed?"""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    if book.dirty:
        book.crossed = has_best(bids) and has_best(asks) and bids.best + asks.best >= 0
    if event.flags & SNAPSHOT:
        return
    engine.counters.crossed_events += book.crossed
    if book.dirty:
        book.dirty = 0
        classes = update_view(book, engine.plan)
        if classes != 0:
            publish(engine, book, event, ON_BOOK, classes)


@leaf
def step(engine, book, event):
    """One tape event up to its being applied; something for the caller to return, or 0."""
    kind, flags = event.kind, event.flags
    if not book.in_event and flags & SNAPSHOT == 0:
        callback = begin_event(engine, book, event)
        if callback:
            return callback
    if kind <= FILL:
        side = 1 if event.side == ASK else 0
        ladder = side_of(book, side)
        level = np.int64(event.level)
        i = level - ladder.base
        if 0 < i < ladder.width:
            apply(engine, book, event, side, record_at(ladder.cells, i, CELL))
        elif needs_room(ladder, level):
            return ask_for_room(engine, book, side, level)
        else:
            apply(engine, book, event, side, cell_at(ladder, level))
    elif kind == CLEAR:
        tell_orders(engine, event, 0)
        clear(side_of(book, BIDS))
        clear(side_of(book, ASKS))
        book.dirty = 1
    if kind == TRADE:
        book.market.last_price = event.priority
        book.market.last_size = event.delta
        book.market.last_side = event.side
    if flags & SNAPSHOT == 0:
        engine.counters.records_after_arrival += event.ts_event < book.ts_arrived
        engine.ts_end = max(engine.ts_end, max(event.ts_event, event.ts_recv))
        if kind == TRADE or engine.event_classes != 0:
            publish_event(engine, book, event)
    book.in_event = flags & LAST == 0
    return 0


@kernel
def finish(engine):
    """After the last record: what is due by the end happens; then answers under way are booked, without callbacks."""
    if not engine.ending:
        for i in range(engine.instruments):
            book = record_at(engine.books, i, BOOK)
            if not book.in_event:
                let_in_parked(engine, book, engine.ts_end + 1)
        engine.due_for = NO_BOOK
        engine.due_before = engine.ts_end + 1
        result = wake(engine)
        if result:
            return result
        sample_before(engine, engine.ts_end)
        engine.ending = 1
    while engine.agenda.n > 0:
        if journal_is_short(engine):
            return GROW_JOURNAL
        place = record_at(engine.agenda.heap, 0, DUE).message
        if record_at(engine.agenda.messages, place, MESSAGE).kind == ANSWER:
            happen(engine)
        else:
            free_message(engine.agenda, pop(engine.agenda))
    engine.now = engine.ts_end
    if not engine.ended:
        engine.ended = 1
        return ON_END
    return DONE


@unit("core")
def core(engine):
    """Go on until a callback has to be made (≥ FIRST_CALLBACK), the driver has to act, or the chunk is done."""
    while engine.x < engine.n:
        event = record_at(engine.events, engine.x, EVENT)
        book = record_at(engine.books, np.int64(event.instrument), BOOK)
        if not engine.applied:
            if ring_is_full(engine):
                return GROW_NOTICES
            result = step(engine, book, event)
            if result:
                return result
            engine.applied = 1
            record_at(engine.kind_counts, np.int64(event.kind), COUNTER).n += 1
        if engine.emptied:  # a window holds nothing, but something may lie beyond
            engine.emptied = 0
            return ask_for_room(engine, book, engine.emptied_side, LEVEL_NONE)
        if event.flags & LAST:
            engine.counters.events += 1
            end_event(engine, book, event)
        engine.applied = 0
        engine.x += 1
    return finish(engine) if engine.at_end else DONE
