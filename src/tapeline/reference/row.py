"""A row: one strategy instance with its gateway, its accounts and its desks at the exchange."""

from dataclasses import replace
from typing import Any

from tapeline.config import RowSpec
from tapeline.constants import QueueStep, Reason
from tapeline.instruments import Instrument
from tapeline.reference.account import Account
from tapeline.reference.book import ExchangeBook, price_of
from tapeline.reference.gateway import Gateway, Ticket
from tapeline.reference.latency import Connection
from tapeline.reference.limits import loss_beyond
from tapeline.reference.market import Market
from tapeline.reference.messages import OrderUpdate, Request
from tapeline.reference.rules import OwnOrder
from tapeline.reference.schedule import Arrival, Clock, Due, Response, Schedule, Timer
from tapeline.reference.venue import Answer, Desk


class Row:
    """One strategy instance of a run; it is the line between its gateway and its desks."""

    def __init__(self, index: int, spec: RowSpec, clock: Clock, schedule: Schedule) -> None:
        """Start without instruments."""
        self.index = index
        self.strategy = spec.strategy
        self.venue = spec.venue
        self.feed_ns = spec.venue.latency.feed_ns
        self.connection = Connection(index, spec.venue.latency, clock)
        self.instruments: list[Instrument] = []
        self.accounts: list[Account] = []
        self.desks: list[Desk] = []
        self.gateway = Gateway(self.instruments, self.accounts, spec.venue, self)
        self.timer: Timer | None = None
        self.is_stopped = False
        self.steps: list[tuple[Any, ...]] | None = None
        """Where to note what happens to queues in front of its orders; None where nobody asks."""
        self._clock = clock
        self._schedule = schedule

    def has(self, callback: str) -> bool:
        """Whether the strategy has a callback."""
        return hasattr(type(self.strategy), callback)

    def open_book(self, book: ExchangeBook, market: Market) -> None:
        """Trade one more instrument. `market` is what the row sees of it."""
        self.instruments.append(book.instrument)
        self.accounts.append(Account(book.instrument, self.venue.fees_of(book.instrument), market))
        self.desks.append(Desk(book, self.venue.rules, self.feed_ns, self))

    # ------------------------------------------------------------------ the line: requests go out, answers come back

    def now(self) -> int:
        """Local time."""
        return self._clock.now

    def send(self, request: Request) -> None:
        """Rule 8: a request takes its latency, and never overtakes the one before."""
        time, is_refused = self.connection.arrival(request.ask, self._clock.now, is_exempt=request.reason == Reason.LOSS_LIMIT)
        arrival = Arrival(time, self, replace(request, reason=Reason.MESSAGE_RATE) if is_refused else request)
        arrival.order = self._schedule.add(arrival.time, Due.ARRIVAL, arrival)

    def remind(self, time: int, request: Request) -> None:
        """The exchange asks itself for something, at a time of its own clock."""
        arrival = Arrival(time, self, request)
        arrival.order = self._schedule.add(time, Due.ARRIVAL, arrival)

    def answer(self, answer: Answer) -> None:
        """Rule 8: so does a response."""
        self._schedule.add(self.connection.response(answer.ts_event), Due.RESPONSE, Response(self, answer))

    def note_step(self, ts: int, order: OwnOrder, what: QueueStep, size: int, stamp: int) -> None:
        """A row of `schema.STEPS`, for those who ask."""
        if self.steps is not None:
            self.steps.append((ts, order.order_id, order.place.ahead, size, stamp, self.index, int(what)))

    def refuse(self, update: OrderUpdate) -> None:
        """Rule 10: the gateway answers at once."""
        self._schedule.add(self._clock.now, Due.RESPONSE, Response(self, update))

    def wake_at(self, time: int) -> None:
        """One timer is pending at most: the last one set."""
        self.timer = Timer(self)
        self._schedule.add(time, Due.TIMER, self.timer)

    def stop_at_loss(self) -> tuple[float, int] | None:
        """The kill switch: if the row has lost too much, everything is cancelled and it is stopped; what it had, and in which instrument's currency."""
        beyond = None if self.is_stopped else loss_beyond(self.accounts, self.instruments, self.venue.limits)
        if beyond is not None:
            self.is_stopped, self.timer = True, None
            self.gateway.stop(Reason.LOSS_LIMIT)
        return beyond

    # ------------------------------------------------------------------ records

    def order_record(self, ticket: Ticket) -> tuple[Any, ...]:
        """A row of `schema.ORDERS`: what the row knows, and what the exchange knows, of one order."""
        own = self.desks[ticket.instrument].orders.get(ticket.order_id)
        arrived, ended, ahead_at_entry, ahead_at_end, triggered, stop, gaps = -1, -1, -1, -1, -1, ticket.stop, 0
        if own is not None:
            arrived, ended, ahead_at_entry, triggered = own.ts_arrived, own.ts_end, own.ahead_at_entry, own.ts_triggered
            ahead_at_end, gaps = own.place.ahead, own.gaps
            if own.stop is not None:
                stop = price_of(own.side, own.stop, self.instruments[ticket.instrument].grid)
        return (
            ticket.order_id, ticket.price, ticket.size, ticket.filled, ticket.ts_sent, arrived, ended, ticket.ts_end_local, ahead_at_entry, ahead_at_end,
            self.index, ticket.instrument, ticket.modifies, ticket.requests_refused, ticket.side, ticket.instruction, ticket.status, ticket.reason,
            stop, triggered, gaps,
        )  # fmt: skip
