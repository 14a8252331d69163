"""What few runs need: stops, FOK, GTD, REDUCE_ONLY, mass cancels, gaps. Units of their own, compiled when the first of it comes."""

import numpy as np

from tapeline.constants import DAY, FOK, GTD, MARKET, ON_QUOTE, REDUCE_ONLY, STOP, TIF_BITS, UNDEFINED_PRICE, Reason, Update
from tapeline.engine.agenda import message_at, new_message, push_far
from tapeline.engine.answers import NOTHING_TO_REDUCE, answer, close_order, drop_reducers, open_lots
from tapeline.engine.lists import account_at, link, link_in_line, node_at, row_at, unlink, unlink_from_line
from tapeline.engine.records import (
    ARRIVAL,
    CANCEL,
    CANCEL_ALL,
    ENDED,
    EXPIRE,
    GUESS,
    MODIFY,
    MODIFY_STOP,
    NEVER,
    NEW,
    SMP_CANCEL_AGGRESSOR,
    TRIGGER,
    WAITING,
)
from tapeline.engine.rules import show_ahead
from tapeline.engine.steps import LOST
from tapeline.engine.venue import (
    ACCEPTED,
    CANCELLED,
    EXACT,
    EXPIRED,
    MODIFIED,
    MODIFY_REJECTED,
    NO_QUEUE,
    NO_REASON,
    REJECTED,
    REQUESTED,
    available_at,
    execute,
    first_own,
    is_refused,
    modify,
    next_own_level,
    opposite_limit,
    reason_of,
    refusal,
    refuse_request,
    rests,
    set_level,
    tell_place,
)
from tapeline.jit import kernel
from tapeline.market.book import BOOK, HALTED, PHASE_CHANGE, WATCHED, go_to, is_matching, side_of
from tapeline.market.book import CLOSED as MARKET_CLOSED
from tapeline.market.ladder import LEVEL_NONE, cell_at, has_best, next_level, size_at
from tapeline.memory import record_at, unit
from tapeline.tape.records import EVENT

TRIGGERED = np.int64(Update.TRIGGERED)
INSTRUCTION, EXPIRY, FOK_UNFILLABLE = (np.int64(r) for r in (Reason.INSTRUCTION, Reason.EXPIRY, Reason.FOK_UNFILLABLE))
NOT_WAITING, GAP = np.int64(Reason.NOT_WAITING), np.int64(Reason.GAP)


@unit("let_in_special")
def let_in_special(engine):
    """As venue.let_in, for requests of every kind and orders with any instruction."""
    message = message_at(engine.let_in_message)
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    index = np.int64(message.node)
    node = node_at(engine, index)
    if message.kind == NEW:
        arrive_special(engine, book, index, message)
    elif message.kind == CANCEL_ALL and message.reason == NO_REASON:
        cancel_all(engine, book, message)
    elif is_refused(message) or node.order_id != message.order_id or node.venue_state == ENDED:
        if message.kind != TRIGGER and message.kind != EXPIRE:
            refuse_request(engine, message)
    elif message.kind == TRIGGER:
        trigger(engine, book, index, message.ts_event)
    elif message.kind == EXPIRE:
        close_special(engine, book, index, message.ts_event, EXPIRED, EXPIRY)
    elif message.kind == CANCEL:
        close_special(engine, book, index, message.ts_event, CANCELLED, REQUESTED if message.reason == NO_REASON else np.int64(message.reason))
    elif node.venue_state == WAITING:
        modify_waiting(engine, book, index, message)
    elif message.kind == MODIFY:
        modify(engine, book, index, message)
    else:
        answer(engine, index, message.ts_event, MODIFY_REJECTED).reason = NOT_WAITING
    return 0


@kernel
def close_special(engine, book, index, ts_event, what, reason):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """As close_order, for an order that may be a stop that waits."""
    if node_at(engine, index).venue_state == WAITING:
        stop_waiting(engine, book, index)
    close_order(engine, book, index, ts_event, what, reason)


@kernel
def cancel_all(engine, book, request):
    """All of a row's orders in a book go: those that rest, the last to come to rest first; then stops that wait, the last first."""
    row = row_at(engine, request.row)
    index = np.int64(row.resting)
    while index != 0:
        node = node_at(engine, index)
        following = np.int64(node.row_next)
        if node.instrument == request.instrument:
            close_order(engine, book, index, request.ts_event, CANCELLED, REQUESTED)
        index = following
    index = np.int64(book.stops_last)
    while index != 0:
        node = node_at(engine, index)
        following = np.int64(node.prev)
        if node.row == request.row:
            close_special(engine, book, index, request.ts_event, CANCELLED, REQUESTED)
        index = following


@kernel
def remind(engine, kind, index, time):
    """The exchange asks itself for something about an order, at a time of its own clock."""
    node = node_at(engine, index)
    message = new_message(engine.agenda)
    message.order_id = node.order_id
    message.ts_event = time
    message.node = index
    message.row = node.row
    message.instrument = node.instrument
    message.instruction = node.instruction
    message.kind = kind
    push_far(engine.agenda, time, ARRIVAL, message)


@kernel
def arrive_special(engine, book, index, request):
    """A new order."""
    node, ts_event = node_at(engine, index), request.ts_event
    node.ts_arrived = ts_event
    has_expiry = node.instruction & TIF_BITS == GTD
    reason = EXPIRY if request.reason == NO_REASON and has_expiry and node.expires <= ts_event else np.int64(request.reason)
    if reason != NO_REASON:
        close_order(engine, book, index, ts_event, REJECTED, reason)
        return
    if node.instruction & STOP:
        answer(engine, index, ts_event, ACCEPTED)
        wait(engine, book, index)
        if is_reached(book, node, book.trade_last, book.trade_last):
            trigger(engine, book, index, ts_event)
    else:
        enter(engine, book, index, ts_event, ACCEPTED)
    if node.instruction & TIF_BITS == DAY:
        node.expires = session_end(book, ts_event)
        has_expiry = node.expires != NEVER
    if has_expiry and node.venue_state != ENDED:
        remind(engine, EXPIRE, index, node.expires)


@kernel
def session_end(book, ts):
    """When the session ends that goes on at a time; NEVER if it does not."""
    for i in range(book.phases_n):
        change = record_at(book.phases, i, PHASE_CHANGE)
        if change.ts > ts and change.phase == MARKET_CLOSED:
            return change.ts
    return NEVER


@kernel
def enter(engine, book, index, ts_event, what):
    """An order enters the book, if nothing speaks against it."""
    node = node_at(engine, index)
    if node.instruction & REDUCE_ONLY:
        row_at(engine, node.row).reduces = 1
    reason = NOTHING_TO_REDUCE if open_lots(engine, node) == 0 else refusal(engine, book, node, node.level_accepted)
    if book.phase >= HALTED:
        reason = reason_of(book)
    if reason != NO_REASON:
        close_order(engine, book, index, ts_event, REJECTED if what == ACCEPTED else CANCELLED, reason)
        return
    message = answer(engine, index, ts_event, what)
    if rests(node):
        tell_place(engine, book, node, message)
    if node.instruction & TIF_BITS == FOK and fillable(engine, book, node) < node.size:
        close_order(engine, book, index, ts_event, EXPIRED, FOK_UNFILLABLE)
        return
    execute(engine, book, index, ts_event)


@kernel
def fillable(engine, book, node):
    """Lots that an order would take if it entered now: venue.take, without taking."""
    if not is_matching(book):
        return np.int64(0)
    ladder = side_of(book, 1 - node.side)
    limit = opposite_limit(node.level_accepted)
    wanted = left = open_lots(engine, node)
    level = max(ladder.best if has_best(ladder) else LEVEL_NONE, next_own_level(engine, node, np.int64(2**32), limit))
    while left > 0 and level != LEVEL_NONE and level >= limit:
        available = available_at(engine, node, ladder, level)
        own = first_own(engine, ladder, level, node.row)
        if own != 0 and row_at(engine, node.row).self_match == SMP_CANCEL_AGGRESSOR:
            return wanted - left + min(left, max(min(available, node_at(engine, own).ahead), 0))
        left -= min(left, max(available, 0))
        level = max(next_level(ladder, level), next_own_level(engine, node, level, limit))
    return wanted - left


# --- stops


@kernel
def wait(engine, book, index):
    """A stop waits, behind those that wait already."""
    node = node_at(engine, index)
    node.venue_state = WAITING
    book.dirty |= WATCHED if book.phases_n != 0 else np.uint8(0)
    node.next = 0
    node.prev = book.stops_last
    if book.stops_last != 0:
        node_at(engine, book.stops_last).next = index
    else:
        book.stops = index
    book.stops_last = index


@kernel
def stop_waiting(engine, book, index):
    """A stop waits no more."""
    node = node_at(engine, index)
    if node.prev != 0:
        node_at(engine, node.prev).next = node.next
    else:
        book.stops = node.next
    if node.next != 0:
        node_at(engine, node.next).prev = node.prev
    else:
        book.stops_last = node.prev


@kernel
def is_reached(book, node, high, low):
    """Whether a trade between two prices, or the best price on the other side, is at or through the price of a stop. Only while orders are matched."""
    if not is_matching(book):
        return False
    if node.instruction & ON_QUOTE:
        other = side_of(book, 1 - node.side)
        return has_best(other) and -other.best >= node.stop
    if book.trade_last == UNDEFINED_PRICE:
        return False
    return high >= node.stop * book.grid if node.side == 0 else low <= -node.stop * book.grid


@unit("trigger_stops")
def trigger_stops(engine):
    """Event engine.trigger_event has ended: the stops that it reached will enter the book when a request of that time would."""
    event = record_at(engine.trigger_event, 0, EVENT)
    book = record_at(engine.books, np.int64(event.instrument), BOOK)
    go_to(book, event.ts_event)
    index = np.int64(book.stops)
    while index != 0:
        node = node_at(engine, index)
        if not node.triggered and is_reached(book, node, book.trade_high, book.trade_low):
            node.triggered = 1
            remind(engine, TRIGGER, index, event.ts_event)
        index = np.int64(node.next)
    return 0


@kernel
def trigger(engine, book, index, ts_event):
    """A stop has been reached: the order enters the book."""
    stop_waiting(engine, book, index)
    node = node_at(engine, index)
    node.ts_triggered = ts_event
    enter(engine, book, index, ts_event, TRIGGERED)


@kernel
def modify_waiting(engine, book, index, request):
    """A stop that waits gets another stop price, or another limit price and size; one whose stop was reached has no stop price any more."""
    node = node_at(engine, index)
    reason = NO_REASON
    if request.kind == MODIFY_STOP:
        reason = NOT_WAITING if node.triggered else NO_REASON
    elif node.instruction & MARKET:
        reason = INSTRUCTION
    if reason != NO_REASON:
        answer(engine, index, request.ts_event, MODIFY_REJECTED).reason = reason
        return
    if request.kind == MODIFY_STOP:
        node.stop = request.level
    else:
        set_level(book, node, request.level)
        node.size = node.left = request.size
    answer(engine, index, request.ts_event, MODIFIED)
    if not node.triggered and is_reached(book, node, book.trade_last, book.trade_last):
        trigger(engine, book, index, request.ts_event)


# --- gaps


@unit("find_places")
def find_places(engine):
    """Book engine.due_for was voided, and its event engine.next_event is about to begin: where nothing came back, our queues are lost."""
    event = record_at(engine.next_event, 0, EVENT)
    book = record_at(engine.books, engine.due_for, BOOK)
    book.void = 0
    engine.voided -= 1
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        oldest = np.int64(0)
        index = np.int64(row.resting)
        while index != 0:
            oldest = index
            index = np.int64(node_at(engine, index).row_next)
        while oldest != 0:
            following = np.int64(node_at(engine, oldest).row_prev)
            find_place(engine, book, oldest, event)
            oldest = following
    return 0


@kernel
def find_place(engine, book, index, event):
    """An order keeps its place, goes behind everything, or is cancelled."""
    node = node_at(engine, index)
    if node.instrument != book.index:
        return
    was_there, node.voided = node.voided, 0
    if not book.lost:
        return
    if not was_there:
        if node.priority == book.stamp:  # it came to rest since, and stays behind those that go behind everything now
            go_last(engine, book, node, index)
        return
    row = row_at(engine, node.row)
    if row.cancel_on_gap:
        close_order(engine, book, index, event.ts_event, CANCELLED, GAP)
        return
    node.gaps += 1
    if row.queue == EXACT:
        account = account_at(row, node)
        unlink_from_line(engine, account, node)
        node.priority = book.stamp
        go_last(engine, book, node, index)
        link_in_line(engine, account, node, index)
    elif row.queue != NO_QUEUE:
        record_at(engine.guesses, index, GUESS).arrival = -1  # to be guessed afresh
    if row.queue != NO_QUEUE:
        ahead = size_at(side_of(book, node.side), np.int64(node.level))
        if ahead != node.ahead:
            node.ahead = ahead
            show_ahead(engine, index, event, LOST)


@kernel
def go_last(engine, book, node, index):
    """An order goes to the end of its level's list, which is in order of stamps: others may have come to rest since the book was voided."""
    unlink(engine, book, node, index)
    link(engine, cell_at(side_of(book, node.side), np.int64(node.level)), node, index)


UNITS = (let_in_special, trigger_stops, drop_reducers, find_places)
