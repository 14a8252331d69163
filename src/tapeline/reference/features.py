"""The features of a book, one function each; formulas and units: docs/ARCHITECTURE.md. A feature that needs both sides is NaN without them."""

import math
from collections.abc import Sequence
from typing import Final

from tapeline.constants import PRICE_SCALE, Feature, Side
from tapeline.reference.book import ABSENT, Book, Level, price_of

DEPTH_LEVELS: Final = 5
"""How many levels a side the features look at."""
VOLATILITY_DECAY: Final = 0.94
VOLATILITY_GAIN: Final = 0.06
NAN: Final = math.nan


def spread(bid: int, ask: int) -> float:
    """Best ask less best bid."""
    return float(ask - bid) / PRICE_SCALE


def mid(bid: int, ask: int) -> float:
    """The middle of the best prices."""
    return float(ask + bid) / (2 * PRICE_SCALE)


def spread_relative(bid: int, ask: int) -> float:
    """The spread as a part of the mid."""
    return spread(bid, ask) / mid(bid, ask) if mid(bid, ask) != 0 else NAN


def microprice(bid: int, ask: int, bid_size: int, ask_size: int) -> float:
    """The best prices, each weighted by the other side's size."""
    return (float(bid) * float(ask_size) + float(ask) * float(bid_size)) / (float(ask_size + bid_size) * float(PRICE_SCALE))


def imbalance(bid_size: int, ask_size: int) -> float:
    """1: only bids at the touch, -1: only asks."""
    return float(bid_size - ask_size) / float(bid_size + ask_size)


def depth(levels: Sequence[Level]) -> float:
    """Lots at the five best levels of a side."""
    return float(sum(at.size for at in levels))


def order_flow(now: Level, before: Level) -> int:
    """One side's part of the order flow imbalance: what came to the touch less what left it (Cont, Kukanov, Stoikov 2014, eq. 1)."""
    return (now.size if now.level >= before.level else 0) - (before.size if now.level <= before.level else 0)


class Features:
    """The features of one book, as of its last event."""

    def __init__(self, grid: int) -> None:
        """Start with what an empty book has."""
        self._grid = grid
        self._seen: tuple[tuple[Level, ...], tuple[Level, ...]] = ((), ())
        self._touch: tuple[Level, Level] | None = None
        self._mid: float | None = None
        self._variance: float | None = None
        self._order_flow_imbalance = 0
        self.values = self._values(ABSENT, ABSENT)

    def update(self, book: Book) -> None:
        """Look at the book at the end of an ordinary event; nothing happens unless one of its best levels changed."""
        levels = (book.side(Side.BID).depth(DEPTH_LEVELS), book.side(Side.ASK).depth(DEPTH_LEVELS))
        if levels == self._seen:
            return
        self._seen = levels
        bid, ask = (side[0] if side else ABSENT for side in levels)
        if self._touch is not None:
            self._order_flow_imbalance += order_flow(bid, self._touch[0]) - order_flow(ask, self._touch[1])
        self._touch = (bid, ask)
        if bid.size and ask.size:
            self._update_volatility(mid(*self._prices(bid, ask)))
        self.values = self._values(bid, ask)

    def _prices(self, bid: Level, ask: Level) -> tuple[int, int]:
        return price_of(Side.BID, bid.level, self._grid), price_of(Side.ASK, ask.level, self._grid)

    def _update_volatility(self, now: float) -> None:
        """An exponentially weighted variance of the changes of the mid (RiskMetrics 1996)."""
        if self._mid is not None and now != self._mid:
            change = now - self._mid
            if self._variance is None:
                self._variance = change * change
            else:
                self._variance = VOLATILITY_DECAY * self._variance + VOLATILITY_GAIN * (change * change)
        self._mid = now

    def _values(self, bid: Level, ask: Level) -> list[float]:
        """All features in the order of `Feature`."""
        values = [NAN] * len(Feature)
        if bid.size and ask.size:
            prices, sizes = self._prices(bid, ask), (bid.size, ask.size)
            values[Feature.SPREAD] = spread(*prices)
            values[Feature.SPREAD_RELATIVE] = spread_relative(*prices)
            values[Feature.MID] = mid(*prices)
            values[Feature.MICROPRICE] = microprice(*prices, *sizes)
            values[Feature.IMBALANCE] = imbalance(*sizes)
        values[Feature.DEPTH_BID], values[Feature.DEPTH_ASK] = (depth(side) for side in self._seen)
        values[Feature.ORDER_FLOW_IMBALANCE] = float(self._order_flow_imbalance)
        values[Feature.VOLATILITY] = NAN if self._variance is None else math.sqrt(self._variance)
        return values
