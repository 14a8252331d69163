"""The gateway: it checks what a strategy sends, and knows of each order what was sent and what was answered, no more."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tapeline.config import Limits, Venue
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
    Status,
    TimeInForce,
    Update,
)
from tapeline.instruments import Instrument
from tapeline.reference.account import Account
from tapeline.reference.book import MARKET_LEVEL
from tapeline.reference.limits import Rate, exceeds_notional
from tapeline.reference.messages import NOWHERE, Ask, FillReport, OrderUpdate, Place, Request
from tapeline.reference.venue import Answer

END_STATUS: Final = {Update.REJECTED: Status.REJECTED, Update.CANCELLED: Status.CANCELLED, Update.EXPIRED: Status.EXPIRED}


class Line(Protocol):
    """What the gateway is connected to."""

    def now(self) -> int:
        """Local time."""

    def send(self, request: Request) -> None:
        """Send a request to the exchange."""

    def refuse(self, update: OrderUpdate) -> None:
        """Answer at once, after the callback."""

    def wake_at(self, time: int) -> None:
        """Set the row's timer."""


@dataclass(slots=True, frozen=True)
class Asked:
    """A new order, as the strategy asks for it. Prices in 1e-9, UNDEFINED_PRICE where the order has none."""

    side: Side
    price: int
    size: int
    instruction: int
    stop: int = UNDEFINED_PRICE
    expires: int = 0


@dataclass(slots=True, eq=False)
class Ticket:
    """What the row knows of one of its orders. Prices in 1e-9; `price` and `size` as last accepted, or first sent."""

    order_id: int
    instrument: int
    side: int
    price: int
    size: int
    instruction: int
    ts_sent: int
    stop: int
    """As first sent; UNDEFINED_PRICE for orders that are no stops."""
    price_requested: int
    size_counted: int
    """For limits: the greatest of the size accepted and those asked for since no modify was pending."""
    modifies_pending: int = 0
    is_live: bool = True
    is_cancelling: bool = False
    mass_cancel: int = 0
    """Number of the CANCEL_ALL that is under way for it; 0 where a cancel of its own is."""
    filled: int = 0
    place: Place = NOWHERE
    status: int = int(Status.IN_FLIGHT)
    reason: int = int(Reason.NONE)
    ts_end_local: int = -1
    modifies: int = 0
    requests_refused: int = 0

    def learn(self, update: OrderUpdate, now: int) -> None:
        """Take in an answer that has just arrived."""
        if update.what in END_STATUS:
            self.end(END_STATUS[Update(update.what)], update.reason, now)
        elif update.what in (Update.ACCEPTED, Update.TRIGGERED):
            self.status = int(Status.OPEN)
            self.place = update.place
        elif update.what == Update.MODIFIED:
            self.modifies += 1
            self.price, self.size, self.place = update.price, update.size, update.place
            self._modify_answered()
        else:
            self.requests_refused += self.is_live
            if update.what == Update.CANCEL_REJECTED and not update.by_gateway:
                self.is_cancelling = False
            if update.what == Update.MODIFY_REJECTED and not update.by_gateway:
                self._modify_answered()

    def _modify_answered(self) -> None:
        self.modifies_pending -= 1
        if self.modifies_pending == 0:
            self.price_requested, self.size_counted = self.price, self.size

    def learn_fill(self, fill: FillReport, now: int) -> None:
        """Take in a fill."""
        self.filled += fill.size
        if fill.size_left == 0:
            self.end(Status.FILLED, Reason.NONE, now)

    def end(self, status: int, reason: int, now: int) -> None:
        """The order is known to have ended."""
        self.is_live, self.is_cancelling = False, False
        self.status, self.reason, self.ts_end_local = int(status), int(reason), now


class Gateway:
    """All orders of one row, over all instruments."""

    def __init__(self, instruments: list[Instrument], accounts: list[Account], venue: Venue, line: Line) -> None:
        """`instruments` and `accounts` are the run's own lists: they grow with it."""
        self.tickets: dict[int, Ticket] = {}
        self._live: dict[int, Ticket] = {}
        self._mass_cancels = 0
        self._instruments = instruments
        self._accounts = accounts
        self._limits: Limits = venue.limits
        self._rate = Rate(venue.limits)
        self._line = line

    # ------------------------------------------------------------------ requests

    def new(self, index: int, asked: Asked) -> int:
        """Send a new order, or refuse it; its id either way."""
        order_id = len(self.tickets) + 1
        reason = self._refusal_of_new(index, asked)
        ticket = Ticket(
            order_id, index, int(asked.side), asked.price, asked.size, asked.instruction, self.now(), asked.stop,
            price_requested=asked.price, size_counted=asked.size,
        )  # fmt: skip
        self.tickets[order_id] = ticket
        if reason == Reason.NONE:
            self._live[order_id] = ticket
            self._rate.count(self.now())
            stop = self._level(ticket, asked.stop) if asked.instruction & STOP else None
            level = self._level(ticket, asked.price)
            self._line.send(Request(Ask.NEW, order_id, index, ticket.side, level, asked.size, asked.instruction, stop, asked.expires))
        else:
            ticket.is_live = False
            self._refuse(Update.REJECTED, reason, order_id, index)
        return order_id

    def modify(self, index: int, order_id: int, price: int, size: int) -> bool:
        """Ask for another price and total size; whether the request was sent."""
        ticket = self._live.get(order_id)
        reason = self._refusal_of_modify(ticket, price, size)
        if ticket is None or reason != Reason.NONE:
            self._refuse(Update.MODIFY_REJECTED, reason, order_id, index)
            return False
        ticket.modifies_pending += 1
        ticket.price_requested = price
        ticket.size_counted = max(ticket.size_counted, size)
        self._rate.count(self.now())
        self._line.send(Request(Ask.MODIFY, order_id, ticket.instrument, ticket.side, self._level(ticket, price), size, ticket.instruction))
        return True

    def modify_stop(self, index: int, order_id: int, stop: int) -> bool:
        """Ask for another stop price of an order that waits; whether the request was sent."""
        ticket = self._live.get(order_id)
        reason = Reason.UNKNOWN_ORDER if ticket is None else self._refusal_of_modify_stop(ticket, stop)
        if ticket is None or reason != Reason.NONE:
            self._refuse(Update.MODIFY_REJECTED, reason, order_id, index)
            return False
        ticket.modifies_pending += 1
        self._rate.count(self.now())
        self._line.send(Request(Ask.MODIFY, order_id, ticket.instrument, ticket.side, stop=self._level(ticket, stop)))
        return True

    def cancel(self, index: int, order_id: int) -> bool:
        """Ask for the end of an order; whether the request was sent."""
        ticket = self._live.get(order_id)
        if ticket is None or ticket.is_cancelling:
            self._refuse(Update.CANCEL_REJECTED, Reason.UNKNOWN_ORDER if ticket is None else Reason.CANCEL_PENDING, order_id, index)
            return False
        ticket.is_cancelling, ticket.mass_cancel = True, 0
        self._line.send(Request(Ask.CANCEL, order_id, ticket.instrument))
        return True

    def cancel_all(self, index: int) -> int:
        """Ask, with one request, for the end of all live orders of an instrument that no cancel is under way for; how many."""
        tickets = [ticket for ticket in self._live.values() if ticket.instrument == index and not ticket.is_cancelling]
        if tickets:
            self._mass_cancels += 1
            self._line.send(Request(Ask.CANCEL_ALL, 0, index, number=self._mass_cancels))
        for ticket in tickets:
            ticket.is_cancelling, ticket.mass_cancel = True, self._mass_cancels
        return len(tickets)

    def stop(self, reason: Reason) -> None:
        """Cancel everything, from the first order on, for a reason that the orders will show."""
        for ticket in self._live.values():
            if not ticket.is_cancelling:
                ticket.is_cancelling, ticket.mass_cancel = True, 0
                self._line.send(Request(Ask.CANCEL, ticket.order_id, ticket.instrument, reason=reason))

    def wake_at(self, time: int) -> None:
        """Set the row's only timer."""
        if time <= self.now():
            raise ValueError(f"wake_at({time}): expected a time after orders.now, which is {self.now()}")
        self._line.wake_at(time)

    def now(self) -> int:
        """Local time."""
        return self._line.now()

    def live(self, order_id: int) -> Ticket | None:
        """The ticket of an order that was sent and is not known to have ended."""
        return self._live.get(order_id)

    # ------------------------------------------------------------------ checks

    def _refusal_of_new(self, index: int, asked: Asked) -> Reason:
        """The gateway's checks, in the order of docs/ARCHITECTURE.md."""
        size, instruction = asked.size, asked.instruction
        has_expiry = instruction & TIF_BITS == GTD
        checks = (
            (size <= 0, Reason.SIZE),
            (not instruction & MARKET and not self._is_order_price(index, asked.price), Reason.PRICE),
            (instruction & STOP and not self._is_order_price(index, asked.stop), Reason.PRICE),
            (not makes_sense(instruction), Reason.INSTRUCTION),
            (asked.expires <= self.now() if has_expiry else asked.expires != 0, Reason.EXPIRY),
            (size > self._limits.order_size_max, Reason.ORDER_SIZE_LIMIT),
            (self._position_at_worst(index, asked.side) + size > self._limits.position_max, Reason.POSITION_LIMIT),
            (self._exceeds_notional(index, asked.price, self._position_at_worst(index, asked.side) + size), Reason.NOTIONAL_LIMIT),
            (len(self._live) >= self._limits.orders_live_max, Reason.ORDERS_LIVE_LIMIT),
            (self._rate.is_reached(self.now()), Reason.ORDER_RATE_LIMIT),
        )
        return first_refusal(checks)

    def _refusal_of_modify(self, ticket: Ticket | None, price: int, size: int) -> Reason:
        if ticket is None:
            return Reason.UNKNOWN_ORDER
        growth = max(0, size - ticket.size_counted)
        at_worst = self._position_at_worst(ticket.instrument, ticket.side) + growth
        checks = (
            (ticket.is_cancelling, Reason.CANCEL_PENDING),
            (size <= 0, Reason.SIZE),
            (not self._is_order_price(ticket.instrument, price), Reason.PRICE),
            (size > self._limits.order_size_max, Reason.ORDER_SIZE_LIMIT),
            (at_worst > self._limits.position_max, Reason.POSITION_LIMIT),
            (self._exceeds_notional(ticket.instrument, price, at_worst), Reason.NOTIONAL_LIMIT),
            (self._rate.is_reached(self.now()), Reason.ORDER_RATE_LIMIT),
        )
        return first_refusal(checks)

    def _refusal_of_modify_stop(self, ticket: Ticket, stop: int) -> Reason:
        checks = (
            (ticket.is_cancelling, Reason.CANCEL_PENDING),
            (not self._is_order_price(ticket.instrument, stop), Reason.PRICE),
            (not ticket.instruction & STOP, Reason.INSTRUCTION),
            (self._rate.is_reached(self.now()), Reason.ORDER_RATE_LIMIT),
        )
        return first_refusal(checks)

    def _is_order_price(self, index: int, price: int) -> bool:
        instrument = self._instruments[index]
        return price % instrument.tick == 0 and abs(price // instrument.grid) <= LEVEL_MAX

    def _position_at_worst(self, index: int, side: int) -> int:
        """The position in the direction of `side`, if all that is open on that side were filled."""
        position = self._accounts[index].position
        open_size = sum(t.size_counted - t.filled for t in self._live.values() if (t.instrument, t.side) == (index, side))
        return (position if side == Side.BID else -position) + open_size

    def _exceeds_notional(self, index: int, price: int, lots: int) -> bool:
        return exceeds_notional(self._accounts[index], self._instruments[index], price, lots, self._limits)

    def _level(self, ticket: Ticket, price: int) -> int:
        if price == UNDEFINED_PRICE:
            return MARKET_LEVEL
        tick = price // self._instruments[ticket.instrument].grid
        return tick if ticket.side == Side.BID else -tick

    def _refuse(self, what: Update, reason: Reason, order_id: int, index: int) -> None:
        """Answer without asking the exchange. Of an order that never was, or is over, nothing is told but its id."""
        ticket = self.tickets[order_id] if what == Update.REJECTED else self._live.get(order_id)
        price, size, size_left = UNDEFINED_PRICE, 0, 0
        if ticket is not None:
            index, price, size = ticket.instrument, ticket.price, ticket.size
            size_left = ticket.size - ticket.filled if ticket.is_live else 0
        self._line.refuse(OrderUpdate(order_id, int(what), int(reason), self.now(), price, size, size_left, -1, index, by_gateway=True))

    # ------------------------------------------------------------------ answers

    def learn(self, answer: Answer, now: int) -> None:
        """Bring accounts and tickets up to date with an answer that has just arrived."""
        if isinstance(answer, FillReport):
            self.tickets[answer.order_id].learn_fill(answer, now)
            lots = answer.size if answer.side == Side.BID else -answer.size
            tick = answer.price // self._instruments[answer.instrument].grid
            self._accounts[answer.instrument].book_fill(lots, tick, is_maker=answer.is_maker)
        elif answer.order_id in self.tickets:
            self.tickets[answer.order_id].learn(answer, now)
        elif answer.order_id == 0 and not answer.by_gateway:  # a mass cancel was refused: what it asked for is not being cancelled
            for ticket in self._live.values():
                if ticket.mass_cancel == answer.number:
                    ticket.is_cancelling, ticket.mass_cancel = False, 0
        if answer.order_id in self._live and not self._live[answer.order_id].is_live:
            del self._live[answer.order_id]


def makes_sense(instruction: int) -> bool:
    """Whether an instruction has a known time in force, and one that goes with its other bits."""
    tif = instruction & TIF_BITS
    if instruction & MARKET and not instruction & STOP:
        return tif in (GTC, IOC, FOK)
    must_rest = instruction & (POST_ONLY | MARKET)  # a stop that becomes a market order has its time in force while it waits
    return tif in tuple(TimeInForce) and not (must_rest and tif & IOC)


def first_refusal(checks: Iterable[tuple[Any, Reason]]) -> Reason:
    """The reason of the first check that refuses; NONE if none does."""
    return next((reason for refuses, reason in checks if refuses), Reason.NONE)
