"""`orders` in callbacks: what a strategy asks the gateway for."""

from typing import Final, NamedTuple

import numpy as np

from tapeline.constants import GTC, MARKET, ON_QUOTE, POST_ONLY, REDUCE_ONLY, STOP, TIF_BITS, TIF_UNKNOWN, UNDEFINED_PRICE, Side
from tapeline.contract import NOT_WHOLE
from tapeline.errors import ConfigError
from tapeline.reference.gateway import Asked, Gateway
from tapeline.reference.market import checked_index

FLOATS: Final = (float, np.floating)


class OrderType(NamedTuple):
    """Bits of an order's instruction: those that users may set, and those that the type stands for."""

    allowed: int
    implied: int

    def instruction(self, asked: int) -> int:
        """The instruction of an order; TIF_UNKNOWN if a bit was asked for that is not for users."""
        return self.implied | (TIF_UNKNOWN if asked & ~self.allowed else asked)


LIMIT_ORDER: Final = OrderType(TIF_BITS | POST_ONLY | REDUCE_ONLY, 0)
MARKET_ORDER: Final = OrderType(TIF_BITS | REDUCE_ONLY, MARKET)
STOP_ORDER: Final = OrderType(TIF_BITS | ON_QUOTE | REDUCE_ONLY, STOP | MARKET)
STOP_LIMIT_ORDER: Final = OrderType(TIF_BITS | ON_QUOTE | REDUCE_ONLY, STOP)


def whole(number: int) -> int:
    """A number that is whole. Raises TypeError for a float."""
    if isinstance(number, FLOATS):
        raise TypeError(NOT_WHOLE)
    return int(number)


class Orders:
    """`orders` in callbacks: the gateway, for one instrument, or (index None) for what needs none."""

    def __init__(self, gateway: Gateway, index: int | None, instruments: int) -> None:
        """`instruments`: how many there are to index."""
        self._gateway = gateway
        self._index = index
        self._instruments = instruments

    def __getitem__(self, i: int) -> "Orders":
        """Those of the i-th instrument."""
        return Orders(self._gateway, checked_index(i, self._instruments), self._instruments)

    @property
    def now(self) -> int:
        """Local time."""
        return self._gateway.now()

    def buy(self, price: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send a limit order to buy; its id."""
        return self._new(LIMIT_ORDER, Asked(Side.BID, price, size, instruction, expires=expires))

    def sell(self, price: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send a limit order to sell; its id."""
        return self._new(LIMIT_ORDER, Asked(Side.ASK, price, size, instruction, expires=expires))

    def buy_market(self, size: int, instruction: int = GTC) -> int:
        """Send a market order to buy; its id."""
        return self._new(MARKET_ORDER, Asked(Side.BID, UNDEFINED_PRICE, size, instruction))

    def sell_market(self, size: int, instruction: int = GTC) -> int:
        """Send a market order to sell; its id."""
        return self._new(MARKET_ORDER, Asked(Side.ASK, UNDEFINED_PRICE, size, instruction))

    def buy_stop(self, stop: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send an order that becomes a market order to buy when the market reaches `stop`; its id."""
        return self._new(STOP_ORDER, Asked(Side.BID, UNDEFINED_PRICE, size, instruction, stop, expires))

    def sell_stop(self, stop: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send an order that becomes a market order to sell when the market reaches `stop`; its id."""
        return self._new(STOP_ORDER, Asked(Side.ASK, UNDEFINED_PRICE, size, instruction, stop, expires))

    def buy_stop_limit(self, stop: int, price: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send an order that becomes a limit order to buy when the market reaches `stop`; its id."""
        return self._new(STOP_LIMIT_ORDER, Asked(Side.BID, price, size, instruction, stop, expires))

    def sell_stop_limit(self, stop: int, price: int, size: int, instruction: int = GTC, expires: int = 0) -> int:
        """Send an order that becomes a limit order to sell when the market reaches `stop`; its id."""
        return self._new(STOP_LIMIT_ORDER, Asked(Side.ASK, price, size, instruction, stop, expires))

    def cancel(self, order_id: int) -> bool:
        """Ask for the end of an order; whether the request was sent."""
        return self._gateway.cancel(self._index or 0, whole(order_id))

    def modify(self, order_id: int, price: int, size: int) -> bool:
        """Ask for another price and total size; whether the request was sent."""
        return self._gateway.modify(self._index or 0, whole(order_id), whole(price), whole(size))

    def modify_stop(self, order_id: int, stop: int) -> bool:
        """Ask for another stop price; whether the request was sent."""
        return self._gateway.modify_stop(self._index or 0, whole(order_id), whole(stop))

    def cancel_all(self) -> int:
        """Ask for the end of all orders of the instrument, or of all instruments; how many that are."""
        indices = range(self._instruments) if self._index is None else (self._index,)
        return sum(self._gateway.cancel_all(index) for index in indices)

    def is_live(self, order_id: int) -> bool:
        """Whether it was sent and is not known to have ended."""
        return self._gateway.live(whole(order_id)) is not None

    def is_cancelling(self, order_id: int) -> bool:
        """Whether it is live and a cancel is under way."""
        ticket = self._gateway.live(whole(order_id))
        return ticket is not None and ticket.is_cancelling

    def price(self, order_id: int) -> int:
        """As last requested; 0 if it is not live."""
        ticket = self._gateway.live(whole(order_id))
        return 0 if ticket is None else ticket.price_requested

    def size_left(self, order_id: int) -> int:
        """Size as last accepted, or first sent, less the fills known; 0 if it is not live."""
        ticket = self._gateway.live(whole(order_id))
        return 0 if ticket is None else ticket.size - ticket.filled

    def ahead(self, order_id: int) -> int:
        """Displayed size in front, as the feed has shown it by now; -1 before the acknowledgement, 0 if it is not live."""
        ticket = self._gateway.live(whole(order_id))
        return 0 if ticket is None else ticket.place.ahead_at(self.now)

    def wake_at(self, time: int) -> None:
        """Call on_timer at a local time; replaces the timer set before."""
        self._gateway.wake_at(whole(time))

    def _instrument(self) -> int:
        if self._index is None:
            raise ConfigError("orders: choose the instrument first, as in orders[0].buy(…): the run has several")
        return self._index

    def _new(self, order_type: OrderType, asked: Asked) -> int:
        """Send an order as it was asked for. Raises TypeError where one of its numbers is no whole one."""
        price, size, stop, expires = whole(asked.price), whole(asked.size), whole(asked.stop), whole(asked.expires)
        order = Asked(asked.side, price, size, order_type.instruction(whole(asked.instruction)), stop, expires)
        return self._gateway.new(self._instrument(), order)
