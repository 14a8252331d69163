"""A row's orders at the exchange, in one book. Every row has a desk of its own per book: history does not see it, nor do other rows."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from tapeline.config import FillRules
from tapeline.constants import (
    DAY,
    FOK,
    GTD,
    IOC,
    MARKET,
    POST_ONLY,
    REDUCE_ONLY,
    TIF_BITS,
    UNDEFINED_PRICE,
    FillRule,
    Kind,
    Phase,
    QueueStep,
    Reason,
    Side,
    Update,
)
from tapeline.reference.book import MARKET_LEVEL, ExchangeBook, opposite, price_of
from tapeline.reference.estimators import Guess, is_estimated, note, settle
from tapeline.reference.messages import NOWHERE, Ask, FillReport, OrderUpdate, Place, Request
from tapeline.reference.rules import (
    CancelResting,
    Holding,
    Match,
    OwnOrder,
    Step,
    Take,
    Takes,
    auction_fill,
    auction_print,
    crossing,
    fillable,
    level_against,
    own_orders_met,
    queue,
    queue_moves,
    stop_is_reached,
    taking,
    trade_through,
    would_take,
)
from tapeline.reference.tape import TapeEvent

Answer = OrderUpdate | FillReport


def rests(order: OwnOrder) -> bool:
    """Whether what is left of an order on arrival stays in the book."""
    return not order.instruction & (MARKET | IOC)  # IOC is in FOK, too


class Listener(Protocol):
    """Who hears of what happens at a desk."""

    def answer(self, answer: Answer) -> None:
        """Send on its way what the exchange has to say."""

    def remind(self, time: int, request: Request) -> None:
        """Have the exchange ask itself for something at a time."""

    def note_step(self, ts: int, order: OwnOrder, what: QueueStep, size: int, stamp: int) -> None:
        """Note what happened to the queue in front of an order."""


class Desk:
    """The orders of one row in one book, what was taken by it, and what the fill rules do to both."""

    def __init__(self, book: ExchangeBook, rules: FillRules, feed_ns: int, row: Listener) -> None:
        """`feed_ns` tells when the feed of the row shows a change of its queues."""
        self.orders: dict[int, OwnOrder] = {}
        """All that ever arrived."""
        self._resting: list[OwnOrder] = []
        self._book = book
        self._rules = rules
        self._feed_ns = feed_ns
        self._answer = row.answer
        self._remind = row.remind
        self._note_step = row.note_step
        self._waiting: list[OwnOrder] = []
        """Stops that are not in the book yet."""
        self._holding = Holding()
        self._takes = Takes(remembers=rules.impact == "consume")
        self._arrivals = 0

    # ------------------------------------------------------------------ history

    def before(self, event: TapeEvent) -> None:
        """Rules 2, 3 and 4: a tape event fills resting orders, before it is applied to the book. Estimators take note of it."""
        if is_estimated(self._rules):
            for order in self._resting:
                note(order, event, self._book, self._rules)
        if event.kind == Kind.FILL:
            self._note_fill_ahead(event)
            for match in trade_through(list(self._resting), event, self._book, self._rules):
                self._fill(match, match.order.level, event.ts_event, event.size)
            for match in auction_fill(list(self._resting), event, self._book, self._rules):
                self._fill(match, match.order.level, event.ts_event, event.size)
        elif event.kind == Kind.TRADE:
            for match in auction_print(list(self._resting), event, self._book, self._rules):
                level = level_against(match.order.side, event.priority, self._book.instrument.grid)
                self._fill(match, level, event.ts_event, event.size)
        elif event.kind == Kind.ADD:
            self._cross(event)

    def _note_fill_ahead(self, event: TapeEvent) -> None:
        """An order of history was executed in front of ours."""
        for order in self._resting:
            if not event.is_snapshot and (order.side, order.level) == (event.side, event.level) and event.priority < order.place.stamp:
                self._note_step(event.ts_event, order, QueueStep.FILLED, event.delta, event.priority)

    def _cross(self, event: TapeEvent) -> None:
        """Rule 3: what an ADD meets, and what is taken of it."""
        met = 0
        for match in crossing(list(self._resting), event, self._book, self._rules):
            self._fill(match, match.order.level, event.ts_event, event.size)
            met += match.lots
        if met > 0:
            displayed = self._book.side(event.side).displayed(event.level)  # `after` will add the ADD's own
            self._takes.remember(event.side, event.level, met, event.priority + 1, displayed)

    def after(self, event: TapeEvent) -> None:
        """Rules 1 and 5: queues and takes move with the book; at the end of an event stops are looked at."""
        for order in self._resting:
            if order.place.change(queue_moves(order, event), event.ts_recv + self._feed_ns):
                self._note_move(order, event)
            order.is_voided |= event.kind == Kind.CLEAR
        self._takes.update(event)
        if event.is_last and is_estimated(self._rules):
            self._settle_estimates(event)
        if event.is_last and not event.is_snapshot:
            for order in self._waiting:
                if not order.is_triggered and stop_is_reached(order, self._book, self._book.traded):
                    order.is_triggered = True
                    self._remind(event.ts_event, Request(Ask.TRIGGER, order.order_id, event.instrument))

    def _note_move(self, order: OwnOrder, event: TapeEvent) -> None:
        if event.kind == Kind.CLEAR:
            self._note_step(event.ts_event, order, QueueStep.CLEARED, 0, 0)
        else:
            self._note_step(event.ts_event, order, QueueStep.ADDED if event.delta > 0 else QueueStep.REMOVED, event.delta, event.priority)

    def _settle_estimates(self, event: TapeEvent) -> None:
        """An event has ended: what estimators make of it, in the order in which the orders came."""
        for order in sorted(self._resting, key=lambda o: o.place.arrival):
            if order.ts_end != -1:  # a fill of another one left it nothing to reduce
                continue
            printed = order.guess.printed if order.guess else 0
            ahead, lots, rule = settle(order, self._book, self._rules)
            if order.place.change(ahead, event.ts_recv + self._feed_ns):
                self._note_step(event.ts_event, order, QueueStep.REGUESSED, 0, 0)
            if lots > 0:
                self._fill(Match(order, min(lots, order.size_open), rule), order.level, event.ts_event, printed)

    def find_place(self, event: TapeEvent) -> None:
        """Rule 1: the book was voided, and an ordinary event is about to begin; where nothing came back, our queues are lost."""
        for order in list(self._resting):
            if order.is_voided and self._book.is_lost:
                if self._rules.on_gap == "cancel":
                    self._end(order, Update.CANCELLED, event.ts_event, Reason.GAP)
                    continue
                order.gaps += 1
                place = queue(self._book, order, self._book.stamp_next, order.place.arrival, self._rules)
                order.place.stamp = place.stamp
                if order.place.change(place.ahead, event.ts_recv + self._feed_ns):
                    self._note_step(event.ts_event, order, QueueStep.LOST, 0, 0)
                order.guess = Guess(float(place.ahead)) if is_estimated(self._rules) else None
            order.is_voided = False

    # ------------------------------------------------------------------ requests

    def receive(self, request: Request, ts: int) -> None:
        """A request has arrived, at exchange time `ts`. A market that is halted or closed takes neither orders nor modifies."""
        if request.ask in (Ask.NEW, Ask.MODIFY) and request.reason == Reason.NONE:
            request = replace(request, reason=self._closed())
        if request.ask == Ask.NEW:
            self._new(request, ts)
        elif request.ask == Ask.CANCEL_ALL and request.reason == Reason.NONE:
            for order in [*reversed(self._resting), *reversed(self._waiting)]:
                self._end(order, Update.CANCELLED, ts, Reason.REQUESTED)
        else:
            self._request_for(request, ts)

    def _request_for(self, request: Request, ts: int) -> None:
        """A request for an order: by the row, who is answered if the order is not there any more, or by the exchange itself."""
        is_refused = request.reason != Reason.NONE and (request.ask != Ask.CANCEL or request.reason == Reason.MESSAGE_RATE)
        order = next((o for o in self._resting + self._waiting if o.order_id == request.order_id), None)
        if request.ask in (Ask.TRIGGER, Ask.EXPIRE):
            if order is not None and request.ask == Ask.EXPIRE:
                self._end(order, Update.EXPIRED, ts, Reason.EXPIRY)
            elif order is not None:
                self._trigger(order, ts)
        elif order is None or is_refused:
            what = Update.MODIFY_REJECTED if request.ask == Ask.MODIFY else Update.CANCEL_REJECTED
            reason = request.reason if is_refused else Reason.UNKNOWN_ORDER
            if order is not None:
                self._update(order, what, ts, reason)
            else:
                index = self._book.instrument.index
                self._answer(OrderUpdate(request.order_id, int(what), int(reason), ts, UNDEFINED_PRICE, 0, 0, -1, index, number=request.number))
        elif request.ask == Ask.CANCEL:
            self._end(order, Update.CANCELLED, ts, request.reason or Reason.REQUESTED)
        elif order in self._waiting:
            self._modify_waiting(order, request, ts)
        elif request.stop is not None:
            self._update(order, Update.MODIFY_REJECTED, ts, Reason.NOT_WAITING)
        else:
            self._modify(order, request, ts)

    def _new(self, request: Request, ts: int) -> None:
        """A new order: refused, or accepted; a stop waits, any other takes, and what is left rests or dies."""
        order = OwnOrder(
            self._holding, request.order_id, request.side, request.level, request.size, request.instruction,
            ts_arrived=ts, stop=request.stop, expires=request.expires,
        )  # fmt: skip
        self.orders[order.order_id] = order
        is_stop, has_expiry = order.stop is not None, order.instruction & TIF_BITS == GTD
        reason = request.reason or (Reason.EXPIRY if has_expiry and order.expires <= ts else Reason.NONE)
        if reason:
            self._end(order, Update.REJECTED, ts, reason)
            return
        if is_stop:
            self._update(order, Update.ACCEPTED, ts)
            self._waiting.append(order)
            if stop_is_reached(order, self._book, self._book.traded[-1:]):
                self._trigger(order, ts)
        else:
            self._enter(order, Update.ACCEPTED, ts)
        expires = order.expires if has_expiry else self._book.instrument.session_end(ts) if order.instruction & TIF_BITS == DAY else None
        if expires is not None and order.ts_end == -1:
            self._remind(expires, Request(Ask.EXPIRE, order.order_id, request.instrument))

    def _enter(self, order: OwnOrder, what: Update, ts: int) -> None:
        """An order enters the book, if nothing speaks against it."""
        reason = self._refusal(order)
        if reason != Reason.NONE:
            self._end(order, Update.REJECTED if what == Update.ACCEPTED else Update.CANCELLED, ts, reason)
            return
        place = self._place(order) if rests(order) else NOWHERE
        self._update(order, what, ts, place=place)
        if order.instruction & TIF_BITS == FOK and fillable(self._taking(order)) < order.size:
            self._end(order, Update.EXPIRED, ts, Reason.FOK_UNFILLABLE)
        else:
            self._match_and_rest(order, place, ts)

    def _trigger(self, order: OwnOrder, ts: int) -> None:
        """A stop has been reached: the order enters the book."""
        self._waiting.remove(order)
        order.ts_triggered = ts
        self._enter(order, Update.TRIGGERED, ts)

    def _modify_waiting(self, order: OwnOrder, request: Request, ts: int) -> None:
        """A stop that waits gets another stop price, or another limit price and size; one whose stop was reached has no stop price any more."""
        reason = Reason.NONE
        if request.stop is not None:
            reason = Reason.NOT_WAITING if order.is_triggered else Reason.NONE
        elif order.instruction & MARKET:
            reason = Reason.INSTRUCTION
        if reason != Reason.NONE:
            self._update(order, Update.MODIFY_REJECTED, ts, reason)
            return
        if request.stop is None:
            order.level, order.size = request.level, request.size
        else:
            order.stop = request.stop
        self._update(order, Update.MODIFIED, ts)
        if not order.is_triggered and stop_is_reached(order, self._book, self._book.traded[-1:]):
            self._trigger(order, ts)

    def _modify(self, order: OwnOrder, request: Request, ts: int) -> None:
        """Rule 1: sizes are totals; only a smaller or equal rest at the same price keeps its place."""
        size_left = request.size - order.filled
        if size_left <= 0:
            self._end(order, Update.CANCELLED, ts, Reason.MODIFY_BELOW_FILLED)
            return
        if request.level == order.level and size_left <= order.size_left:
            order.size = request.size
            self._update(order, Update.MODIFIED, ts, place=order.place)
            return
        level_before, size_before = order.level, order.size
        order.level, order.size = request.level, request.size
        reason = self._refusal(order)
        if reason != Reason.NONE:
            order.level, order.size = level_before, size_before
            self._update(order, Update.MODIFY_REJECTED, ts, reason)
            return
        self._resting.remove(order)
        order.is_voided = False
        place = self._place(order)
        self._update(order, Update.MODIFIED, ts, place=place)
        self._match_and_rest(order, place, ts)

    def _closed(self) -> Reason:
        """Why neither orders nor modifies are taken now, if so."""
        return {int(Phase.HALTED): Reason.HALTED, int(Phase.CLOSED): Reason.CLOSED}.get(self._book.phase, Reason.NONE)

    def _refusal(self, order: OwnOrder) -> Reason:
        """Rules 5 and 9: why an order must not enter at all, if so."""
        if self._closed():
            return self._closed()
        if order.instruction & REDUCE_ONLY and order.size_open == 0:
            return Reason.NOTHING_TO_REDUCE
        if order.instruction & POST_ONLY and would_take(order, self._book):
            return Reason.POST_ONLY_WOULD_TAKE
        if self._rules.self_match == "reject" and own_orders_met(order, self._resting):
            return Reason.SELF_MATCH
        return Reason.NONE

    def _place(self, order: OwnOrder) -> Place:
        self._arrivals += 1
        return queue(self._book, order, self._book.stamp_next, self._arrivals, self._rules)

    def _match_and_rest(self, order: OwnOrder, place: Place, ts: int) -> None:
        """An order in the book for the first time, or anew: it takes what it may; a GTC remainder rests."""
        if not order.instruction & POST_ONLY:
            for step in self._taking(order):
                if isinstance(step, Take):
                    self._take(order, step, ts)
                elif isinstance(step, CancelResting):
                    self._end(step.order, Update.CANCELLED, ts, Reason.SELF_MATCH)
                else:
                    self._end(order, Update.CANCELLED, ts, Reason.SELF_MATCH)
                    return
        if order.size_left == 0:
            return
        if order.size_open == 0:
            self._end(order, Update.CANCELLED, ts, Reason.NOTHING_TO_REDUCE)
        elif place is not NOWHERE:
            if order.place is NOWHERE:
                order.ahead_at_entry = place.ahead
            order.place = place
            order.guess = Guess(float(place.ahead)) if is_estimated(self._rules) else None
            self._resting.append(order)
            self._note_step(ts, order, QueueStep.PLACED, 0, price_of(order.side, order.level, self._book.instrument.grid))
        else:
            self._end(order, Update.EXPIRED, ts, Reason.NO_LIQUIDITY if order.instruction & MARKET else Reason.IOC_REMAINDER)

    def _taking(self, order: OwnOrder) -> Iterator[Step]:
        """What an order would do, step by step, if it entered now."""
        return taking(order, self._book, list(self._resting), self._takes, self._rules)

    def _take(self, order: OwnOrder, take: Take, ts: int) -> None:
        """Rule 5: a fill as taker, remembered."""
        side = opposite(order.side)
        displayed = self._book.side(side).displayed(take.level)
        self._takes.remember(side, take.level, take.lots, self._book.stamp_next, displayed)
        self._fill(Match(order, take.lots, FillRule.TAKING), -take.level, ts, displayed)

    # ------------------------------------------------------------------ answers

    def _fill(self, match: Match, level: int, ts: int, market_size: int) -> None:
        """A fill at a level of the order's own side; it ends the order if nothing is left."""
        order = match.order
        order.filled += match.lots
        self._holding.position += match.lots if order.side == Side.BID else -match.lots
        if order.size_left == 0:
            self._leave(order, ts)
        price = price_of(order.side, level, self._book.instrument.grid)
        is_maker = match.rule != FillRule.TAKING
        index = self._book.instrument.index
        self._answer(FillReport(order.order_id, order.side, price, match.lots, order.size_left, is_maker, int(match.rule), ts, index, market_size))
        for other in self._resting[::-1]:
            if other.size_open == 0:
                self._end(other, Update.CANCELLED, ts, Reason.NOTHING_TO_REDUCE)

    def _end(self, order: OwnOrder, what: Update, ts: int, reason: Reason) -> None:
        self._leave(order, ts)
        self._update(order, what, ts, reason)

    def _leave(self, order: OwnOrder, ts: int) -> None:
        order.ts_end = ts
        for orders in (self._resting, self._waiting):
            if order in orders:
                orders.remove(order)

    def _update(self, order: OwnOrder, what: Update, ts: int, reason: Reason = Reason.NONE, place: Place = NOWHERE) -> None:
        """Tell how an order stands. `ahead` is told where a place was given, -1 otherwise."""
        price = UNDEFINED_PRICE if order.level == MARKET_LEVEL else price_of(order.side, order.level, self._book.instrument.grid)
        size_left = 0 if order.ts_end != -1 else order.size_left
        self._answer(OrderUpdate(order.order_id, int(what), int(reason), ts, price, order.size, size_left, place.ahead, self._book.instrument.index, place))
