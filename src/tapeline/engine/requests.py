"""Requests: checked at the gateway, refused there or sent on their way. The units behind what strategies call."""

import math

import numpy as np

from tapeline.constants import (
    FOK,
    GTC,
    GTD,
    IOC,
    LEVEL_MAX,
    MARKET,
    POST_ONLY,
    STOP,
    TIF_BITS,
    UNDEFINED_PRICE,
    Reason,
    Side,
    Update,
)
from tapeline.engine.account import ACCOUNT
from tapeline.engine.agenda import new_message, push
from tapeline.engine.latency import set_out
from tapeline.engine.lists import claim_node, find_node, find_ticket, ticket_at
from tapeline.engine.records import (
    ANSWER,
    ARRIVAL,
    AWAY,
    CANCEL,
    CANCEL_ALL,
    MODIFY,
    MODIFY_STOP,
    NEW,
    NODE,
    RESPONSE,
    ROW,
)
from tapeline.engine.state import ENGINE
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK
from tapeline.market.book import MARKET as MARKET_RECORD
from tapeline.memory import record_at, unit
from tapeline.record import Record, int64
from tapeline.tape.records import COUNTER

BUY, SELL = 0, 1
MESSAGE_RATE, NOTIONAL_LIMIT, ORDER_RATE_LIMIT = np.int64(Reason.MESSAGE_RATE), np.int64(Reason.NOTIONAL_LIMIT), np.int64(Reason.ORDER_RATE_LIMIT)
SECOND_NS = np.int64(1_000_000_000)
NO_REASON, SIZE, PRICE, INSTRUCTION = np.int64(Reason.NONE), np.int64(Reason.SIZE), np.int64(Reason.PRICE), np.int64(Reason.INSTRUCTION)
ORDER_SIZE_LIMIT, POSITION_LIMIT, ORDERS_LIVE_LIMIT = np.int64(Reason.ORDER_SIZE_LIMIT), np.int64(Reason.POSITION_LIMIT), np.int64(Reason.ORDERS_LIVE_LIMIT)
UNKNOWN_ORDER, CANCEL_PENDING = np.int64(Reason.UNKNOWN_ORDER), np.int64(Reason.CANCEL_PENDING)
REJECTED, MODIFY_REJECTED, CANCEL_REJECTED = np.int64(Update.REJECTED), np.int64(Update.MODIFY_REJECTED), np.int64(Update.CANCEL_REJECTED)
EXPIRY = np.int64(Reason.EXPIRY)


class Request(Record):
    """What is asked for, while it is checked."""

    order_id: int64
    side: int64
    price: int64
    level: int64
    size: int64
    instruction: int64
    stop: int64
    stop_level: int64
    expires: int64


@leaf
def level_of(book, side, price):
    """Level of an order price; UNDEFINED_PRICE if it is none.

    Divided as floats, and multiplied to see whether that was right: a division of integers takes longer, and to compare with the best price first, which most
    are at, mispredicts a third of them.
    """
    grid = book.grid
    ticks = price / grid
    if abs(ticks) < LEVEL_MAX and book.market.tick == grid:
        tick = np.int64(math.floor(ticks + 0.5))
        if tick * grid == price:
            return tick if side == BUY else -tick
    return level_of_any(book, side, price)


@kernel
def level_of_any(book, side, price):
    """As level_of."""
    grid = book.grid
    tick = price // grid
    off_tick = tick * grid != price if book.market.tick == grid else price % book.market.tick != 0  # one division, not two
    if off_tick or tick > LEVEL_MAX or tick < -LEVEL_MAX:
        return np.int64(UNDEFINED_PRICE)
    return tick if side == BUY else -tick


@kernel
def makes_sense(instruction):
    """Whether an instruction has a known time in force, and one that goes with its other bits."""
    tif = instruction & TIF_BITS
    if instruction & MARKET and instruction & STOP == 0:
        return tif == GTC or tif == IOC or tif == FOK
    is_known = tif <= GTD
    return is_known and (tif & IOC == 0 or instruction & (POST_ONLY | MARKET) == 0)  # a stop that becomes a market order has it while it waits


@kernel
def check_terms(orders, instrument):
    """Whether what is asked for makes sense; its prices become levels. A Reason."""
    request = orders.request
    book = record_at(record_at(orders.engine, 0, ENGINE).books, instrument, BOOK)
    instruction = request.instruction
    if request.size <= 0:
        return SIZE
    request.stop_level = UNDEFINED_PRICE
    if (instruction & ~POST_ONLY) | request.expires == 0:  # as nearly all are
        request.level = level_of(book, request.side, request.price)
        return PRICE if request.level == UNDEFINED_PRICE else NO_REASON
    return check_other_terms(orders, book)


@kernel
def check_other_terms(orders, book):
    """As check_terms, for orders that are not good till cancelled, have no price, or a stop."""
    request = orders.request
    instruction = request.instruction
    request.level = UNDEFINED_PRICE
    if instruction & MARKET == 0:
        request.level = level_of(book, request.side, request.price)
        if request.level == UNDEFINED_PRICE:
            return PRICE
    if instruction & STOP:
        request.stop_level = level_of(book, request.side, request.stop)
        if request.stop_level == UNDEFINED_PRICE:
            return PRICE
    if not makes_sense(instruction):
        return INSTRUCTION
    if request.expires <= orders.now if instruction & TIF_BITS == GTD else request.expires != 0:
        return EXPIRY
    return NO_REASON


@kernel
def check(orders, instrument, account, extra):
    """The gateway's checks of a request for `extra` more open lots, in the order in which they are documented: a Reason."""
    request, row = orders.request, record_at(orders.row, 0, ROW)
    reason = check_terms(orders, instrument)
    if reason != NO_REASON:
        return reason
    if request.size > row.order_size_max:
        return ORDER_SIZE_LIMIT
    return check_position(row, account, request, extra)


@kernel
def check_position(row, account, request, extra):
    """The checks of the position that may come about: a Reason."""
    bought, sold = account.position + account.open_buy, account.open_sell - account.position
    reach = bought if request.side == BUY else sold
    if reach > row.position_max - extra:  # the sum might not fit into 64 bits
        return POSITION_LIMIT
    if row.notional_max < math.inf and exceeds_notional(row, account, request.level, reach + extra):
        return NOTIONAL_LIMIT
    return NO_REASON


@kernel
def exceeds_notional(row, account, level, lots):
    """Whether a position of so many lots would be worth too much, at a level or (a market order) at the mark. What cannot be valued is too much."""
    half_ticks = 2 * level
    if level == UNDEFINED_PRICE:
        market = record_at(account.market, 0, MARKET_RECORD)
        if not market.has_mark:
            return True
        half_ticks = market.mark
    return np.float64(lots) * np.float64(abs(half_ticks)) * 0.5 * account.tick_value > row.notional_max


@kernel
def rate_is_reached(row, now):
    """Whether one more new order or modify would be too many in a second."""
    return row.rate_max != 0 and row.rate_n >= row.rate_max and now < record_at(row.rate_times, row.rate_n % row.rate_max, COUNTER).n + SECOND_NS


@kernel
def count_order(row, now):
    """A new order or modify sets out."""
    if row.rate_max != 0:
        record_at(row.rate_times, row.rate_n % row.rate_max, COUNTER).n = now
        row.rate_n += 1


@kernel
def refuse(orders, instrument, what, reason):
    """Answer a request at once, after the callback."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    message = new_message(engine.agenda)
    message.order_id = request.order_id
    message.ts_event = orders.now
    index = find_node(row, request.order_id)
    node = record_at(engine.nodes, index, NODE)
    message.price = node.price_known if index != 0 else request.price if what == REJECTED else np.int64(UNDEFINED_PRICE)
    message.size = node.size_known if index != 0 else request.size if what == REJECTED else np.int64(0)
    message.size_left = node.size_known - node.filled_known if index != 0 else np.int64(0)
    message.ahead = -1
    message.node = index
    message.row = row.index
    message.instrument = instrument
    message.level = request.stop
    message.kind = ANSWER
    message.what = what
    message.reason = reason
    message.side = Side.BID if request.side == BUY else Side.ASK
    message.instruction = request.instruction
    message.by_exchange = False
    push(engine.agenda, orders.now, RESPONSE, message)


@kernel
def send(orders, kind, index, latency, reason):
    """A request about an order sets out, for a reason or none."""
    engine, row = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW)
    node = record_at(engine.nodes, index, NODE)
    message = send_off(engine, row, index, orders.request.order_id, np.int64(node.instrument), kind, orders.now, latency, reason)
    message.side = Side.BID if orders.request.side == BUY else Side.ASK
    message.instruction = node.instruction
    return message


@leaf
def send_off(engine, row, index, order_id, instrument, kind, now, latency, reason):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """As send, without side and instruction. Requests of a row never overtake each other."""
    message = new_message(engine.agenda)
    message.reason = reason
    if row.ways == 0:
        arrival = max(row.last_arrival, now + latency)
    else:
        engine.travel_exempt = reason != NO_REASON
        arrival = set_out(engine, row, (MODIFY if kind == MODIFY_STOP else CANCEL if kind == CANCEL_ALL else kind) - NEW, now)
        if engine.travel_refused:
            message.reason = MESSAGE_RATE
    row.last_arrival = arrival
    message.order_id = order_id
    message.ts_event = arrival
    message.node = index
    message.row = row.index
    message.instrument = instrument
    message.kind = kind
    push(engine.agenda, arrival, ARRIVAL, message)
    return message


@unit("send_new")
def send_new(orders):
    """The new order orders.request: checked, then sent or refused; its id."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    account = record_at(row.accounts, orders.instrument, ACCOUNT)
    order_id, side, size, price, now, instrument = row.last_id + 1, request.side, request.size, request.price, orders.now, orders.instrument
    instruction = np.uint8(request.instruction)
    reason = check(orders, instrument, account, size)  # before anything is written, so that nothing is read twice
    if reason == NO_REASON and row.live >= row.orders_live_max:
        reason = ORDERS_LIVE_LIMIT
    if reason == NO_REASON and rate_is_reached(row, now):
        reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        row.last_id = request.order_id = order_id
        refuse(orders, instrument, REJECTED, reason)
        return order_id
    count_order(row, now)
    row.last_id = order_id
    index = claim_node(engine, row, order_id, price)
    node = record_at(engine.nodes, index, NODE)
    node.order_id = order_id
    node.row = row.index
    node.instrument = instrument
    node.side = side
    node.instruction = instruction
    node.left = node.size = node.size_known = node.exposure = size
    node.price = node.price_known = price
    node.level_accepted = request.level
    node.stop = request.stop_level
    node.expires = request.expires
    node.ts_sent = now
    node.ts_arrived = node.ahead = node.ahead_shown = node.ahead_at_entry = node.ts_triggered = -1
    node.filled = 0
    node.venue_state = AWAY
    node.triggered = node.voided = 0
    node.filled_known = node.place_known = node.modifies_pending = node.gaps = node.modifies = node.refused = node.arrival = 0
    row.live += 1
    add_exposure(account, side, size)
    send_off(engine, row, index, order_id, instrument, NEW, now, row.latency_entry, NO_REASON).instruction = instruction
    return order_id


@kernel
def add_exposure(account, side, size):
    """More (or less) lots may come to be filled."""
    if side == BUY:
        account.open_buy += size
    else:
        account.open_sell += size


@unit("send_cancel")
def send_cancel(orders):
    """The cancel of orders.request.order_id: sent (1), or refused at once (0)."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    ticket = find_ticket(row, request.order_id)
    index = np.int64(ticket.index)
    node = record_at(engine.nodes, index, NODE)
    request.side = node.side
    if index == 0 or ticket.cancelling:
        request.instruction = node.instruction
        instrument = np.int64(node.instrument) if index != 0 else orders.instrument
        refuse(orders, instrument, CANCEL_REJECTED, UNKNOWN_ORDER if index == 0 else CANCEL_PENDING)
        return 0
    ticket.cancelling = 1
    send(orders, CANCEL, index, row.latency_cancel, NO_REASON)
    return 1


@unit("send_modify")
def send_modify(orders):
    """The modify orders.request: sent (1), or refused at once (0). While it is under way the larger size counts as open."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    ticket = find_ticket(row, request.order_id)
    index = np.int64(ticket.index)
    node = record_at(engine.nodes, index, NODE)
    request.side = node.side
    request.instruction = GTC  # a modify has a price, even of a market order
    request.expires = 0
    reason = UNKNOWN_ORDER
    exposure = np.int64(0)
    instrument = np.int64(node.instrument) if index != 0 else orders.instrument
    account = record_at(row.accounts, instrument, ACCOUNT)
    if index != 0:
        exposure = max(node.exposure, request.size - node.filled_known)
        reason = CANCEL_PENDING if ticket.cancelling else check(orders, instrument, account, exposure - node.exposure)
        if reason == NO_REASON and rate_is_reached(row, orders.now):
            reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        refuse(orders, instrument, MODIFY_REJECTED, reason)
        return 0
    add_exposure(account, node.side, exposure - node.exposure)
    node.exposure = exposure
    ticket.price_requested = request.price
    node.modifies_pending += 1
    count_order(row, orders.now)
    message = send(orders, MODIFY, index, row.latency_modify, NO_REASON)
    message.level = request.level
    message.size = request.size
    return 1


@kernel
def send_modify_stop(orders):
    """The stop price orders.request.price for a stop that waits: sent (1), or refused at once (0)."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    ticket = find_ticket(row, request.order_id)
    index = np.int64(ticket.index)
    node = record_at(engine.nodes, index, NODE)
    reason = UNKNOWN_ORDER
    instrument = np.int64(node.instrument) if index != 0 else orders.instrument
    request.side = node.side
    if index != 0:
        request.level = level_of(record_at(engine.books, instrument, BOOK), request.side, request.price)
        not_allowed = PRICE if request.level == UNDEFINED_PRICE else INSTRUCTION if node.instruction & STOP == 0 else NO_REASON
        reason = CANCEL_PENDING if ticket.cancelling else not_allowed
    if reason == NO_REASON and rate_is_reached(row, orders.now):
        reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        refuse(orders, instrument, MODIFY_REJECTED, reason)
        return 0
    node.modifies_pending += 1
    count_order(row, orders.now)
    send(orders, MODIFY_STOP, index, row.latency_modify, NO_REASON).level = request.level
    return 1


@kernel
def send_cancel_all(orders, instrument):
    """One request for the end of a row's live orders in an instrument; how many there are that no cancel is under way for."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    n = 0
    number = max(row.mass_cancels, 1) + 1
    for place in range(row.mask + 1):
        ticket = ticket_at(row, place)
        if ticket.index != 0 and record_at(engine.nodes, np.int64(ticket.index), NODE).instrument == instrument and not ticket.cancelling:
            ticket.cancelling = number
            n += 1
    if n > 0:
        row.mass_cancels = number
        request.order_id = 0
        message = send(orders, CANCEL_ALL, np.int64(0), row.latency_cancel, NO_REASON)
        message.instrument = instrument
        message.market_size = number
    return n
