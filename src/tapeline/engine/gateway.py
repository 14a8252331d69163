"""The gateway: what a strategy's `orders` is. It knows what was sent and what has been answered, and hands requests to the units that check and send them."""

from typing import Any, Final

import numpy as np
from numba import types
from numba.core.errors import TypingError

from tapeline.constants import GTC, MARKET, ON_QUOTE, POST_ONLY, REDUCE_ONLY, STOP, TIF_BITS, TIF_UNKNOWN, UNDEFINED_PRICE
from tapeline.contract import NOT_WHOLE
from tapeline.engine.agenda import new_message, push_far
from tapeline.engine.lists import TICKET, find_displaced
from tapeline.engine.records import ALARM, NODE, ROW, TIMER
from tapeline.engine.requests import BUY, SELL, Request, send_cancel, send_cancel_all, send_modify, send_modify_stop, send_new
from tapeline.engine.state import ENGINE
from tapeline.jit import kept, kernel, leaf
from tapeline.memory import address_of, compiled_as, copy, record_at, unlikely
from tapeline.record import Record, int64

OF_LIMIT, OF_STOP, OF_MARKET = TIF_BITS | POST_ONLY | REDUCE_ONLY, TIF_BITS | ON_QUOTE | REDUCE_ONLY, TIF_BITS | REDUCE_ONLY
"""Bits that users may set in the instructions of orders."""


def _whole(_context: Any, value: Any) -> Any:
    if isinstance(value, types.Float):
        raise TypingError(NOT_WHOLE)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], signature.args[0], signature.return_type)

    return types.int64(value), codegen


@compiled_as(_whole)
def whole(value: int) -> Any:
    """The same number, as int64. Of a float, which would be cut off without a word, TypeError; where it is compiled, that is said at once."""
    if isinstance(value, float | np.floating):
        raise TypeError(NOT_WHOLE)
    return np.int64(value)


class Gateway(Record):
    """What a strategy knows and does about its orders, whatever the instrument."""

    now: int64
    engine: int64  # addresses
    row: int64
    nodes: int64
    places: int64  # of the row
    mask: int64  # number of the last of them
    send_new: int64  # of the units
    send_cancel: int64
    send_modify: int64
    instrument: int64
    each: int64  # address of an Orders per instrument: what orders[i] is
    request: Request

    def cancel(self, order_id):
        """Ask for an order's cancellation; True if the request was sent. If not, `on_order` tells why."""
        self.request.order_id = whole(order_id)
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
        return own_ticket(self, order_id).order_id != 0

    def is_cancelling(self, order_id):
        """Live, with a cancel under way."""
        return own_ticket(self, order_id).cancelling != 0

    def price(self, order_id):
        """Price as last requested, 1e-9; 0 if the order is not live."""
        return own_ticket(self, order_id).price_requested

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
        set_timer(self, whole(time))


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
        """Send a market order to buy; its id. What finds no liquidity expires. `instruction`: IOC (as without), FOK, REDUCE_ONLY."""
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


@kept(kernel)
def set_request(orders, order_id, price, size):
    """What is asked for."""
    orders.request.order_id = whole(order_id)
    orders.request.price = whole(price)
    orders.request.size = whole(size)


@kept(kernel)
def set_extras(orders, stop, expires):
    """What few new orders have."""
    orders.request.stop = whole(stop)
    orders.request.expires = whole(expires)


@kept(kernel)
def instruction_of(asked, allowed, implied):
    """The instruction of an order: what was asked for, with the bits of its type; TIF_UNKNOWN if a bit was asked for that is not for users."""
    return implied | (TIF_UNKNOWN if asked & ~allowed else asked)


@kept(kernel)
def new_order(orders, side, price, size, instruction):
    """Ask for a new order; its id."""
    set_request(orders, 0, price, size)
    orders.request.side = side
    orders.request.instruction = instruction
    return send_new(record_at(address_of(orders), 0, GATEWAY))


@kept(kernel)
def choose_instrument(orders, index):
    """Orders of one instrument: as good as these until the callback ends."""
    if not 0 <= index < record_at(orders.engine, 0, ENGINE).instruments:
        raise IndexError("orders[i]: no such instrument")
    copy(orders.each + index * ORDERS_SIZE, address_of(orders), ORDERS_SIZE)
    chosen = record_at(orders.each, index, ORDERS)
    chosen.instrument = index
    return chosen


@leaf
def orders_of(engine, row):
    """The gateway, turned to a row, now."""
    orders = record_at(engine.gateway, 0, ORDERS)
    orders.now = engine.now
    turn_orders(orders, row)
    return orders


@leaf
def turn_orders(orders, row):
    """Turn the gateway to a row."""
    orders.row = address_of(row)
    orders.places = row.places
    orders.mask = row.mask


@kept(leaf)
def own_ticket(orders, order_id):
    """As find_ticket, of the row that the gateway is turned to."""
    ticket = record_at(orders.places, order_id & orders.mask, TICKET)
    if unlikely(ticket.order_id != order_id):
        return find_displaced(record_at(orders.row, 0, ROW), np.int64(order_id))
    return ticket


@kept(leaf)
def own_order(orders, order_id):
    """The node of a live order; an empty node if there is none."""
    return record_at(orders.nodes, np.int64(own_ticket(orders, order_id).index), NODE)


@kept(kernel)
def set_timer(orders, time):
    """One pending timer per row; the agenda is only told of an earlier time than it knows."""
    engine, row = record_at(orders.engine, 0, ENGINE), record_at(orders.row, 0, ROW)
    row.timer = time
    if row.timer_pending == 0 or time < row.timer_pending:
        row.timer_pending = time
        message = new_message(engine.agenda)
        message.kind = ALARM
        message.row = row.index
        push_far(engine.agenda, time, TIMER, message)
