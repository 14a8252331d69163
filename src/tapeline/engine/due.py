"""What is due: requests that reach the exchange, answers and news of the market that reach the rows, timers. All of it waits in one order of time."""

import numpy as np

from tapeline.constants import Update
from tapeline.engine.admission import NO_BOOK, is_usual, let_in_parked, reach_exchange, take_place, what_lacks
from tapeline.engine.agenda import first_due, first_message, free_message, message_at, pop, pop_heap, push_far
from tapeline.engine.beginning import awake
from tapeline.engine.calls import call, move_clock, set_clock, wants
from tapeline.engine.deliver import apply_answer, learn_end, sample_before
from tapeline.engine.limits import NOBODY, guard
from tapeline.engine.lists import node_at, row_at
from tapeline.engine.notices import NOTICES_PER_EVENT_MAX, ring_is_full, show_print
from tapeline.engine.phases import deliver_phase
from tapeline.engine.readers import catch_up_all, feed_at, first_feed, group_at, next_feed, notice_at, part_feeds, turn_page
from tapeline.engine.records import (
    ALARM,
    ARRIVAL,
    BEGINNING,
    CLASS_SHIFT,
    END,
    FEED,
    GROW_JOURNAL,
    GROW_NOTICES,
    LAST_REQUEST,
    MARKET_DUE,
    NEED_SPECIAL,
    NEVER,
    NEW,
    NEWS,
    NOT_YET,
    ON_BOOK,
    ON_END,
    ON_FILL,
    ON_ORDER,
    ON_TIMER,
    RESPONSE,
    TIMER,
)
from tapeline.engine.special import find_places
from tapeline.engine.steps import steps_are_short
from tapeline.engine.venue import finds_resting, free_place, let_go, let_rest
from tapeline.jit import kept, kernel, leaf
from tapeline.market.book import BOOK, DONE
from tapeline.memory import address_of, count_bits, record_at, unit, unseen

UPDATE_FILL = np.int64(Update.FILL)


@kernel
def journal_is_short(engine):
    """Whether one more delivery might not fit: a fill and an order, a sample of everything, everybody's signals. If not, for how many there is room."""
    everything = max(engine.rows_n * engine.instruments, 1)
    room = min(engine.fills.capacity - engine.fills.n, engine.orders.capacity - engine.orders.n)
    room = min(room, (engine.equity.capacity - engine.equity.n) // everything)
    if engine.explains and steps_are_short(engine):
        room = np.int64(0)
    engine.deliveries_fit = min(room, (engine.signals.capacity - engine.signals.n) // max(engine.signals_per_callback, 1))
    return engine.deliveries_fit <= 0


@leaf
def deliver_notice(engine, feed, notice, due):
    """A notice reaches the groups of a feed that it concerns: the classes that are to be called, a bit each. What each of them sees is seen to when it is."""
    what, classes = np.int64(notice.what), np.int64(notice.classes & feed.classes)
    if move_clock(engine, due):
        engine.counters.late_news += count_bits(classes)
    engine.call_number = feed.cursor
    turn_page(engine, feed, due)
    if engine.guarded:
        engine.guard_row, engine.guard_feed = NOBODY, address_of(feed)
        guard(engine)
    if what == ON_BOOK:
        return classes & np.int64(engine.book_classes)
    show_print(engine, notice)
    return classes


@kept(leaf)
def next_news(engine, at, due, is_next):
    """Notices that are next to happen, before the event that is next, are delivered, until a callback has to be made.

    The callback, or 0; and of what it is about: the address of the feed, when it was due to it, the notice's address, and the classes to be called, a bit each.
    `at` and `due`: the first two of the notice before; `is_next`: whether it was found that a notice is next.

    Events come in bursts, and news of them one upon the other: through the event loop and `wake`, each would take 200 instructions more. Nor is `wake` asked
    again where nothing else is due before that event.
    """
    other_due = first_due(engine.agenda)
    limit = NEVER if is_next else min(engine.due_before, other_due)
    at, due = next_feed(engine, at, due)
    while (due < limit) & (engine.deliveries_fit > 0):
        engine.deliveries_fit -= 1
        feed = record_at(at, 0, FEED)
        notice = notice_at(engine, feed.cursor)
        told = deliver_notice(engine, feed, notice, due)
        if told != 0:
            return np.int64(notice.what), at, due, address_of(notice), told
        if engine.guarded:  # a row may have been stopped, whose cancels are next
            engine.agenda.next_due = NOT_YET
            return np.int64(0), at, due, engine.notices, np.int64(0)
        limit = min(engine.due_before, other_due)
        at, due = next_feed(engine, at, due)
    set_next_due(engine, min(due, other_due))
    return np.int64(0), at, due, engine.notices, np.int64(0)


@leaf
def set_next_due(engine, first):
    """What is first of all that has not happened is due at `first`."""
    unsettled = (engine.parked + engine.voided > 0) | (engine.notices_fit < NOTICES_PER_EVENT_MAX)  # to be looked at before every event
    engine.agenda.next_due = NOT_YET if unsettled else first


@leaf
def deliver_answer(engine, message):
    """An answer reaches its row; the callback to be made, or 0. The message is freed when the callback has seen it."""
    pop(engine.agenda, RESPONSE, message)
    if message.kind == END:
        set_clock(engine, message.due)
        learn_end(engine, message)
        free_message(engine.agenda, message)
        return np.int64(0)
    row = row_at(engine, message.row)
    callback = ON_FILL if message.what == UPDATE_FILL else ON_ORDER
    is_told = wants(row, callback)
    if set_clock(engine, message.due):
        engine.counters.late_to_rows += is_told
    apply_answer(engine, row, message)
    if engine.guarded and callback == ON_FILL and not engine.ending:
        engine.guard_row = message.row
        guard(engine)
    if engine.ending or row.listens == NOBODY or not is_told:
        free_message(engine.agenda, message)
        return np.int64(0)
    call(engine, row.group, message.instrument)
    engine.call_row = message.row
    engine.call_message = address_of(message)
    return callback


@kernel
def deliver_alarm(engine, message):
    """A timer runs out, unless it was replaced; the callback to be made, or 0."""
    row, due = row_at(engine, message.row), message.due
    if row.timer_pending != due:
        free_message(engine.agenda, message)
        return np.int64(0)
    if row.timer > due:
        row.timer_pending = row.timer
        push_far(engine.agenda, row.timer, TIMER, message)
        return np.int64(0)
    free_message(engine.agenda, message)
    row.timer = row.timer_pending = 0
    engine.counters.late_to_rows += set_clock(engine, due)
    if not wants(row, ON_TIMER):
        return np.int64(0)
    call(engine, row.group, 0)
    engine.call_row = row.index
    return ON_TIMER


@kernel
def happen_rarely(engine, message):
    """A timer runs out, there is news of a phase, or the run begins: the callback to be made, or 0."""
    pop_heap(engine.agenda)
    if message.kind == ALARM:
        return deliver_alarm(engine, message)
    if message.kind == BEGINNING:
        free_message(engine.agenda, message)
        return np.int64(awake(engine))
    engine.phase_message, engine.phase_due = address_of(message), message.due
    return deliver_phase(engine)


@leaf
def reach(engine, message):
    """What is first of the agenda happens, and is no answer: the callback to be made, or what the driver has to do before it may, or 0.

    What nearly all requests are, new orders that come to rest and cancels of such, is let in here: through `let_in`, where everything may happen, it took
    70 instructions more.
    """
    book, index = record_at(engine.books, np.int64(message.instrument), BOOK), np.int64(message.node)
    node = node_at(engine, index)
    is_new = message.kind == NEW
    place = free_place(book, node) if is_new else np.int64(finds_resting(message, node))
    if place == 0 or not is_usual(engine, book, message):
        return np.int64(happen_otherwise(engine, message))
    pop(engine.agenda, ARRIVAL, message)
    take_place(engine, book, message)
    if is_new:
        let_rest(engine, book, node, index, place, message.ts_event)
        free_message(engine.agenda, message)
    else:
        let_go(engine, book, node, index, message)
    return np.int64(0)


@kernel
def happen_otherwise(engine, message):
    """As reach, for what is no usual request."""
    if engine.ending:  # what has not come to the exchange never does
        pop(engine.agenda, ARRIVAL, message)
        return np.int64(0)
    if message.kind > LAST_REQUEST:
        return np.int64(happen_rarely(engine, message))
    lacking = np.int64(what_lacks(engine, message))
    if lacking == 0:
        reach_exchange(engine, message)
    return lacking


@leaf
def happen_until(engine):
    """Everything due before engine.due_before happens, in order, until a notice is next, a callback has to be made or the driver has to act: that, or 0."""
    ts_event = engine.due_before
    _, market_due = first_feed(engine)
    while True:
        due = first_due(engine.agenda)
        if min(market_due, due) >= ts_event:
            set_next_due(engine, min(market_due, due))
            return np.int64(0)
        if engine.deliveries_fit <= 0 and journal_is_short(engine):
            return GROW_JOURNAL
        if due > market_due:
            return NEWS
        address, is_answer = first_message(engine.agenda)
        message = message_at(address)
        if due == market_due and message.turn >> CLASS_SHIFT > MARKET_DUE:
            return NEWS
        engine.deliveries_fit -= 1
        result = np.int64(deliver_answer(engine, message)) if is_answer else np.int64(reach(engine, message))
        if result != 0:
            return result


@kernel
def begin_ending(engine):
    """The last record is in the book, and all that was due has happened: answers under way are still booked, without callbacks, and nothing else."""
    sample_before(engine, engine.ts_end)
    engine.ending = 1
    engine.due_before = NEVER
    catch_up_all(engine)
    for g in range(engine.groups_n):
        group_at(engine, g).lags = 0
    for f in range(engine.feeds_n):
        feed_at(engine, f).due = NEVER


@kernel
def end_run(engine):
    """All is booked."""
    engine.now = engine.ts_end
    if not engine.ended:
        engine.ended = 1
        return ON_END
    return DONE


@kernel
def end_void(engine):
    """If the book whose event is next was voided, this is its first ordinary event since. What the driver has to do before, or 0."""
    book = record_at(engine.books, engine.due_for, BOOK)
    if book.void == 2:
        if engine.find_places == 0:
            return NEED_SPECIAL
        if ring_is_full(engine):
            return GROW_NOTICES
        find_places(engine)
    elif book.void == 1:
        book.void = 0
        engine.voided -= 1
    return 0


@kernel
def let_in_waiting(engine):
    """Requests that waited for the book whose event is next, or (at the end) for any, take their places. What the driver has to do before, or 0."""
    if engine.due_for == NO_BOOK:
        last = max(engine.latest.ts_event, engine.latest.ts_recv)
        engine.ts_end = max(last, engine.closes)
        engine.due_before = max(last + 1, engine.closes)
    return let_in_parked(engine, engine.due_for, engine.due_before) if engine.parked > 0 else 0


@leaf
def is_news_next(engine, book):
    """Whether a notice comes first of all that is due before the next event of a book: then `wake` need not be asked, which takes 80 instructions.

    It does if what is due first is no message; no feed is looked at, since a loop in the event loop takes registers from it (2 % of a maker's time).
    """
    due = engine.agenda.next_due
    is_first = (due != NOT_YET) & (due < first_due(engine.agenda)) & (engine.deliveries_fit > 0)
    return unseen(np.int64(is_first & (book.parked == 0) & (engine.runs_back == 0))) != 0


@unit("wake")
def wake(engine):
    """An event of book engine.due_for at due_before is next, or (NO_BOOK) the input has ended: what is due before happens. The callback, NEWS, or 0."""
    at_end = engine.due_for == NO_BOOK
    if engine.runs_back:
        part_feeds(engine)
    engine.agenda.next_due = NOT_YET  # until all has happened: the driver may have to act in between
    while True:
        if not engine.ending and (at_end or record_at(engine.books, engine.due_for, BOOK).parked > 0):
            result = let_in_waiting(engine)
            if result:
                return result
        result = happen_until(engine)
        if result:
            return result
        if not at_end:
            return end_void(engine) if engine.voided > 0 else 0
        if engine.ending:
            return end_run(engine)
        if journal_is_short(engine):
            return GROW_JOURNAL
        begin_ending(engine)
