"""A row's orders at the exchange, in one book. Every row has a desk of its own per book: history does not see it, nor do other rows."""

from collections.abc import Callable

from tapeline.config import FillRules
from tapeline.constants import IOC, MARKET, POST_ONLY, UNDEFINED_PRICE, FillRule, Kind, Reason, Update
from tapeline.reference.book import MARKET_LEVEL, ExchangeBook, opposite, price_of
from tapeline.reference.estimators import Guess, is_estimated, note, settle
from tapeline.reference.messages import NOWHERE, Ask, FillReport, OrderUpdate, Place, Request
from tapeline.reference.rules import (
    CancelResting,
    Match,
    OwnOrder,
    Take,
    Takes,
    crossing,
    own_orders_met,
    queue,
    queue_moves,
    taking,
    trade_through,
    would_take,
)
from tapeline.reference.tape import TapeEvent

Answer = OrderUpdate | FillReport


class Desk:
    """The orders of one row in one book, what was taken by it, and what the fill rules do to both."""

    def __init__(self, book: ExchangeBook, rules: FillRules, feed_ns: int, answer: Callable[[Answer], None]) -> None:
        """`answer` sends on its way what the exchange has to say; `feed_ns` tells when the row's feed shows a change of its queues."""
        self.orders: dict[int, OwnOrder] = {}
        """All that ever arrived."""
        self._resting: list[OwnOrder] = []
        self._book = book
        self._rules = rules
        self._feed_ns = feed_ns
        self._answer = answer
        self._takes = Takes(remembers=rules.impact == "consume")
        self._arrivals = 0

    # ------------------------------------------------------------------ history

    def before(self, event: TapeEvent) -> None:
        """Rules 2 and 3: a tape event fills resting orders, before it is applied to the book. Estimators take note of it."""
        if is_estimated(self._rules):
            for order in self._resting:
                note(order, event, self._book, self._rules)
        if event.kind == Kind.FILL:
            for match in list(trade_through(self._resting, event, self._book, self._rules)):
                self._fill(match, match.order.level, event.ts_event, event.size)
        elif event.kind == Kind.ADD:
            matches = list(crossing(self._resting, event, self._book, self._rules))
            for match in matches:
                self._fill(match, match.order.level, event.ts_event, event.size)
            if matches:
                displayed = self._book.side(event.side).displayed(event.level)  # `after` will add the ADD's own
                self._takes.remember(event.side, event.level, sum(match.lots for match in matches), event.priority + 1, displayed)

    def after(self, event: TapeEvent) -> None:
        """Rules 1 and 5: queues and takes move with the book."""
        for order in self._resting:
            order.place.change(queue_moves(order, event), event.ts_recv + self._feed_ns)
        self._takes.update(event)
        if event.is_last and is_estimated(self._rules):
            self._settle_estimates(event)

    def _settle_estimates(self, event: TapeEvent) -> None:
        """An event has ended: what estimators make of it, in the order in which the orders came."""
        for order in sorted(self._resting, key=lambda o: o.place.arrival):
            printed = order.guess.printed if order.guess else 0
            ahead, lots, rule = settle(order, self._book, self._rules)
            order.place.change(ahead, event.ts_recv + self._feed_ns)
            if lots > 0:
                self._fill(Match(order, lots, rule), order.level, event.ts_event, printed)

    # ------------------------------------------------------------------ requests

    def receive(self, request: Request, ts: int) -> None:
        """A request has arrived, at exchange time `ts`."""
        if request.ask == Ask.NEW:
            self._new(request, ts)
            return
        order = next((o for o in self._resting if o.order_id == request.order_id), None)
        is_refused = request.reason == Reason.MESSAGE_RATE
        if order is None or is_refused:
            what = Update.MODIFY_REJECTED if request.ask == Ask.MODIFY else Update.CANCEL_REJECTED
            reason = Reason.MESSAGE_RATE if is_refused else Reason.UNKNOWN_ORDER
            index = self._book.instrument.index
            self._answer(OrderUpdate(request.order_id, int(what), int(reason), ts, UNDEFINED_PRICE, 0, 0, -1, index))
        elif request.ask == Ask.MODIFY:
            self._modify(order, request, ts)
        else:
            self._end(order, Update.CANCELLED, ts, request.reason or Reason.REQUESTED)

    def _new(self, request: Request, ts: int) -> None:
        """A new order: refused, or accepted; then it takes, and what is left rests or dies."""
        order = OwnOrder(request.order_id, request.side, request.level, request.size, request.instruction, ts_arrived=ts)
        self.orders[order.order_id] = order
        reason = request.reason or self._refusal(order)
        if reason != Reason.NONE:
            self._end(order, Update.REJECTED, ts, reason)
            return
        place = NOWHERE if order.instruction & (IOC | MARKET) else self._place(order)
        self._update(order, Update.ACCEPTED, ts, place=place)
        self._match_and_rest(order, place, ts)

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
        place = self._place(order)
        self._update(order, Update.MODIFIED, ts, place=place)
        self._match_and_rest(order, place, ts)

    def _refusal(self, order: OwnOrder) -> Reason:
        """Rules 5 and 9: why an order must not enter at all, if so."""
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
            for step in taking(order, self._book, list(self._resting), self._takes, self._rules):
                if isinstance(step, Take):
                    self._take(order, step, ts)
                elif isinstance(step, CancelResting):
                    self._end(step.order, Update.CANCELLED, ts, Reason.SELF_MATCH)
                else:
                    self._end(order, Update.CANCELLED, ts, Reason.SELF_MATCH)
                    return
        if order.size_left == 0:
            return
        if place is not NOWHERE:
            if order.place is NOWHERE:
                order.ahead_at_entry = place.ahead
            order.place = place
            order.guess = Guess(float(place.ahead)) if is_estimated(self._rules) else None
            self._resting.append(order)
        else:
            self._end(order, Update.EXPIRED, ts, Reason.NO_LIQUIDITY if order.instruction & MARKET else Reason.IOC_REMAINDER)

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
        if order.size_left == 0:
            self._leave(order, ts)
        price = price_of(order.side, level, self._book.instrument.grid)
        is_maker = match.rule != FillRule.TAKING
        index = self._book.instrument.index
        self._answer(FillReport(order.order_id, order.side, price, match.lots, order.size_left, is_maker, int(match.rule), ts, index, market_size))

    def _end(self, order: OwnOrder, what: Update, ts: int, reason: Reason) -> None:
        self._leave(order, ts)
        self._update(order, what, ts, reason)

    def _leave(self, order: OwnOrder, ts: int) -> None:
        order.ts_end = ts
        if order in self._resting:
            self._resting.remove(order)

    def _update(self, order: OwnOrder, what: Update, ts: int, reason: Reason = Reason.NONE, place: Place = NOWHERE) -> None:
        """Tell how an order stands. `ahead` is told where a place was given, -1 otherwise."""
        price = UNDEFINED_PRICE if order.level == MARKET_LEVEL else price_of(order.side, order.level, self._book.instrument.grid)
        size_left = 0 if order.ts_end != -1 else order.size_left
        self._answer(OrderUpdate(order.order_id, int(what), int(reason), ts, price, order.size, size_left, place.ahead, self._book.instrument.index, place))
