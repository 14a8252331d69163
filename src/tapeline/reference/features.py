"""The features of a book, one function each; formulas and units: docs/ARCHITECTURE.md. A feature that needs both sides is NaN without them."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tapeline.constants import FEATURE_ACTIVITY_FIRST, PRICE_SCALE, Feature, Side
from tapeline.instruments import Instruments
from tapeline.reference.activity import Activity
from tapeline.reference.book import ABSENT, Book, Level, price_of
from tapeline.reference.normaliser import tape
from tapeline.reference.records import Chunks
from tapeline.reference.tape import TapeEvent

LEVELS_MAX: Final = 10
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


def imbalance(bid: float, ask: float) -> float:
    """1: only bids, -1: only asks."""
    return float(bid - ask) / float(bid + ask) if bid + ask > 0 else NAN


def depth(levels: Sequence[Level]) -> float:
    """Lots at some levels."""
    return float(sum(at.size for at in levels))


def slope(prices: Sequence[int], sizes: Sequence[int], mid_twice: int) -> float:
    """Lots per price by which a side's depth grows with the distance from the mid: least squares of cumulative size on distance, through the origin."""
    cumulative, products, squares = 0.0, 0.0, 0.0
    for price, size in zip(prices, sizes, strict=True):
        distance = float(abs(mid_twice - 2 * price))
        cumulative += float(size)
        products += distance * cumulative
        squares += distance * distance
    return products / squares * (2.0 * PRICE_SCALE) if squares > 0 else NAN


def order_flow(now: Level, before: Level) -> int:
    """One side's part of the order flow imbalance: what came to the touch less what left it (Cont, Kukanov, Stoikov 2014, eq. 1)."""
    return (now.size if now.level >= before.level else 0) - (before.size if now.level <= before.level else 0)


class Features:
    """The features of one book, as of its last event."""

    def __init__(self, grid: int) -> None:
        """Start with what an empty book has."""
        self._grid = grid
        self._activity = Activity()
        self._seen: tuple[tuple[Level, ...], tuple[Level, ...]] = ((), ())
        self._touch: tuple[Level, Level] | None = None
        self._mid: float | None = None
        self._variance: float | None = None
        self._order_flow_imbalance = 0
        self._order_flow_imbalance_5 = 0
        self.values = self._values(ABSENT, ABSENT)

    def note(self, event: TapeEvent) -> None:
        """Take in any tape event, of an ordinary event, when it has been applied."""
        self._activity.note(event)

    def update(self, book: Book, event: TapeEvent) -> None:
        """Look at the book at the end of an ordinary event."""
        levels = (book.side(Side.BID).depth(LEVELS_MAX), book.side(Side.ASK).depth(LEVELS_MAX))
        if levels != self._seen:
            self._look(levels)
        both = self._touch is not None and self._touch[0].size and self._touch[1].size
        middle = mid(*self._prices(*self._touch)) if both and self._touch is not None else NAN
        best = [levels[0][0].level if levels[0] else None, levels[1][0].level if levels[1] else None]
        self._activity.update(event, best, middle)
        self.values = [*self.values[:FEATURE_ACTIVITY_FIRST], *self._activity.values]

    def _look(self, levels: tuple[tuple[Level, ...], tuple[Level, ...]]) -> None:
        """One of the best levels has changed."""
        bid, ask = (side[0] if side else ABSENT for side in levels)
        if self._touch is not None:
            self._order_flow_imbalance += order_flow(bid, self._touch[0]) - order_flow(ask, self._touch[1])
            self._order_flow_imbalance_5 += sum(order_flow(*pair) for pair in zip(padded(levels[0]), padded(self._seen[0]), strict=True))
            self._order_flow_imbalance_5 -= sum(order_flow(*pair) for pair in zip(padded(levels[1]), padded(self._seen[1]), strict=True))
        self._seen = levels
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
            values[Feature.IMBALANCE_ORDERS] = imbalance(bid.count, ask.count)
            values[Feature.SLOPE_BID], values[Feature.SLOPE_ASK] = (
                slope([price_of(side, at.level, self._grid) for at in levels[:5]], [at.size for at in levels[:5]], sum(prices))
                for side, levels in zip((Side.BID, Side.ASK), self._seen, strict=True)
            )
        depth_5, depth_10 = [depth(side[:5]) for side in self._seen], [depth(side) for side in self._seen]
        values[Feature.DEPTH_BID], values[Feature.DEPTH_ASK] = depth_5
        values[Feature.DEPTH_BID_10], values[Feature.DEPTH_ASK_10] = depth_10
        values[Feature.IMBALANCE_5], values[Feature.IMBALANCE_10] = imbalance(*depth_5), imbalance(*depth_10)
        values[Feature.ORDER_FLOW_IMBALANCE] = float(self._order_flow_imbalance)
        values[Feature.ORDER_FLOW_IMBALANCE_5] = float(self._order_flow_imbalance_5)
        values[Feature.VOLATILITY] = NAN if self._variance is None else math.sqrt(self._variance)
        values[FEATURE_ACTIVITY_FIRST:] = self._activity.values
        return values


def padded(levels: Sequence[Level]) -> list[Level]:
    """Exactly five levels, those that are not there ABSENT."""
    return [*levels[:5], *[ABSENT] * (5 - len(levels))]


class FeatureRow(NamedTuple):
    """All features after an ordinary event."""

    ts_event: int
    ts_recv: int
    sequence: int
    instrument: int
    values: tuple[float, ...]


def feature_rows(chunks: Chunks, instruments: Instruments) -> Iterator[FeatureRow]:
    """One row per ordinary event."""
    books: dict[int, tuple[Book, Features]] = {}
    for event in tape(chunks, instruments, {}):
        if event.instrument not in books:
            books[event.instrument] = Book(), Features(instruments.known[event.instrument].grid)
        book, features = books[event.instrument]
        book.apply(event)
        if event.is_snapshot:
            continue
        features.note(event)
        if event.is_last:
            features.update(book, event)
            yield FeatureRow(event.ts_event, event.ts_recv, event.sequence, event.instrument, tuple(features.values))
