"""What strategies see of the market: the last notice that reached them, never the book itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tapeline.constants import FEATURE_ACTIVITY_FIRST, UNDEFINED_PRICE, Feature, Phase, Side
from tapeline.instruments import Instrument
from tapeline.reference.book import Quote
from tapeline.reference.messages import EventNotice, TradePrint

NONE_DECLARED: Final = (math.nan,) * len(Feature)
NO_TRADE: Final = TradePrint(UNDEFINED_PRICE, 0, int(Side.NONE), 0, 0, 0)


@dataclass(slots=True, frozen=True)
class View:
    """The part of a book that a strategy class looks at: its depth, and its features (NaN where not declared)."""

    bids: tuple[Quote, ...]
    asks: tuple[Quote, ...]
    features: tuple[float, ...]

    def shows_the_same_as(self, other: "View") -> bool:
        """Equality under which NaN equals NaN; features of what happened change with every event, and are no news by themselves."""
        if (self.bids, self.asks) != (other.bids, other.asks):
            return False
        of_the_book = zip(self.features[:FEATURE_ACTIVITY_FIRST], other.features[:FEATURE_ACTIVITY_FIRST], strict=True)
        return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in of_the_book)

    def has_the_same_best(self, n: int, other: "View") -> bool:
        """Whether the `n` best levels of both sides are equal."""
        return (self.bids[:n], self.asks[:n]) == (other.bids[:n], other.asks[:n])

    def with_activity_of(self, other: "View") -> "View":
        """This book with the other's features of what happened."""
        return View(self.bids, self.asks, self.features[:FEATURE_ACTIVITY_FIRST] + other.features[FEATURE_ACTIVITY_FIRST:])


@dataclass(slots=True, frozen=True)
class Notice:
    """What is sent to the rows of a group: the view last published for the book, the last trade, the clock; and, for on_trade and on_event, what happened."""

    callback: str
    instrument: int
    ts_event: int
    ts_recv: int
    view: View
    last_trade: TradePrint
    subject: TradePrint | EventNotice | None = None


class Market:
    """`market` of one instrument in callbacks."""

    n = 1
    """Instruments."""

    def __init__(self, instrument: Instrument, view: View) -> None:
        """Start before any notice."""
        self.instrument = instrument.index
        self.tick = instrument.tick
        self.ts_event = 0
        self.ts_recv = 0
        self.phase = int(Phase.TRADING)
        """Of trading, as last told."""
        self.mark = 0
        """The last mid seen, in half ticks of the grid; 0 before."""
        self.has_mark = False
        self._grid = instrument.grid
        self._view = view
        self._last_trade = NO_TRADE

    def show(self, notice: Notice) -> None:
        """A notice has arrived."""
        self.ts_event, self.ts_recv = notice.ts_event, notice.ts_recv
        self._view, self._last_trade = notice.view, notice.last_trade
        if self.has_bid and self.has_ask:
            self.mark = self.bid_price // self._grid + self.ask_price // self._grid
            self.has_mark = True

    def bid(self, i: int) -> Quote:
        """The i-th best bid of the declared depth, 0 being the best."""
        return self._view.bids[checked_index(i, len(self._view.bids))]

    def ask(self, i: int) -> Quote:
        """The i-th best ask of the declared depth, 0 being the best."""
        return self._view.asks[checked_index(i, len(self._view.asks))]

    @property
    def bid_price(self) -> int:
        """Best bid in 1e-9; UNDEFINED_PRICE when absent."""
        return self._view.bids[0].price

    @property
    def ask_price(self) -> int:
        """Best ask in 1e-9; UNDEFINED_PRICE when absent."""
        return self._view.asks[0].price

    @property
    def bid_size(self) -> int:
        """Lots at the best bid."""
        return self._view.bids[0].size

    @property
    def ask_size(self) -> int:
        """Lots at the best ask."""
        return self._view.asks[0].size

    @property
    def bid_count(self) -> int:
        """Orders at the best bid."""
        return self._view.bids[0].count

    @property
    def ask_count(self) -> int:
        """Orders at the best ask."""
        return self._view.asks[0].count

    @property
    def has_bid(self) -> bool:
        """Whether anybody bids."""
        return self.bid_size > 0

    @property
    def has_ask(self) -> bool:
        """Whether anybody offers."""
        return self.ask_size > 0

    @property
    def last_price(self) -> int:
        """Price of the last trade; UNDEFINED_PRICE before the first."""
        return self._last_trade.price

    @property
    def last_size(self) -> int:
        """Size of the last trade."""
        return self._last_trade.size

    @property
    def last_side(self) -> int:
        """Aggressor's side of the last trade."""
        return self._last_trade.side

    @property
    def features(self) -> Sequence[float]:
        """Indexed by `Feature`; NaN unless declared."""
        return self._view.features

    def __getitem__(self, i: int) -> "Market":
        """`market[0]` is the market itself in a run with one instrument."""
        checked_index(i, 1)
        return self


class PerInstrument:
    """`market` or `account` in a run with several instruments: indexed first."""

    def __init__(self, items: Sequence[Any], instrument: int) -> None:
        """`instrument` is that of the callback."""
        self._items = items
        self.instrument = instrument
        self.n = len(items)

    def __getitem__(self, i: int) -> Any:
        """That of the i-th instrument."""
        return self._items[checked_index(i, len(self._items))]


def checked_index(i: int, n: int) -> int:
    """An index as it is, if it is one: negative ones do not count from the end."""
    if not 0 <= i < n:
        raise IndexError(f"index {i} is not within 0 … {n - 1}")
    return int(i)


def declared_features(features: Sequence[int], values: Sequence[float]) -> tuple[float, ...]:
    """Values of the declared features, NaN for the others."""
    if not features:
        return NONE_DECLARED
    return tuple(values[f] if f in features else math.nan for f in range(len(Feature)))
