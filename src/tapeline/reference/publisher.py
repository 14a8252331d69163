"""Who is told what of the market: one audience per strategy class, and in it one group of rows per feed latency."""

from collections.abc import Sequence
from typing import Final

from tapeline.constants import UNDEFINED_PRICE, Kind, Side
from tapeline.instruments import Instrument
from tapeline.reference.book import NO_QUOTE, ExchangeBook, price_of
from tapeline.reference.features import Features
from tapeline.reference.market import NO_TRADE, Market, Notice, View, declared_features
from tapeline.reference.messages import EventNotice, StatusNotice, TradePrint
from tapeline.reference.row import Row
from tapeline.reference.schedule import Delivery, Due, PhaseNews, Schedule
from tapeline.reference.tape import TapeEvent

NOTICES: Final = ("on_event", "on_trade", "on_book")
"""Callbacks of notices, in the order in which one tape event publishes them."""


class Group:
    """Rows of one strategy class with one feed latency: they see the same market at the same time."""

    def __init__(self, feed_ns: int, schedule: Schedule) -> None:
        """Start without rows."""
        self.rows: list[Row] = []
        self.markets: list[Market] = []
        self.feed_ns = feed_ns
        self._schedule = schedule
        self._due_previous = 0

    def send(self, notice: Notice) -> None:
        """A notice takes the feed's latency, and never overtakes the one before."""
        self._due_previous = max(notice.ts_recv + self.feed_ns, self._due_previous)
        self._schedule.add(self._due_previous, Due.MARKET, Delivery(self, notice))

    def send_phase(self, instrument: Instrument, number: int, after: int) -> None:
        """News of the next change of phase, if there is one, takes the feed's latency, too, and does not overtake the change before."""
        if number < len(instrument.phases):
            due = max(instrument.phases[number].ts_recv + self.feed_ns, after)
            self._schedule.add(due, Due.PHASE, PhaseNews(self, instrument.index, number))

    def show_phase(self, instrument: Instrument, number: int, now: int) -> tuple[int, StatusNotice]:
        """News of a change is there: of several that are there by now, the last is shown and told. Its number, and the notice."""
        phases = instrument.phases
        while number + 1 < len(phases) and phases[number + 1].ts_recv + self.feed_ns <= now:
            number += 1
        change = phases[number]
        self.markets[instrument.index].phase = change.phase
        return number, StatusNotice(change.ts, change.ts_recv, change.phase, instrument.index)


class Audience:
    """All rows of one strategy class: they look at the same part of every book."""

    def __init__(self, strategy_class: type) -> None:
        """Read what the class declares."""
        self.depth = max(1, int(getattr(strategy_class, "depth", 1)))
        self.features = tuple(int(feature) for feature in getattr(strategy_class, "features", ()))
        self.wake_depth: int | None = getattr(strategy_class, "wake_depth", None)
        self.groups: dict[int, Group] = {}
        self.views: list[View] = []
        """Per book, the view last published."""
        self._callbacks = {name for name in NOTICES if hasattr(strategy_class, name)}

    def asks_for(self, callback: str) -> bool:
        """Views are published to all: whoever trades has a market."""
        return callback == "on_book" or callback in self._callbacks

    def empty_view(self, features: Features) -> View:
        """What is shown before the first notice."""
        nothing = (NO_QUOTE,) * self.depth
        return View(nothing, nothing, declared_features(self.features, features.values))

    def view_of(self, book: ExchangeBook, features: Features) -> View:
        """What this class sees of a book."""
        grid = book.instrument.grid
        return View(book.quotes(Side.BID, self.depth, grid), book.quotes(Side.ASK, self.depth, grid), declared_features(self.features, features.values))

    def look_at(self, index: int, view: View) -> bool:
        """Keep what this class sees of a book from now on; whether it is news. With a wake_depth the view stays as it is until it is."""
        before = self.views[index]
        is_news = not (view.shows_the_same_as(before) if self.wake_depth is None else view.has_the_same_best(self.wake_depth, before))
        self.views[index] = view if is_news or self.wake_depth is None else before.with_activity_of(view)
        return is_news

    def publish(self, callback: str, event: TapeEvent, last_trade: TradePrint, subject: TradePrint | EventNotice | None) -> None:
        """Send a notice to every group."""
        notice = Notice(callback, event.instrument, event.ts_event, event.ts_recv, self.views[event.instrument], last_trade, subject)
        for group in self.groups.values():
            group.send(notice)


class Publisher:
    """Compares, after each tape event, what everybody looks at with what everybody was told."""

    def __init__(self, rows: Sequence[Row], schedule: Schedule) -> None:
        """Sort rows into audiences and groups."""
        self.notices = 0
        self.audiences: dict[type, Audience] = {}
        self.group_of: dict[int, Group] = {}
        self._features: list[Features] = []
        self._last_trades: list[TradePrint] = []
        for row in rows:
            audience = self.audiences.setdefault(type(row.strategy), Audience(type(row.strategy)))
            group = audience.groups.setdefault(row.feed_ns, Group(row.feed_ns, schedule))
            group.rows.append(row)
            self.group_of[row.index] = group

    def open_book(self, instrument: Instrument) -> None:
        """Look at one more book."""
        features = Features(instrument.grid)
        self._features.append(features)
        self._last_trades.append(NO_TRADE)
        for audience in self.audiences.values():
            audience.views.append(audience.empty_view(features))
            for group in audience.groups.values():
                group.markets.append(Market(instrument, audience.views[-1]))
                group.send_phase(instrument, 0, 0)

    def publish(self, event: TapeEvent, book: ExchangeBook) -> None:
        """Tell of a tape event that was just applied: the event, the trade, and at the end of an event the view. Snapshots tell nothing."""
        grid = book.instrument.grid
        if event.kind == Kind.TRADE:
            trade = TradePrint(event.priority, event.size, event.side, event.ts_event, event.ts_recv, event.instrument)
            self._last_trades[event.instrument] = trade
        if event.is_snapshot:
            return
        self._features[event.instrument].note(event)
        self._publish("on_event", event, event_notice(event, grid))
        if event.kind == Kind.TRADE:
            self._publish("on_trade", event, trade)
        if event.is_last:
            self._publish_views(event, book)

    def _publish_views(self, event: TapeEvent, book: ExchangeBook) -> None:
        features = self._features[event.instrument]
        if any(audience.features for audience in self.audiences.values()):
            features.update(book, event)
        for audience in self.audiences.values():
            if audience.look_at(event.instrument, audience.view_of(book, features)):
                self._publish_to(audience, "on_book", event, None)

    def _publish(self, callback: str, event: TapeEvent, subject: TradePrint | EventNotice) -> None:
        for audience in self.audiences.values():
            if audience.asks_for(callback):
                self._publish_to(audience, callback, event, subject)

    def _publish_to(self, audience: Audience, callback: str, event: TapeEvent, subject: TradePrint | EventNotice | None) -> None:
        self.notices += 1
        audience.publish(callback, event, self._last_trades[event.instrument], subject)


def event_notice(event: TapeEvent, grid: int) -> EventNotice:
    """What on_event is told: the price of the level, of a TRADE the exact one."""
    price = UNDEFINED_PRICE
    if event.kind == Kind.TRADE:
        price = event.priority
    elif event.kind in (Kind.ADD, Kind.REMOVE, Kind.FILL):
        price = price_of(event.side, event.level, grid)
    return EventNotice(event.kind, event.side, price, event.size, event.flags, event.sequence, event.ts_event, event.ts_recv, event.instrument)
