"""The gateway: what a strategy's `orders` is. It checks requests, sends them on their way, and knows what has been answered."""

import math
from typing import Final

import numpy as np

from tapeline.constants import (
    FOK,
    GTC,
    GTD,
    IOC,
    LEVEL_MAX,
    MARKET,
    ON_QUOTE,
    POST_ONLY,
    REDUCE_ONLY,
    STOP,
    TIF_BITS,
    TIF_UNKNOWN,
    UNDEFINED_PRICE,
    Reason,
    Side,
    Update,
)
from tapeline.engine.account import ACCOUNT
from tapeline.engine.agenda import new_message, push
from tapeline.engine.latency import set_out
from tapeline.engine.lists import claim_node, find_node
from tapeline.engine.records import (
    ALARM,
    ANSWER,
    ARRIVAL,
    AWAY,
    CANCEL,
    CANCEL_ALL,
    ENGINE,
    FREE,
    MESSAGE,
    MODIFY,
    MODIFY_STOP,
    NEW,
    NODE,
    RESPONSE,
    ROW,
    SENT,
    TIMER,
)
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK
from tapeline.market.book import MARKET as MARKET_RECORD
from tapeline.memory import address_of, copy, record_at, unit
from tapeline.record import Record, int64
from tapeline.tape.normalise import COUNTER

BUY, SELL = 0, 1
MESSAGE_RATE, NOTIONAL_LIMIT, ORDER_RATE_LIMIT = np.int64(Reason.MESSAGE_RATE), np.int64(Reason.NOTIONAL_LIMIT), np.int64(Reason.ORDER_RATE_LIMIT)
SECOND_NS = np.int64(1_000_000_000)
NO_REASON, SIZE, PRICE, INSTRUCTION = np.int64(Reason.NONE), np.int64(Reason.SIZE), np.int64(Reason.PRICE), np.int64(Reason.INSTRUCTION)
ORDER_SIZE_LIMIT, POSITION_LIMIT, ORDERS_LIVE_LIMIT = np.int64(Reason.ORDER_SIZE_LIMIT), np.int64(Reason.POSITION_LIMIT), np.int64(Reason.ORDERS_LIVE_LIMIT)
UNKNOWN_ORDER, CANCEL_PENDING = np.int64(Reason.UNKNOWN_ORDER), np.int64(Reason.CANCEL_PENDING)
REJECTED, MODIFY_REJECTED, CANCEL_REJECTED = np.int64(Update.REJECTED), np.int64(Update.MODIFY_REJECTED), np.int64(Update.CANCEL_REJECTED)
EXPIRY = np.int64(Reason.EXPIRY)
OF_LIMIT, OF_STOP, OF_MARKET = TIF_BITS | POST_ONLY | REDUCE_ONLY, TIF_BITS | ON_QUOTE | REDUCE_ONLY, TIF_BITS | REDUCE_ONLY
"""Bits that users may set in the instructions of orders."""


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


REQUEST = Request.dtype_


class Gateway(Record):
    """What a strategy knows and does about its orders, whatever the instrument."""

    now: int64
    engine: int64  # addresses
    row: int64
    nodes: int64  # of the row's own nodes
    mask: int64  # their number less one
    send_new: int64  # of the units
    send_cancel: int64
    send_modify: int64
    instrument: int64
    each: int64  # address of an Orders per instrument: what orders[i] is
    request: Request

    def cancel(self, order_id):
        """Ask for an order's cancellation; True if the request was sent. If not, `on_order` tells why."""
        self.request.order_id = order_id
        return send_cancel(record_at(address_of(self), 0, GATEWAY)) != 0

    def modify(self, order_id, price, size):
        """Ask for a new price (1e-9) and total size (FIX tag 38: fills included); True if the request was sent. If not, `on_order` tells why."""
        set_request(self, order_id, price, size)
        return send_modify(record_at(address_of(self), 0, GATEWAY)) != 0

    def modify_stop(self, order_id, stop):
        """Ask for a new stop price (1e-9) of an order that waits; True if the request was sent. If not, `on_order` tells why."""
        set_request(self, order_id, stop, 0)
        return send_modify_stop(record_at(address_of(self), 0, GATEWAY)) != 0

    def is_live(self, order_id):
        """Sent, and not known to have ended."""
        return own_order(self, order_id).order_id != 0

    def is_cancelling(self, order_id):
        """Live, with a cancel under way."""
        return own_order(self, order_id).cancelling != 0

    def price(self, order_id):
        """Price as last requested, 1e-9; 0 if the order is not live."""
        node = own_order(self, order_id)
        if node.order_id == 0:
            return np.int64(0)
        return node.price_requested

    def size_left(self, order_id):
        """Lots not known to be filled; 0 if the order is not live."""
        node = own_order(self, order_id)
        return node.size_known - node.filled_known

    def ahead(self, order_id):
        """Displayed size in front of the order as the feed has shown it by now; -1 before it is acknowledged, 0 if it is not live."""
        return own_order(self, order_id).ahead_shown

    def wake_at(self, time):
        """Call `on_timer` at a local time, in place of any time asked for before. Raises ValueError if it is not in the future."""
        if time <= self.now:
            raise ValueError("orders.wake_at(time): the time has to lie after orders.now")
        set_timer(self, time)


class Orders(Gateway):
    """`orders` of a run with one instrument, and `orders[i]` of one with several."""

    def buy(self, price, size, instruction=GTC, expires=0):
        """Send a limit order to buy `size` lots at `price` (1e-9); its id. `instruction`: GTC, IOC, FOK, GTD (`expires`: when), POST_ONLY, REDUCE_ONLY."""
        set_extras(self, UNDEFINED_PRICE, expires)
        return new_order(self, BUY, price, size, instruction_of(instruction, OF_LIMIT, 0))

    def sell(self, price, size, instruction=GTC, expires=0):
        """Send a limit order to sell `size` lots at `price` (1e-9); its id."""
        set_extras(self, UNDEFINED_PRICE, expires)
        return new_order(self, SELL, price, size, instruction_of(instruction, OF_LIMIT, 0))

    def buy_market(self, size, instruction=GTC):
        """Send a market order to buy; its id. What finds no liquidity expires. `instruction`: FOK, REDUCE_ONLY."""
        set_extras(self, UNDEFINED_PRICE, 0)
        return new_order(self, BUY, UNDEFINED_PRICE, size, instruction_of(instruction, OF_MARKET, MARKET))

    def sell_market(self, size, instruction=GTC):
        """Send a market order to sell; its id."""
        set_extras(self, UNDEFINED_PRICE, 0)
        return new_order(self, SELL, UNDEFINED_PRICE, size, instruction_of(instruction, OF_MARKET, MARKET))

    def buy_stop(self, stop, size, instruction=GTC, expires=0):
        """Send an order that becomes a market order to buy when the last trade (ON_QUOTE: the best ask) is at `stop` or above; its id."""
        set_extras(self, stop, expires)
        return new_order(self, BUY, UNDEFINED_PRICE, size, instruction_of(instruction, OF_STOP, STOP | MARKET))

    def sell_stop(self, stop, size, instruction=GTC, expires=0):
        """Send an order that becomes a market order to sell when the last trade (ON_QUOTE: the best bid) is at `stop` or below; its id."""
        set_extras(self, stop, expires)
        return new_order(self, SELL, UNDEFINED_PRICE, size, instruction_of(instruction, OF_STOP, STOP | MARKET))

    def buy_stop_limit(self, stop, price, size, instruction=GTC, expires=0):
        """As buy_stop, but it becomes a limit order at `price`."""
        set_extras(self, stop, expires)
        return new_order(self, BUY, price, size, instruction_of(instruction, OF_STOP, STOP))

    def sell_stop_limit(self, stop, price, size, instruction=GTC, expires=0):
        """As sell_stop, but it becomes a limit order at `price`."""
        set_extras(self, stop, expires)
        return new_order(self, SELL, price, size, instruction_of(instruction, OF_STOP, STOP))

    def cancel_all(self):
        """Ask, in one request, for the end of the instrument's orders that are live and not being cancelled; how many."""
        return send_cancel_all(record_at(address_of(self), 0, GATEWAY), self.instrument)

    def __getitem__(self, index):
        """The only instrument's orders, for strategies that index."""
        if index != 0:
            raise IndexError("orders[i]: there is one instrument in this run")
        return self


class OrdersByInstrument(Gateway):
    """`orders` of a run with several instruments: `orders[i].buy(…)`."""

    def __getitem__(self, index):
        """Orders for instrument `index`. Raises IndexError outside the instruments seen so far."""
        return choose_instrument(self, index)

    def cancel_all(self):
        """Ask, in one request per instrument, for the end of all orders that are live and not being cancelled; how many."""
        n = 0
        for instrument in range(record_at(self.engine, 0, ENGINE).instruments):
            n += send_cancel_all(record_at(address_of(self), 0, GATEWAY), instrument)
        return n


GATEWAY, ORDERS, ORDERS_BY_INSTRUMENT = Gateway.dtype_, Orders.dtype_, OrdersByInstrument.dtype_
ORDERS_SIZE: Final = ORDERS.itemsize


@kernel
def set_request(orders, order_id, price, size):
    """What is asked for."""
    orders.request.order_id = order_id
    orders.request.price = price
    orders.request.size = size


@kernel
def set_extras(orders, stop, expires):
    """What few new orders have."""
    orders.request.stop = stop
    orders.request.expires = expires


@kernel
def instruction_of(asked, allowed, implied):
    """The instruction of an order: what was asked for, with the bits of its type; TIF_UNKNOWN if a bit was asked for that is not for users."""
    return implied | (TIF_UNKNOWN if asked & ~allowed else asked)


@kernel
def new_order(orders, side, price, size, instruction):
    """Ask for a new order; its id."""
    set_request(orders, 0, price, size)
    orders.request.side = side
    orders.request.instruction = instruction
    return send_new(record_at(address_of(orders), 0, GATEWAY))


@kernel
def choose_instrument(orders, index):
    """Orders of one instrument: as good as these until the callback ends."""
    if not 0 <= index < record_at(orders.engine, 0, ENGINE).instruments:
        raise IndexError("orders[i]: no such instrument")
    copy(orders.each + index * ORDERS_SIZE, address_of(orders), ORDERS_SIZE)
    chosen = record_at(orders.each, index, ORDERS)
    chosen.instrument = index
    return chosen


@leaf
def own_order(orders, order_id):
    """The node of a live order; an empty node if there is none. Nearly always it is where the id says."""
    node = record_at(orders.nodes, np.int64(order_id) & orders.mask, NODE)
    if order_id > 0 and node.order_id == order_id:
        return node
    return displaced_order(orders, np.int64(order_id))


@kernel
def displaced_order(orders, order_id):
    """As own_order, for ids that had to make way, and those of orders that are not live."""
    engine = record_at(orders.engine, 0, ENGINE)
    index = find_node(engine, record_at(orders.row, 0, ROW), order_id)
    return record_at(engine.nodes, index if index != 0 else engine.takes_first - 1, NODE)


@kernel
def set_timer(orders, time):
    """One pending timer per row; the agenda is only told of an earlier time than it knows."""
    engine, row = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW)
    row.timer = time
    if row.timer_pending == 0 or time < row.timer_pending:
        row.timer_pending = time
        place = new_message(engine.agenda)
        message = record_at(engine.agenda.messages, place, MESSAGE)
        message.kind = ALARM
        message.row = row.index
        push(engine.agenda, time, TIMER, place)


@kernel
def level_of(book, side, price):
    """Level of an order price; UNDEFINED_PRICE if it is none."""
    tick = price // book.grid
    if price % book.market.tick != 0 or tick > LEVEL_MAX or tick < -LEVEL_MAX:
        return np.int64(UNDEFINED_PRICE)
    return tick if side == BUY else -tick


@kernel
def makes_sense(instruction):
    """Whether an instruction has a known time in force, and one that goes with its other bits."""
    tif = instruction & TIF_BITS
    if instruction & MARKET and instruction & STOP == 0:
        return tif == GTC or tif == FOK
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
    request.level = request.stop_level = UNDEFINED_PRICE
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
    reach = account.position + account.open_buy if request.side == BUY else account.open_sell - account.position
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
    place = new_message(engine.agenda)
    message = record_at(engine.agenda.messages, place, MESSAGE)
    message.order_id = request.order_id
    message.ts_event = orders.now
    index = find_node(engine, row, request.order_id)
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
    push(engine.agenda, orders.now, RESPONSE, place)


@kernel
def send(orders, kind, index, latency, reason):
    """A request sets out, for a reason or none; requests of a row never overtake each other."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    place = new_message(engine.agenda)
    message = record_at(engine.agenda.messages, place, MESSAGE)
    if row.ways == 0:
        row.last_arrival = max(row.last_arrival, orders.now + latency)
    else:
        engine.travel_exempt = reason != NO_REASON
        row.last_arrival = set_out(engine, row, (MODIFY if kind == MODIFY_STOP else CANCEL if kind == CANCEL_ALL else kind) - NEW, orders.now)
        reason = MESSAGE_RATE if engine.travel_refused else reason
    message.reason = reason
    message.order_id = request.order_id
    message.ts_event = row.last_arrival
    message.price = request.price
    message.size = request.size
    message.level = request.level
    message.node = index
    message.row = row.index
    message.instrument = record_at(engine.nodes, index, NODE).instrument
    message.kind = kind
    message.side = Side.BID if request.side == BUY else Side.ASK
    message.instruction = record_at(engine.nodes, index, NODE).instruction
    push(engine.agenda, row.last_arrival, ARRIVAL, place)
    return message


@unit("send_new")
def send_new(orders):
    """The new order orders.request: checked, then sent or refused; its id."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    account = record_at(row.accounts, orders.instrument, ACCOUNT)
    row.last_id += 1
    request.order_id = row.last_id
    side = request.side
    reason = check(orders, orders.instrument, account, request.size)
    if reason == NO_REASON and row.live >= row.orders_live_max:
        reason = ORDERS_LIVE_LIMIT
    if reason == NO_REASON and rate_is_reached(row, orders.now):
        reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        refuse(orders, orders.instrument, REJECTED, reason)
        return request.order_id
    index = claim_node(engine, row, request.order_id)
    node = record_at(engine.nodes, index, NODE)
    node.order_id = request.order_id
    node.row = row.index
    node.instrument = orders.instrument
    node.side = side
    node.instruction = request.instruction
    node.venue_state = AWAY
    node.local_state = SENT
    node.left = node.size = node.size_known = node.exposure = request.size
    node.filled = node.filled_known = 0
    node.level_accepted = request.level
    node.price_requested = node.price_known = request.price
    node.stop = request.stop_level
    node.expires = request.expires
    node.ts_triggered = -1
    node.triggered = node.voided = 0
    node.gaps = 0
    node.ts_sent = orders.now
    node.ts_arrived = node.ts_ended = node.ahead = node.ahead_at_entry = node.ahead_shown = -1
    node.modifies = node.modifies_pending = node.refused = 0
    node.arrival = node.place_known = 0
    node.cancelling = 0
    row.live += 1
    add_exposure(account, side, request.size)
    count_order(row, orders.now)
    send(orders, NEW, index, row.latency_entry, NO_REASON)
    return request.order_id


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
    index = find_node(engine, row, request.order_id)
    node = record_at(engine.nodes, index, NODE)
    request.side = node.side
    request.instruction = node.instruction
    if index == 0 or node.cancelling:
        instrument = np.int64(node.instrument) if index != 0 else orders.instrument
        refuse(orders, instrument, CANCEL_REJECTED, UNKNOWN_ORDER if index == 0 else CANCEL_PENDING)
        return 0
    node.cancelling = 1
    send(orders, CANCEL, index, row.latency_cancel, NO_REASON)
    return 1


@unit("send_modify")
def send_modify(orders):
    """The modify orders.request: sent (1), or refused at once (0). While it is under way the larger size counts as open."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    index = find_node(engine, row, request.order_id)
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
        reason = CANCEL_PENDING if node.cancelling else check(orders, instrument, account, exposure - node.exposure)
        if reason == NO_REASON and rate_is_reached(row, orders.now):
            reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        refuse(orders, instrument, MODIFY_REJECTED, reason)
        return 0
    add_exposure(account, node.side, exposure - node.exposure)
    node.exposure = exposure
    node.price_requested = request.price
    node.modifies_pending += 1
    count_order(row, orders.now)
    send(orders, MODIFY, index, row.latency_modify, NO_REASON)
    return 1


@kernel
def send_modify_stop(orders):
    """The stop price orders.request.price for a stop that waits: sent (1), or refused at once (0)."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    index = find_node(engine, row, request.order_id)
    node = record_at(engine.nodes, index, NODE)
    reason = UNKNOWN_ORDER
    instrument = np.int64(node.instrument) if index != 0 else orders.instrument
    request.side = node.side
    if index != 0:
        request.level = level_of(record_at(engine.books, instrument, BOOK), request.side, request.price)
        not_allowed = PRICE if request.level == UNDEFINED_PRICE else INSTRUCTION if node.instruction & STOP == 0 else NO_REASON
        reason = CANCEL_PENDING if node.cancelling else not_allowed
    if reason == NO_REASON and rate_is_reached(row, orders.now):
        reason = ORDER_RATE_LIMIT
    if reason != NO_REASON:
        refuse(orders, instrument, MODIFY_REJECTED, reason)
        return 0
    node.modifies_pending += 1
    count_order(row, orders.now)
    send(orders, MODIFY_STOP, index, row.latency_modify, NO_REASON)
    return 1


@kernel
def send_cancel_all(orders, instrument):
    """One request for the end of a row's live orders in an instrument; how many there are that no cancel is under way for."""
    engine, row, request = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW), orders.request
    n = 0
    for index in range(row.first_node, row.first_node + row.capacity):
        node = record_at(engine.nodes, index, NODE)
        if node.order_id != 0 and node.local_state != FREE and node.instrument == instrument and not node.cancelling:
            node.cancelling = 1
            n += 1
    if n > 0:
        request.order_id = 0
        send(orders, CANCEL_ALL, np.int64(0), row.latency_cancel, NO_REASON).instrument = instrument
    return n
