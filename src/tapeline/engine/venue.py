"""What our requests do at the exchange: new orders, modifies, cancels; taking, resting, self-match (rules 1, 5 and 9 of docs/assumptions.md)."""

import numpy as np

from tapeline.constants import FOK, GTD, IOC, MARKET, ON_QUOTE, POST_ONLY, REDUCE_ONLY, STOP, UNDEFINED_PRICE, FillRule, QueueModel, Reason, Update
from tapeline.engine.agenda import message_at, new_message, push
from tapeline.engine.answers import (
    NOTHING_TO_REDUCE,
    answer,
    close_order,
    describe,
    fill_lots,
    leave_queue,
    open_lots,
    send_answer,
    write_end,
)
from tapeline.engine.latency import response_time
from tapeline.engine.lists import account_of, first_in_line, link, link_resting, node_at, own_at, row_at
from tapeline.engine.records import (
    ANSWER,
    CANCEL,
    CANCEL_ALL,
    ENDED,
    NEVER,
    NEW,
    RESPONSE,
    RESTING,
    SMP_CANCEL_AGGRESSOR,
    SMP_REJECT,
)
from tapeline.engine.rules import find_take, mark_taken
from tapeline.engine.steps import journal_placed
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK, HALTED, is_matching, set_own_best, side_of
from tapeline.market.ladder import CELL, CELL_SIZE, LEVEL_NONE, cell_at, has_best, next_level, size_at
from tapeline.memory import address_of, record_at, unit

ACCEPTED, REJECTED, MODIFIED, MODIFY_REJECTED = (np.int64(u) for u in (Update.ACCEPTED, Update.REJECTED, Update.MODIFIED, Update.MODIFY_REJECTED))
CANCELLED, CANCEL_REJECTED, EXPIRED = np.int64(Update.CANCELLED), np.int64(Update.CANCEL_REJECTED), np.int64(Update.EXPIRED)
REQUESTED, UNKNOWN_ORDER, MODIFY_BELOW_FILLED = np.int64(Reason.REQUESTED), np.int64(Reason.UNKNOWN_ORDER), np.int64(Reason.MODIFY_BELOW_FILLED)
POST_ONLY_WOULD_TAKE, SELF_MATCH = np.int64(Reason.POST_ONLY_WOULD_TAKE), np.int64(Reason.SELF_MATCH)
IOC_REMAINDER, NO_LIQUIDITY, NO_REASON = np.int64(Reason.IOC_REMAINDER), np.int64(Reason.NO_LIQUIDITY), np.int64(Reason.NONE)
TAKING = np.int64(FillRule.TAKING)
MESSAGE_RATE = np.int64(Reason.MESSAGE_RATE)
REASON_HALTED, REASON_CLOSED = np.int64(Reason.HALTED), np.int64(Reason.CLOSED)
NO_QUEUE, EXACT = np.int64(QueueModel.NONE), np.int64(QueueModel.EXACT)
UNQUEUED, UNKNOWN_PLACE = np.int64(0), np.int64(-1)
"""Stamps of places in front of everything, and of those that an estimator guesses: no order of history has an earlier one, so none moves them."""
SPECIAL = ON_QUOTE | REDUCE_ONLY | STOP | (GTD | FOK) & ~IOC
"""Bits of instructions that few orders have."""


@leaf
def is_special(message):
    """Whether a request is none of those that nearly every strategy sends: new limit and market orders, their modifies and cancels."""
    return message.kind > CANCEL or message.instruction & SPECIAL != 0


@kernel
def is_refused(request):
    """Whether the exchange refuses a request as it arrives; a cancel may have a reason of its own."""
    return request.reason != NO_REASON and (request.kind != CANCEL or request.reason == MESSAGE_RATE)


@kernel
def reason_of(book):
    """Why a market that is halted or closed takes nothing."""
    return REASON_HALTED if book.phase == HALTED else REASON_CLOSED


@unit("let_in")
def let_in(engine):
    """The request engine.let_in_message takes its place at the exchange."""
    message = message_at(engine.let_in_message)
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    index = np.int64(message.node)
    node = node_at(engine, index)
    if message.kind == NEW:
        arrive(engine, book, index, message)
    elif is_refused(message) or node.order_id != message.order_id or node.venue_state == ENDED:
        refuse_request(engine, message)
    elif message.kind == CANCEL:
        close_order(engine, book, index, message.ts_event, CANCELLED, REQUESTED if message.reason == NO_REASON else np.int64(message.reason))
    else:
        modify(engine, book, index, message)
    return 0


@kernel
def refuse_request(engine, request):
    """A cancel or modify came too late, the order is no longer there; or it is refused for the reason it came with, and an order that lives is told of."""
    index = np.int64(request.node)
    node = node_at(engine, index)
    what = CANCEL_REJECTED if request.kind == CANCEL or request.kind == CANCEL_ALL else MODIFY_REJECTED
    reason = request.reason if is_refused(request) else UNKNOWN_ORDER
    if index != 0 and node.order_id == request.order_id and node.venue_state != ENDED:
        answer(engine, index, request.ts_event, what).reason = reason
        return
    row = row_at(engine, request.row)
    message = new_message(engine.agenda)
    message.order_id = request.order_id
    message.ts_event = request.ts_event
    message.price = UNDEFINED_PRICE
    message.size = 0
    message.size_left = 0
    message.ahead = -1
    message.node = request.node
    message.row = request.row
    message.instrument = request.instrument
    message.kind = ANSWER
    message.what = what
    message.reason = reason
    message.market_size = request.market_size  # a mass cancel's number
    message.side = request.side
    message.by_exchange = True
    row.last_response = response_time(engine, row, request.ts_event)
    push(engine.agenda, row.last_response, RESPONSE, message)


@kernel
def opposite_limit(level):
    """The worst level on the other side with which an order may trade."""
    return LEVEL_NONE if level == UNDEFINED_PRICE else -level


@kernel
def refusal(engine, book, node, level):
    """Why an order that arrives at a level (anew) may not: SELF_MATCH, POST_ONLY_WOULD_TAKE, or no reason."""
    other = side_of(book, 1 - node.side)
    limit = opposite_limit(level)
    if node.instruction & POST_ONLY and has_best(other) and other.best >= limit:
        return POST_ONLY_WOULD_TAKE
    if row_at(engine, node.row).self_match == SMP_REJECT and next_own_level(engine, node, np.int64(2**32), limit) != LEVEL_NONE:
        return SELF_MATCH
    return NO_REASON


@kernel
def rests(node):
    """Whether what is left of an order stays in the book."""
    return node.instruction & (MARKET | IOC) == 0  # IOC is in FOK, too


@kernel
def ahead_at_arrival(engine, book, node):
    """Queue ahead of an order that comes to rest now."""
    return size_at(side_of(book, node.side), node.level_accepted) if row_at(engine, node.row).queue else np.int64(0)


@kernel
def arrive(engine, book, index, request):
    """A new order."""
    node = node_at(engine, index)
    ts_event = request.ts_event
    node.ts_arrived = ts_event
    reason = request.reason if request.reason != NO_REASON else refusal(engine, book, node, node.level_accepted)
    if reason != NO_REASON:
        close_order(engine, book, index, ts_event, REJECTED, reason)
        return
    accept(engine, book, node, index, ts_event)
    execute(engine, book, index, ts_event)


@leaf
def accept(engine, book, node, index, ts_event):
    """A new order is accepted; its row is told, if it has ears for that."""
    row = row_at(engine, node.row)
    if row.hears:
        message = send_answer(engine, row, node, index, ts_event, ACCEPTED)
        describe(message, node)
        if rests(node):
            tell_place(engine, book, node, message)
    else:  # without this answer, which changes nothing that its row knows, a maker with sixteen features takes 0.93 to 0.97 of the time
        node.arrival = engine.arrivals
        row.last_response = response_time(engine, row, ts_event)


@leaf
def free_place(book, node):
    """The address of the cell where a limit order that arrives rests, if it meets nobody on the other side, of history or of ours, and that is in the window.

    So it is with nearly all: nothing is to be looked at then but the cell: no reason to refuse it, nothing to take, no room to be made. 0 otherwise.
    """
    if not rests(node):  # it may have no price
        return np.int64(0)
    ladder, other, level = side_of(book, node.side), side_of(book, 1 - node.side), node.level_accepted
    i = level - ladder.base
    is_free = (level + max(other.best, other.own_best) < 0) & (i > 0) & (i < ladder.width)
    return ladder.cells + i * CELL_SIZE if is_free else np.int64(0)


@leaf
def let_rest(engine, book, node, index, place, ts_event):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """A new order with a free_place, as let_in."""
    node.ts_arrived = ts_event
    accept(engine, book, node, index, ts_event)
    rest(engine, book, node, index, record_at(place, 0, CELL), ts_event)


@leaf
def finds_resting(request, node):
    """Whether a request is the cancel of an order that rests."""
    return (request.kind == CANCEL) & (node.order_id == request.order_id) & (node.venue_state == RESTING)


@leaf
def let_go(engine, book, node, index, request):
    """The cancel of an order that rests, as let_in. It says of which order, and when: it becomes the answer itself."""
    write_end(engine, book, node, index, request, CANCELLED, REQUESTED)


@leaf
def tell_place(engine, book, node, message):
    """An order gets a new place in a queue (if it is not filled at once), and an answer tells so."""
    message.ahead = ahead_at_arrival(engine, book, node)
    message.ahead_shown = message.ahead
    message.place = engine.arrivals
    node.arrival = engine.arrivals
    node.told_by = address_of(message)
    node.shown_due_last = -NEVER


@leaf
def set_level(book, node, level):
    """An order with a price gets another one."""
    node.level_accepted = level
    node.price = (level if node.side == 0 else -level) * book.grid


@kernel
def modify(engine, book, index, request):
    """A modify of a resting order: keeps its place when it only shrinks, else leaves its queue and arrives anew."""
    node = node_at(engine, index)
    left = request.size - node.filled
    if left <= 0:
        close_order(engine, book, index, request.ts_event, CANCELLED, MODIFY_BELOW_FILLED)
        return
    keeps = request.level == node.level_accepted and left <= node.left
    reason = NO_REASON if keeps else refusal(engine, book, node, request.level)
    if reason != NO_REASON:
        message = answer(engine, index, request.ts_event, MODIFY_REJECTED)
        message.reason = reason
        return
    if not keeps:
        leave_queue(engine, book, row_at(engine, node.row), node, index)
        set_level(book, node, request.level)
    node.size = request.size
    node.left = left
    message = answer(engine, index, request.ts_event, MODIFIED)
    if keeps:
        message.ahead = node.ahead
    else:
        tell_place(engine, book, node, message)
        execute(engine, book, index, request.ts_event)


@leaf
def execute(engine, book, index, ts_event):
    """An accepted order takes what it may; what is left rests or expires."""
    node = node_at(engine, index)
    if node.instruction & POST_ONLY == 0 and is_matching(book):  # a post-only order that might take was refused
        take(engine, book, index, ts_event)
        if node.venue_state == ENDED:
            return
    if node.instruction & REDUCE_ONLY and open_lots(engine, node) == 0:
        close_order(engine, book, index, ts_event, CANCELLED, NOTHING_TO_REDUCE)
        return
    if not rests(node):
        close_order(engine, book, index, ts_event, EXPIRED, NO_LIQUIDITY if node.instruction & MARKET else IOC_REMAINDER)
        return
    rest(engine, book, node, index, cell_at(side_of(book, node.side), node.level_accepted), ts_event)


@leaf
def rest(engine, book, node, index, cell, ts_event):  # noqa: PLR0913, PLR0917 - same
    """What is left of an order takes its place in a queue, in the cell of its level."""
    row = row_at(engine, node.row)
    level = node.level_accepted
    ladder = side_of(book, node.side)
    ahead = cell.size if row.queue else np.int64(0)
    node.level = level
    node.ahead = ahead
    if node.ahead_at_entry < 0:
        node.ahead_at_entry = ahead
    set_own_best(book, np.int64(node.side), max(ladder.own_best, level))
    node.priority = book.stamp if row.queue == EXACT else UNQUEUED if row.queue == NO_QUEUE else UNKNOWN_PLACE
    node.voided = 0
    node.venue_state = RESTING
    link(engine, cell, node, index)
    link_resting(engine, row, node, index)
    journal_placed(engine, index, ts_event)


@kernel
def next_own_level(engine, node, below, limit):
    """The row's best resting level on the other side, below a level and not below a limit; LEVEL_NONE if there is none."""
    index = first_in_line(account_of(engine, node), 1 - node.side)
    while index != 0 and node_at(engine, index).level >= below:
        index = np.int64(node_at(engine, index).line_next)
    return np.int64(node_at(engine, index).level) if index != 0 and node_at(engine, index).level >= limit else LEVEL_NONE


@kernel
def first_own(engine, ladder, level, row_index):
    """The row's first resting order at a level; 0 if there is none."""
    index = np.int64(own_at(ladder, level))
    while index != 0:
        node = node_at(engine, index)
        if node.order_id != 0 and node.row == row_index:
            return index
        index = np.int64(node.next)
    return np.int64(0)


@kernel
def take(engine, book, index, ts_event):
    """Rule 5: level by level from the other side's best to the limit, what is available; rule 9 where the order meets one of its own row."""
    node = node_at(engine, index)
    ladder = side_of(book, 1 - node.side)
    limit = opposite_limit(node.level_accepted)
    best = ladder.best if has_best(ladder) else LEVEL_NONE
    level = max(best, next_own_level(engine, node, np.int64(2**32), limit))
    while open_lots(engine, node) > 0 and level != LEVEL_NONE and level >= limit:
        take_level(engine, book, index, level, ts_event)
        if node.venue_state == ENDED:
            return
        level = max(next_level(ladder, level), next_own_level(engine, node, level, limit))


@kernel
def take_level(engine, book, index, level, ts_event):
    """Take at one level: in front of our own order there, if any; then, unless self-match prevention ends the order, the rest."""
    node = node_at(engine, index)
    ladder = side_of(book, 1 - node.side)
    available = available_at(engine, node, ladder, level)
    own = first_own(engine, ladder, level, node.row)
    if own != 0:
        in_front = min(available, node_at(engine, own).ahead)
        available -= max(take_lots(engine, book, index, level, ts_event, in_front), 0)
        if open_lots(engine, node) == 0:
            return
        if row_at(engine, node.row).self_match == SMP_CANCEL_AGGRESSOR:
            close_order(engine, book, index, ts_event, CANCELLED, SELF_MATCH)
            return
        while own != 0:
            close_order(engine, book, own, ts_event, CANCELLED, SELF_MATCH)
            own = first_own(engine, ladder, level, node.row)
    take_lots(engine, book, index, level, ts_event, available)


@kernel
def available_at(engine, node, ladder, level):
    """What an order may take at a level of the other side: what is displayed, but for what its row took before."""
    taken = find_take(engine, row_at(engine, node.row), node.instrument, 1 - node.side, level)
    return size_at(ladder, level) - (node_at(engine, taken).left if taken != 0 else np.int64(0))


@kernel
def take_lots(engine, book, index, level, ts_event, available):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """Take up to `available` lots at a level, and remember it; how many."""
    node = node_at(engine, index)
    side = 1 - node.side
    displayed = size_at(side_of(book, side), level)
    size = min(open_lots(engine, node), available)
    if size <= 0:
        return np.int64(0)
    message = fill_lots(engine, book, index, ts_event, size)
    message.price = (level if side == 0 else -level) * book.grid
    message.level = level
    message.rule = TAKING
    message.market_size = displayed
    if row_at(engine, node.row).consume:
        place = node_at(engine, 0)
        place.row = node.row
        place.side = side
        place.level = level
        place.instrument = node.instrument
        place.priority = book.stamp
        place.ahead = displayed
        mark_taken(engine, book, place, size)
    return size
