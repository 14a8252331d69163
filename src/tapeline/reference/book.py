"""The order book: size and number of orders per level. Levels are mirrored for asks, so that better is greater on both sides."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from tapeline.constants import LEVEL_MAX, LEVEL_NONE, UNDEFINED_PRICE, Kind, Phase, Side, TapeFlag
from tapeline.instruments import Instrument, Instruments
from tapeline.reference.normaliser import tape
from tapeline.reference.records import Chunks
from tapeline.reference.tape import TapeEvent


class Level(NamedTuple):
    """What rests at one level."""

    level: int
    size: int
    count: int  # type: ignore[assignment]  # hides a method of tuples that nobody misses


class Quote(NamedTuple):
    """What rests at one price, as the outside sees it: prices in 1e-9."""

    price: int
    size: int
    count: int  # type: ignore[assignment]  # the contract's name


ABSENT = Level(LEVEL_NONE, 0, 0)
NO_QUOTE = Quote(UNDEFINED_PRICE, 0, 0)
MARKET_LEVEL = LEVEL_MAX + 1
"""A market order stands at a level whose opposite is below all levels: it has no limit."""


def price_of(side: int, level: int, grid: int) -> int:
    """Price in 1e-9 of a level."""
    return (level if side == Side.BID else -level) * grid


def opposite(side: int) -> int:
    """The other side."""
    return Side.ASK if side == Side.BID else Side.BID


class BookSide:
    """One side of a book."""

    def __init__(self) -> None:
        """Start empty."""
        self._levels: dict[int, tuple[int, int]] = {}
        self._order: list[int] = []
        self._best: dict[int, tuple[Level, ...]] = {}
        """What `depth` answered since the last change: many look, and few events change both sides."""

    def change(self, level: int, size: int, count: int) -> None:
        """Add signed lots and orders to a level; a level without size is no level."""
        self._best.clear()
        size_before, count_before = self._levels.get(level, (0, 0))
        if size_before == 0:
            insort(self._order, level)
        self._levels[level] = (size_before + size, count_before + count)
        if size_before + size == 0:
            del self._levels[level]
            del self._order[bisect_left(self._order, level)]

    def displayed(self, level: int) -> int:
        """Lots at a level."""
        return self._levels.get(level, (0, 0))[0]

    def best(self) -> Level:
        """The greatest level, or ABSENT."""
        return self.depth(1)[0] if self._order else ABSENT

    def depth(self, n: int) -> tuple[Level, ...]:
        """The n best levels, best first; fewer if there are fewer."""
        if n not in self._best:
            self._best[n] = tuple(Level(level, *self._levels[level]) for level in self._order[: -n - 1 : -1])
        return self._best[n]

    def levels_down_to(self, limit: int) -> list[int]:
        """Levels at or above the limit, best first."""
        return [level for level in reversed(self._order) if level >= limit]


class Book:
    """Both sides of one instrument's book."""

    def __init__(self) -> None:
        """Start empty."""
        self._sides: dict[int, BookSide] = {Side.BID: BookSide(), Side.ASK: BookSide()}

    def side(self, side: int) -> BookSide:
        """One of the two sides."""
        return self._sides[side]

    def apply(self, event: TapeEvent) -> None:
        """Do what a tape event does to a book: ADD and REMOVE change a level, CLEAR empties both sides, the others nothing."""
        if event.kind in (Kind.ADD, Kind.REMOVE):
            self.side(event.side).change(event.level, event.delta, event.orders)
        elif event.kind == Kind.CLEAR:
            self._sides = {Side.BID: BookSide(), Side.ASK: BookSide()}

    def is_crossed(self) -> bool:
        """Locked or crossed: the best bid is at or above the best ask."""
        bid, ask = self.side(Side.BID).best(), self.side(Side.ASK).best()
        return bid.size > 0 and ask.size > 0 and bid.level >= -ask.level

    def would_clear(self, price: int, grid: int) -> bool:
        """Whether an auction in a crossed book could have an exact price: not below the best ask, nor above the best bid."""
        bid, ask = self.side(Side.BID).best(), self.side(Side.ASK).best()
        return bid.size > 0 and ask.size > 0 and -ask.level * grid <= price <= bid.level * grid

    def quotes(self, side: int, n: int, grid: int) -> tuple[Quote, ...]:
        """The n best prices of a side, padded with NO_QUOTE."""
        quotes = tuple(Quote(price_of(side, at.level, grid), at.size, at.count) for at in self.side(side).depth(n))
        return quotes + (NO_QUOTE,) * (n - len(quotes))


class ExchangeBook(Book):
    """A book with what the venue must know besides: where its events end, and which stamp comes next."""

    def __init__(self, instrument: Instrument) -> None:
        """Start empty, between two events."""
        super().__init__()
        self.instrument = instrument
        self.is_inside_event = False
        self.was_crossed = False
        """Locked or crossed at the last event boundary: the only place where it is judged."""
        self.phase = int(Phase.TRADING)
        """Of trading, at the time of what happens now."""
        self.stamp_next = 1
        """Greater than every stamp in the book, not greater than any that comes later."""
        self.replaced: tuple[int, int, int] | None = None
        """Side, level and size of the last REMOVE that was half of a modify; the ADD after it is the other half."""
        self.traded: tuple[int, ...] = ()
        """Exact prices of the trades of the last event, in order; of an event without trades that of the last one before."""
        self._traded_in_event: tuple[int, ...] = ()
        self.is_void = False
        """There was a CLEAR since the last ordinary event began."""
        self.is_lost = False
        """... and none of the orders before it came back."""
        self.stamp_voided = 0

    def apply(self, event: TapeEvent) -> None:
        """Also watch stamps, modifies and boundaries."""
        super().apply(event)
        if event.kind == Kind.ADD:
            self.stamp_next = max(self.stamp_next, event.priority + 1)
        if event.kind == Kind.REMOVE and event.flags & TapeFlag.MODIFIED:
            self.replaced = (event.side, event.level, event.size)
        if event.kind == Kind.TRADE and event.priority != UNDEFINED_PRICE and not event.is_snapshot:
            self._traded_in_event += (event.priority,)
        self.is_inside_event = not event.is_last
        if event.is_last:
            self.was_crossed = self.is_crossed()
        if event.is_last and not event.is_snapshot:
            self.traded = self._traded_in_event or self.traded[-1:]
            self._traded_in_event = ()
        self._watch_gap(event)

    def go_to(self, ts: int) -> None:
        """Something happens at a time."""
        self.phase = self.instrument.phase_at(ts)

    @property
    def is_matching(self) -> bool:
        """Whether orders are matched as they come: not while the book is locked or crossed, and only while it trades."""
        return not self.was_crossed and self.phase == Phase.TRADING

    @property
    def is_in_auction(self) -> bool:
        """Whether what trades is an auction's."""
        return self.phase == Phase.AUCTION or (self.was_crossed and self.phase == Phase.TRADING)

    @property
    def last_trade(self) -> int | None:
        """Exact price of the last trade; None before the first."""
        return next(reversed(self.traded + self._traded_in_event), None)

    def _watch_gap(self, event: TapeEvent) -> None:
        """A CLEAR voids the book; a snapshot that brings back an order with the stamp that it had shows that nothing was lost."""
        if event.kind == Kind.CLEAR:
            self.stamp_voided = self.stamp_voided if self.is_void else self.stamp_next
            self.is_void, self.is_lost = True, True
        elif event.kind == Kind.ADD and event.is_snapshot and event.priority < self.stamp_voided:
            self.is_lost = False


class DepthRow(NamedTuple):
    """The best levels after an event that changed them."""

    ts_event: int
    ts_recv: int
    sequence: int
    instrument: int
    bids: tuple[Quote, ...]
    asks: tuple[Quote, ...]


def depth_rows(chunks: Chunks, instruments: Instruments, depth: int) -> Iterator[DepthRow]:
    """One row per ordinary event that changed the `depth` best levels of its book."""
    books: dict[int, Book] = {}
    shown: dict[int, tuple[tuple[Quote, ...], tuple[Quote, ...]]] = {}
    nothing = ((NO_QUOTE,) * depth, (NO_QUOTE,) * depth)
    for event in tape(chunks, instruments, {}):
        book = books.setdefault(event.instrument, Book())
        book.apply(event)
        if not event.is_last or event.is_snapshot:
            continue
        grid = instruments.known[event.instrument].grid
        now = (book.quotes(Side.BID, depth, grid), book.quotes(Side.ASK, depth, grid))
        if now != shown.get(event.instrument, nothing):
            shown[event.instrument] = now
            yield DepthRow(event.ts_event, event.ts_recv, event.sequence, event.instrument, *now)
