"""Where a resting order stands, as backtesters guess it that see displayed sizes and prints only: six estimators in place of the exact queue.

The formulas are those of hftbacktest's queue models (risk-averse, power, log) as mbo-queue 0.7 defines them per event (SPEC, section 5); front-optimistic is
mbo-queue's own. They differ in one thing: which part of a decrease that no print explains was in front of us.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapeline.config import FillRules
from tapeline.constants import FillRule, Kind, Side
from tapeline.reference.book import ExchangeBook, opposite, price_of
from tapeline.reference.tape import TapeEvent

if TYPE_CHECKING:
    from tapeline.reference.rules import OwnOrder

BEFORE_ALL: Final = -1
"""The stamp of a place that nobody knows: no order of history has an earlier one, so none moves it."""


def is_estimated(rules: FillRules) -> bool:
    """Whether places in queues are guessed."""
    return rules.queue not in ("exact", "none")


@dataclass(slots=True)
class Guess:
    """What is believed of one place, and what the current event has shown so far."""

    ahead: float
    """Lots in front."""
    credit: float = 0.0
    """Part of a lot that was traded behind what was in front, but not yet booked as a fill."""
    before: int = -1
    """Displayed size of the level before the event; -1: the event has not concerned us."""
    traded: int = 0
    """Lots printed at our price by opposite aggressors."""
    printed: int = 0
    """The same, and those at worse prices."""
    is_through: bool = False
    """Whether there was one at a worse price."""

    def forget(self) -> None:
        """Start over with the next event."""
        self.before, self.traded, self.printed, self.is_through = -1, 0, 0, False


def note(order: "OwnOrder", event: TapeEvent, book: ExchangeBook, rules: FillRules) -> None:
    """A tape event, before it is applied to the book: keep what it shows of an order's level. Prints count as they do in rule 2."""
    guess = order.guess
    assert guess is not None
    traded, through = 0, 0
    if event.kind == Kind.CLEAR:
        guess.forget()
        guess.ahead = 0.0
        return
    if event.kind == Kind.TRADE:
        if event.is_snapshot or not book.is_matching or event.side not in (Side.BID, Side.ASK) or order.side != opposite(event.side):
            return
        better_by = price_of(order.side, order.level, book.instrument.grid) - event.priority
        traded = event.size if better_by == 0 else 0
        through = event.size if (better_by if order.side == Side.BID else -better_by) > 0 and rules.trade_through else 0
        if traded == 0 and through == 0:
            return
    elif event.kind not in (Kind.ADD, Kind.REMOVE) or (event.side, event.level) != (order.side, order.level):
        return
    if guess.before < 0:
        guess.before = book.side(order.side).displayed(order.level)
    guess.traded += traded
    guess.printed += traded + through
    guess.is_through |= through > 0


def settle(order: "OwnOrder", book: ExchangeBook, rules: FillRules) -> tuple[int, int, FillRule]:
    """The event has ended: the size in front of an order, in whole lots, and how many lots it was filled, by which rule."""
    guess = order.guess
    assert guess is not None
    if guess.before < 0:
        return order.place.ahead, 0, FillRule.ESTIMATED
    displayed = book.side(order.side).displayed(order.level)
    if guess.traded > guess.ahead:
        guess.credit = min(guess.credit + (guess.traded - guess.ahead), float(order.size_left))
    ahead = max(guess.ahead - guess.traded, 0.0)
    if guess.is_through:
        guess.credit = float(order.size_left)
    after_trades = max(guess.before - guess.traded, 0)
    decrease = max(after_trades - displayed, 0)
    if decrease > 0:
        ahead -= share_in_front(rules.queue, ahead, max(after_trades - ahead, 0.0)) * decrease
    guess.ahead = min(max(ahead, 0.0), float(displayed))
    lots = int(guess.credit)
    guess.credit -= lots
    rule = FillRule.TRADE_THROUGH if guess.is_through else FillRule.ESTIMATED
    guess.forget()
    return math.ceil(guess.ahead), lots, rule


def share_in_front(model: str, front: float, back: float) -> float:
    """The share of an unexplained decrease that is taken to have been in front of us, of `front` lots, and not among the `back` behind."""
    if model == "risk_averse":
        return 0.0
    if model == "front_optimistic":
        return 1.0
    if model == "log":
        a, b = math.log1p(front), math.log1p(back)
    else:
        power = {"power1": 1, "power2": 2, "power3": 3}[model]
        a, b = front, back
        for _ in range(power - 1):
            a, b = a * front, b * back
    return a / (a + b) if a + b > 0.0 else 0.0
