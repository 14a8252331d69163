"""Requests that reach the exchange: let in, or parked until the next event of their book."""

import numpy as np

from tapeline.engine.agenda import comes_before, free_message, message_at, pop, push_as
from tapeline.engine.latency import takes_constant_time
from tapeline.engine.lists import row_at
from tapeline.engine.records import ARRIVAL, CANCEL, DUE, LAST_REQUEST, MODIFY, MODIFY_STOP, NEED_SPECIAL, NEVER, NEW
from tapeline.engine.special import let_in_special
from tapeline.engine.venue import NO_REASON, SPECIAL, is_special, let_in, reason_of
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, HALTED, ask_for_room, go_to, in_event, side_of
from tapeline.market.ladder import LEVEL_NONE
from tapeline.memory import address_of, record_at, unseen

NO_BOOK = np.int64(-1)


@leaf
def is_usual(engine, book, message):
    """Whether nothing stands in a request's way, as in that of nearly all. One test, of which each part would be a branch, and some of them coins."""
    is_plain = (message.reason | message.parked | (message.instruction & SPECIAL) == 0) & (book.phases_n == 0)
    is_next = (engine.due_for == message.instrument) & (engine.ending == 0)
    return unseen(np.int64(is_plain & is_next)) != 0


@leaf
def take_place(engine, book, message):
    """A request is the next that comes to the exchange."""
    book.ts_arrived = max(book.ts_arrived, message.ts_event)
    engine.arrivals += 1


@kernel
def admit(engine, book, message):
    """A request takes its place at the exchange."""
    take_place(engine, book, message)
    engine.let_in_message = address_of(message)
    if book.phases_n != 0:
        look_at_phase(book, message)
    if is_special(message):
        let_in_special(engine)
    else:
        let_in(engine)


@kernel
def admit_late(engine, book, message):
    """The same for a request that was parked: its row may have been answered meanwhile about other books, for later times at the exchange.

    Answers that take a constant time do not wait for those.
    """
    row = row_at(engine, message.row)
    latest = row.last_response
    if takes_constant_time(row):
        row.last_response = message.ts_event
    admit(engine, book, message)
    row.last_response = max(latest, row.last_response)


@kernel
def look_at_phase(book, message):
    """A market that is halted or closed takes nothing but cancels."""
    go_to(book, message.ts_event)
    takes_none = book.phase >= HALTED and message.reason == NO_REASON
    if takes_none and (message.kind == NEW or message.kind == MODIFY or message.kind == MODIFY_STOP):
        message.reason = reason_of(book)


@kernel
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
        admit_late(engine, book, message)
        free_message(engine.agenda, message)
    else:
        latest = message.ts_event + row_at(engine, message.row).latency_response
        deadline = NEVER if message.parked else latest  # inside an event there is no deadline
        book.parked += 1 - message.parked
        engine.parked += 1 - message.parked
        message.parked = 1
        push_as(engine.agenda, deadline, message.turn, message)


@kernel
def follows_parked(engine, message):
    """Whether an earlier request of the same row still waits for the same book."""
    for i in range(engine.agenda.heap_n):
        other = message_at(record_at(engine.agenda.heap, i, DUE).message)
        is_alike = other.row == message.row and other.instrument == message.instrument
        if other.parked == 1 and other.kind <= LAST_REQUEST and is_alike and earlier(other, message):
            return True
    return False


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
        admit_late(engine, book, message)


@kernel
def earlier(a, b):
    """Whether one parked request came before another."""
    return comes_before(a.ts_event, a.turn, b.ts_event, b.turn)


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


@kernel
def lacks_far_cells(ladder):
    """Whether a request of ours might not find room for a level outside the window."""
    return ladder.far_count + 2 > ladder.far_capacity
