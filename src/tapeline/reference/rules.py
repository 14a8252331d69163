"""The fill rules of docs/assumptions.md, one function each, named after the rule. They say what would happen; `venue` makes it happen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tapeline.config import FillRules
from tapeline.constants import ON_QUOTE, REDUCE_ONLY, UNDEFINED_PRICE, FillRule, Kind, Side, TapeFlag
from tapeline.reference.book import Book, ExchangeBook, opposite
from tapeline.reference.estimators import BEFORE_ALL, Guess, is_estimated
from tapeline.reference.messages import NOWHERE, Place
from tapeline.reference.tape import TapeEvent


@dataclass(slots=True)
class Holding:
    """A row's position in one book as the exchange knows it: fills on their way to the row included."""

    position: int = 0

    def reducible(self, side: int) -> int:
        """Lots that an order on a side can fill before the position is flat."""
        return max(0, -self.position if side == Side.BID else self.position)


@dataclass(slots=True, eq=False)
class OwnOrder:
    """An order of ours as the exchange knows it."""

    holding: Holding
    order_id: int
    side: int
    level: int
    """MARKET_LEVEL for a market order."""
    size: int
    instruction: int
    ts_arrived: int
    filled: int = 0
    place: Place = NOWHERE
    """The last place in a queue."""
    ahead_at_entry: int = -1
    ts_end: int = -1
    guess: Guess | None = None
    """What an estimator believes of the last place, if one is in charge."""
    stop: int | None = None
    """Level of the stop price."""
    expires: int = 0
    is_triggered: bool = False
    ts_triggered: int = -1
    is_voided: bool = False
    """It rested at a CLEAR; whether its queue was lost is not known yet."""
    gaps: int = 0

    @property
    def size_left(self) -> int:
        """Lots still to be filled."""
        return self.size - self.filled

    @property
    def size_open(self) -> int:
        """Lots that may be filled now: of a REDUCE_ONLY order no more than bring the position to zero; of one that has ended none."""
        if self.ts_end != -1:
            return 0
        return min(self.size_left, self.holding.reducible(self.side)) if self.instruction & REDUCE_ONLY else self.size_left


@dataclass(slots=True, frozen=True)
class Match:
    """A fill of a resting order."""

    order: OwnOrder
    lots: int
    rule: FillRule


def best_place_first(order: OwnOrder) -> tuple[int, int, int]:
    """Sort key of resting orders: best level, then earliest stamp, then order of arrival."""
    return -order.level, order.place.stamp, order.place.arrival


def spend(budget: int, orders: Iterable[OwnOrder], rule: FillRule) -> Iterator[Match]:
    """Spend a budget of lots on resting orders, best place first."""
    for order in sorted(orders, key=best_place_first):
        lots = min(budget, order.size_open)
        if lots > 0:
            yield Match(order, lots, rule)
            budget -= lots


def queue(book: Book, order: OwnOrder, stamp_next: int, arrival: int, rules: FillRules) -> Place:
    """Rule 1: an order joins behind all displayed size at its level, with the next stamp. Off: in front of everything."""
    if rules.queue == "none":
        return Place(order.level, stamp=0, ahead=0, arrival=arrival)
    if rules.queue != "exact":
        stamp_next = BEFORE_ALL
    return Place(order.level, stamp=stamp_next, ahead=book.side(order.side).displayed(order.level), arrival=arrival)


def queue_moves(order: OwnOrder, event: TapeEvent) -> int:
    """Rule 1: the size in front of a resting order after a tape event. FILL never changes it: the REMOVE that follows does."""
    if event.kind == Kind.CLEAR:
        return 0
    if event.kind in (Kind.ADD, Kind.REMOVE) and (event.side, event.level) == (order.side, order.level) and event.priority < order.place.stamp:
        return order.place.ahead + event.delta
    return order.place.ahead


def trade_through(resting: Sequence[OwnOrder], event: TapeEvent, book: ExchangeBook, rules: FillRules) -> Iterator[Match]:
    """Rule 2, where places are known: a FILL would have filled those of our orders first that stand before the filled order. Off: only those at its level."""
    if event.is_snapshot or not book.is_matching or (event.flags & TapeFlag.EXCESS and not rules.iceberg_excess) or is_estimated(rules):
        return
    same_side = [order for order in resting if order.side == event.side]
    through = [order for order in same_side if order.level > event.level and rules.trade_through]
    before = [order for order in same_side if order.level == event.level and order.place.stamp <= event.priority]
    spent = 0
    for match in spend(event.size, through, FillRule.TRADE_THROUGH):
        spent += match.lots
        yield match
    yield from spend(event.size - spent, before, FillRule.FILL_BEHIND)


def crossing(resting: Sequence[OwnOrder], event: TapeEvent, book: ExchangeBook, rules: FillRules) -> Iterator[Match]:
    """Rule 3: an opposite order that comes to rest at or through our price would have met us. Of a modify at its level only the increase is new."""
    if event.is_snapshot or not book.is_matching or not rules.crossing:
        return
    budget = event.size
    if event.flags & TapeFlag.MODIFIED and book.replaced is not None and book.replaced[:2] == (event.side, event.level):
        budget = max(0, event.size - book.replaced[2])
    met = [order for order in resting if order.side == opposite(event.side) and order.level >= -event.level]
    yield from spend(budget, met, FillRule.CROSSING)


def level_against(side: int, price: int, grid: int) -> int:
    """The level of an exact price on a side; off the grid it is rounded against whoever trades there."""
    return -((-price if side == Side.BID else price) // grid)


def auction_print(resting: Sequence[OwnOrder], event: TapeEvent, book: ExchangeBook, rules: FillRules) -> Iterator[Match]:
    """Rule 4: a trade while the book is crossed, or in an auction, is an auction's: all that is priced strictly better than it is filled, whole, at its price.

    Not by a print that no auction could make: its price lies within what is crossed.
    """
    if event.is_snapshot or not book.is_in_auction or not rules.auction or event.size == 0 or event.priority == UNDEFINED_PRICE:
        return
    if book.was_crossed and not book.would_clear(event.priority, book.instrument.grid):
        return
    for order in sorted(resting, key=lambda order: (order.side != Side.BID, *best_place_first(order))):
        towards = event.priority if order.side == Side.BID else -event.priority
        if order.level * book.instrument.grid > towards and order.size_open > 0:
            yield Match(order, order.size_open, FillRule.AUCTION)


def auction_fill(resting: Sequence[OwnOrder], event: TapeEvent, book: ExchangeBook, rules: FillRules) -> Iterator[Match]:
    """Rule 4: at the auction's price orders whose place is known are filled by stamp, as in rule 2."""
    if event.is_snapshot or not book.is_in_auction or not rules.auction or (event.flags & TapeFlag.EXCESS and not rules.iceberg_excess) or is_estimated(rules):
        return
    if book.last_trade is not None and event.level * book.instrument.grid == (book.last_trade if event.side == Side.BID else -book.last_trade):
        before = [o for o in resting if (o.side, o.level) == (event.side, event.level) and o.place.stamp <= event.priority]
        yield from spend(event.size, before, FillRule.AUCTION)


@dataclass(slots=True, frozen=True)
class Take:
    """The arriving order takes lots at a level of the other side."""

    level: int
    lots: int


@dataclass(slots=True, frozen=True)
class CancelResting:
    """Self-match: an own resting order goes."""

    order: OwnOrder


@dataclass(slots=True, frozen=True)
class CancelAggressor:
    """Self-match: the rest of the arriving order goes."""


Step = Take | CancelResting | CancelAggressor


def taking(order: OwnOrder, book: ExchangeBook, resting: Sequence[OwnOrder], takes: "Takes", rules: FillRules) -> Iterator[Step]:
    """Rules 5 and 9: an order walks the other side, level by level from the best to its limit, and may meet own orders on its way."""
    if not book.is_matching:
        return
    side = opposite(order.side)
    own = own_orders_met(order, resting)
    left = order.size_open
    for level in sorted({*book.side(side).levels_down_to(-order.level), *(o.level for o in own)}, reverse=True):
        available = book.side(side).displayed(level) - takes.amount(side, level)
        met = [o for o in own if o.level == level]
        if met:
            in_front = min(left, available, met[0].place.ahead)
            if in_front > 0:
                yield Take(level, in_front)
            left, available = left - in_front, available - in_front
            if left > 0:
                yield from self_match(met, rules)
                if rules.self_match == "cancel_aggressor":
                    return
        lots = min(left, available)
        if lots > 0:
            yield Take(level, lots)
        left -= lots
        if left == 0:
            return


def own_orders_met(order: OwnOrder, resting: Sequence[OwnOrder]) -> list[OwnOrder]:
    """Own resting orders on the other side at or within the limit of an order, best place first."""
    met = (o for o in resting if o.side != order.side and o.level >= -order.level)
    return sorted(met, key=best_place_first)


def self_match(met: Sequence[OwnOrder], rules: FillRules) -> Iterator[CancelResting | CancelAggressor]:
    """Rule 9: an arriving order meets own resting orders at a level; under "reject" it never gets here."""
    if rules.self_match == "cancel_aggressor":
        yield CancelAggressor()
    else:
        for order in met:
            yield CancelResting(order)


def would_take(order: OwnOrder, book: Book) -> bool:
    """Rule 5: whether the opposite best displayed is at or through the price of a POST_ONLY order."""
    best = book.side(opposite(order.side)).best()
    return best.size > 0 and best.level >= -order.level


def fillable(steps: Iterable[Step]) -> int:
    """Lots that an arriving order would take: for FOK."""
    return sum(step.lots for step in steps if isinstance(step, Take))


def stop_is_reached(order: OwnOrder, book: ExchangeBook, traded: Iterable[int]) -> bool:
    """Whether a trade at one of some prices, or the best price on the other side, is at or through the price of a stop. Only while orders are matched."""
    if order.stop is None or not book.is_matching:
        return False
    if order.instruction & ON_QUOTE:
        best = book.side(opposite(order.side)).best()
        return best.size > 0 and -best.level >= order.stop
    towards = 1 if order.side == Side.BID else -1
    return any(towards * price >= order.stop * book.instrument.grid for price in traded)


@dataclass(slots=True)
class _Taken:
    amount: int
    stamp: int
    still: int
    """Displayed size of the orders that were there when it was taken."""


@dataclass(slots=True)
class Takes:
    """Rule 5, `impact="consume"`: what a row took, as long as the orders it took from are displayed."""

    remembers: bool
    _taken: dict[tuple[int, int], _Taken] = field(default_factory=dict)

    def amount(self, side: int, level: int) -> int:
        """Lots taken at a level that history still displays."""
        taken = self._taken.get((side, level))
        return taken.amount if taken else 0

    def remember(self, side: int, level: int, lots: int, stamp: int, displayed: int) -> None:
        """A take: it is added to what was taken there before."""
        if self.remembers:
            self._taken[side, level] = _Taken(self.amount(side, level) + lots, stamp, displayed)

    def update(self, event: TapeEvent) -> None:
        """As the orders that were there leave, so does what was taken of them; later orders are untouched."""
        if event.kind == Kind.CLEAR:
            self._taken.clear()
        taken = self._taken.get((event.side, event.level))
        if event.kind in (Kind.ADD, Kind.REMOVE) and taken is not None and event.priority < taken.stamp:
            taken.still += event.delta  # an ADD with an earlier stamp is a snapshot's
        if event.kind == Kind.REMOVE and taken is not None and event.priority < taken.stamp:
            taken.amount = min(taken.amount, taken.still)
            if taken.amount == 0:
                del self._taken[event.side, event.level]
