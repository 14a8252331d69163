"""What is due: requests that reach the exchange, answers and news of the market that reach the rows, timers. All of it waits in one order of time."""

import numpy as np

from tapeline.constants import Update
from tapeline.engine.agenda import comes_before, first_due, first_message, free_message, message_at, pop, pop_heap, push_as
from tapeline.engine.calls import call, set_clock, wants
from tapeline.engine.deliver import apply_answer, sample_before
from tapeline.engine.limits import NOBODY, guard
from tapeline.engine.lists import row_at
from tapeline.engine.notices import NOTICES_PER_EVENT_MAX, first_group, notice_at, receive, ring_is_full, show_print
from tapeline.engine.phases import deliver_phase
from tapeline.engine.records import (
    ALARM,
    ANSWER,
    ARRIVAL,
    CANCEL,
    CLASS_SHIFT,
    DUE,
    FIRST_CALLBACK,
    GROUP,
    GROW_JOURNAL,
    GROW_NOTICES,
    LAST_REQUEST,
    MARKET_DUE,
    MODIFY,
    MODIFY_STOP,
    NEED_SPECIAL,
    NEVER,
    NEW,
    NOT_YET,
    ON_BOOK,
    ON_END,
    ON_FILL,
    ON_ORDER,
    ON_TIMER,
    RESPONSE,
    STRATEGY_CLASS,
    TIMER,
)
from tapeline.engine.special import find_places, let_in_special
from tapeline.engine.steps import steps_are_short
from tapeline.engine.venue import NO_REASON, is_special, let_in, reason_of
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DONE, HALTED, ask_for_room, go_to, in_event, side_of
from tapeline.market.ladder import LEVEL_NONE
from tapeline.memory import address_of, record_at, unit

UPDATE_FILL = np.int64(Update.FILL)
NO_BOOK = np.int64(-1)


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
def deliver_notice(engine, group_index, due):
    """A notice reaches a group; the callback to be made, or 0."""
    group = record_at(engine.groups, group_index, GROUP)
    number = group.cursor
    set_clock(engine, due, True)
    group.due_last = due
    receive(engine, group, number)
    if engine.guarded:
        engine.guard_row, engine.guard_group = NOBODY, group_index
        guard(engine)
    notice = notice_at(engine, number)
    if (record_at(engine.classes, group.strategy_class, STRATEGY_CLASS).callbacks >> (np.int64(notice.what) - FIRST_CALLBACK)) & 1 == 0:
        return 0
    call(engine, group_index, notice.instrument)
    engine.call_classes = group.classes
    if notice.what != ON_BOOK:
        show_print(engine, notice)
    return np.int64(notice.what)


@leaf
def next_news(engine):
    """After a callback: notices that are next to happen before the event that `wake` was called for are delivered. The callback to be made, or 0.

    Events come in bursts, and news of them one upon the other: through the event loop and `wake`, each would take 200 instructions more. Nor is `wake` asked
    again where nothing else is due before that event.
    """
    what = np.int64(0)
    while what == 0:
        group_index = first_group(engine)
        due, other_due = record_at(engine.groups, group_index, GROUP).due, first_due(engine.agenda)
        if (due >= engine.due_before) | (other_due <= due) | (engine.deliveries_fit <= 0):
            if min(due, other_due) >= engine.due_before:
                set_next_due(engine, min(due, other_due))
            break
        engine.deliveries_fit -= 1
        what = np.int64(deliver_notice(engine, group_index, due))
    return what


@leaf
def set_next_due(engine, first):
    """All has happened that was due before the next event; what is first of the rest is due at `first`."""
    unsettled = (engine.parked + engine.voided > 0) | (engine.notices_fit < NOTICES_PER_EVENT_MAX)  # to be looked at before every event
    engine.agenda.next_due = NOT_YET if unsettled else first


@leaf
def deliver_answer(engine, message):
    """An answer reaches its row; the callback to be made, or 0. The message is freed when the callback has seen it."""
    pop(engine.agenda, RESPONSE, message)
    row = row_at(engine, message.row)
    callback = ON_FILL if message.what == UPDATE_FILL else ON_ORDER
    is_told = wants(engine, row, callback)
    set_clock(engine, message.due, is_told)
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
    if row.timer_pending != due or engine.ending:
        free_message(engine.agenda, message)
        return np.int64(0)
    if row.timer > due:
        row.timer_pending = row.timer
        push_as(engine.agenda, row.timer, TIMER << CLASS_SHIFT | engine.agenda.created, message)
        engine.agenda.created += 1
        return np.int64(0)
    free_message(engine.agenda, message)
    row.timer = row.timer_pending = 0
    set_clock(engine, due, True)
    if not wants(engine, row, ON_TIMER):
        return np.int64(0)
    call(engine, row.group, 0)
    engine.call_row = row.index
    return ON_TIMER


@kernel
def follows_parked(engine, message):
    """Whether an earlier request of the same row still waits for the same book."""
    for i in range(engine.agenda.heap_n):
        other = message_at(record_at(engine.agenda.heap, i, DUE).message)
        is_alike = other.row == message.row and other.instrument == message.instrument
        if other.parked == 1 and other.kind <= LAST_REQUEST and is_alike and earlier(other, message):
            return True
    return False


@leaf
def admit(engine, book, message):
    """A request takes its place at the exchange."""
    engine.let_in_message = address_of(message)
    book.ts_arrived = max(book.ts_arrived, message.ts_event)
    engine.arrivals += 1
    if book.phases_n != 0:
        look_at_phase(book, message)
    if is_special(message):
        let_in_special(engine)
    else:
        let_in(engine)


@kernel
def look_at_phase(book, message):
    """A market that is halted or closed takes nothing but cancels."""
    go_to(book, message.ts_event)
    takes_none = book.phase >= HALTED and message.reason == NO_REASON
    if takes_none and (message.kind == NEW or message.kind == MODIFY or message.kind == MODIFY_STOP):
        message.reason = reason_of(book)


@leaf
def reach_exchange(engine, message):
    """A request is due while an event of book engine.due_for is next: it is let in if that is its book, and parked if not."""
    pop(engine.agenda, ARRIVAL, message)
    if message.parked == 0 and engine.due_for == message.instrument:
        admit(engine, record_at(engine.books, np.int64(message.instrument), BOOK), message)
        free_message(engine.agenda, message)
    else:
        park_or_let_in(engine, message)


@kernel
def park_or_let_in(engine, message):
    """A request for another book than the one whose event is next, or that is parked already.

    A parked request waits for its book's next event; at the latest it is let in when the row could know of it.
    """
    if message.parked == 2:
        free_message(engine.agenda, message)
        return
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    mine_is_next = engine.due_for == message.instrument or (engine.due_for == NO_BOOK and not in_event(book))
    if mine_is_next or (message.parked and not in_event(book) and not follows_parked(engine, message)):
        book.parked -= message.parked
        engine.parked -= message.parked
        admit(engine, book, message)
        free_message(engine.agenda, message)
    else:
        latest = message.ts_event + row_at(engine, message.row).latency_response
        deadline = NEVER if message.parked else latest  # inside an event there is no deadline
        book.parked += 1 - message.parked
        engine.parked += 1 - message.parked
        message.parked = 1
        push_as(engine.agenda, deadline, message.turn, message)


@kernel
def let_in_parked(engine, which, ts_event):
    """Book number `which` goes on to `ts_event`, or (NO_BOOK) all do but those inside an event: requests that waited for it are let in, by their times.

    MAKE_ROOM, if that is needed before the next of them, or 0.
    """
    while True:
        first = engine.agenda.messages
        for i in range(engine.agenda.heap_n):
            message = message_at(record_at(engine.agenda.heap, i, DUE).message)
            if message.parked != 1 or message.kind > LAST_REQUEST or message.ts_event >= ts_event:
                continue
            concerned = message.instrument == which or (which == NO_BOOK and not in_event(record_at(engine.books, np.int64(message.instrument), BOOK)))
            if concerned and (first == engine.agenda.messages or earlier(message, message_at(first))):
                first = address_of(message)
        if first == engine.agenda.messages:
            return 0
        message = message_at(first)
        book = record_at(engine.books, np.int64(message.instrument), BOOK)
        lacking = what_lacks(engine, message)
        if lacking:
            return lacking
        message.parked = 2  # let in: its entry is empty
        book.parked -= 1
        engine.parked -= 1
        admit(engine, book, message)


@kernel
def earlier(a, b):
    """Whether one parked request came before another."""
    return comes_before(a.ts_event, a.turn, b.ts_event, b.turn)


@kernel
def happen_rarely(engine, message):
    """A timer runs out, or there is news of a phase: the callback to be made, or 0."""
    pop_heap(engine.agenda)
    if message.kind == ALARM:
        return deliver_alarm(engine, message)
    engine.phase_message, engine.phase_due = address_of(message), message.due
    return deliver_phase(engine)


@kernel
def lacks_far_cells(ladder):
    """Whether a request of ours might not find room for a level outside the window."""
    return ladder.far_count + 2 > ladder.far_capacity


@kernel
def what_lacks(engine, message):
    """What the driver has to do before a request may be let in: make room for its level, or compile what few requests need; 0: nothing."""
    if engine.let_in_special == 0 and is_special(message):
        return NEED_SPECIAL
    if message.kind == CANCEL:
        return 0
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    if lacks_far_cells(side_of(book, BIDS)):
        return ask_for_room(engine, book, 0, LEVEL_NONE)
    if lacks_far_cells(side_of(book, ASKS)):
        return ask_for_room(engine, book, 1, LEVEL_NONE)
    return 0


@leaf
def happen(engine, message):
    """What is first of the agenda happens: the callback to be made, or what the driver has to do before it may, or 0."""
    if message.kind == ANSWER:
        return np.int64(deliver_answer(engine, message))
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
    """Everything due before engine.due_before happens, in order, until a callback has to be made or the driver has to act: that, or 0 when nothing is left."""
    ts_event = engine.due_before
    result = np.int64(0)
    while True:
        group = first_group(engine)
        market_due = record_at(engine.groups, group, GROUP).due
        message = first_message(engine.agenda)
        if result or min(market_due, message.due) >= ts_event:
            set_next_due(engine, min(market_due, message.due))
            return result
        if engine.deliveries_fit <= 0 and journal_is_short(engine):
            return GROW_JOURNAL
        engine.deliveries_fit -= 1
        if message.due < market_due or (message.due == market_due and message.turn >> CLASS_SHIFT < MARKET_DUE):
            result = happen(engine, message)
        else:
            result = np.int64(deliver_notice(engine, group, market_due))


@kernel
def begin_ending(engine):
    """The last record is in the book, and all that was due has happened: answers under way are still booked, without callbacks, and nothing else."""
    sample_before(engine, engine.ts_end)
    engine.ending = 1
    engine.due_before = NEVER
    for g in range(engine.groups_n):
        record_at(engine.groups, g, GROUP).due = NEVER


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
        engine.ts_end = max(engine.latest.ts_event, engine.latest.ts_recv)
        engine.due_before = engine.ts_end + 1
    return let_in_parked(engine, engine.due_for, engine.due_before) if engine.parked > 0 else 0


@unit("wake")
def wake(engine):
    """An event of book engine.due_for at due_before is next, or (NO_BOOK) the input has ended: what is due before happens. The callback to be made, or 0."""
    at_end = engine.due_for == NO_BOOK
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
