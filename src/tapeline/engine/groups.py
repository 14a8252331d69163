"""Who sees what: groups of rows, the feeds that they read, and the rings of what is on its way to them. The Python side, which owns their memory."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tapeline.config import Limits, RowSpec
from tapeline.engine.records import FEED, GROUP, NEVER, NOT_YET, NOTICE, SHOWN
from tapeline.engine.rows import callbacks_of
from tapeline.errors import LimitError
from tapeline.market.books import OF_THE_BOOK, Looks, runs_of, shown_by
from tapeline.market.ladder import LEVEL
from tapeline.runner import uses

_NOTICES: Final = 64
_SHOWN: Final = 1 << 10
Flat = Callable[[int, Any], np.ndarray[Any, Any]]


def power_of_two(n: int) -> int:
    """The least that is not below `n`."""
    return 1 << max(n - 1, 0).bit_length()


class Groups:
    """A group is one class with one feed latency: it shares what it sees, and never notices that others see more.

    The groups of one feed latency lie side by side; there is room for one feed per group, into which they part if need be.
    """

    _notices: np.ndarray[Any, Any]
    _levels: np.ndarray[Any, Any]

    def __init__(self, rows: Sequence[RowSpec], classes: Sequence[type], numbers: Sequence[int]) -> None:
        """Find the groups of all rows of a run, of which those of some numbers are here."""
        kinds = [(classes.index(type(r.strategy)), r.venue.latency.feed_ns) for r in rows]
        self._latencies = list(dict.fromkeys(feed for _, feed in kinds))
        self._kinds = sorted(set(kinds), key=lambda kind: (self._latencies.index(kind[1]), kind[0]))
        self.of_row = [self._kinds.index(kind) for kind in kinds]
        """The number of each row's group."""
        self._limits: Limits = rows[0].venue.limits
        self._shown_room = sum(rows[i].venue.limits.orders_live_max for i in numbers)

    def __len__(self) -> int:
        """How many."""
        return len(self._kinds)

    def build(self, engine: Any, classes: Sequence[type], flat: Flat) -> None:
        """Make their records, those of the feeds, and the rings. `flat`: gives memory; the engine's plan is set."""
        self._engine = engine
        self._keep: list[Any] = []
        self._touch, self._tick = flat(2, LEVEL), 0
        self.records = flat(len(self), GROUP)
        engine.groups, engine.groups_n = self.records.ctypes.data, len(self)
        for group, (bit, feed) in zip(self.records, self._kinds, strict=True):
            self._describe(group, bit, classes[bit])
            group.feed = feed
        engine.depth = max(int(group.depth) for group in self.records)
        self._build_feeds(flat)
        engine.shown_room = self._shown_room
        self._shown = np.zeros((len(self), 0), SHOWN)
        self._ring(_NOTICES)
        self._shown_ring(power_of_two(max(_SHOWN, 2 * self._shown_room)))

    def _describe(self, group: Any, bit: int, cls: type) -> None:
        """What a group's class declares."""
        looks, shown = Looks.of(cls), shown_by(self._engine.plan)
        declared = runs_of(looks.features)
        self._keep.append(declared)
        group.classes, group.callbacks, group.lags = np.uint64(1 << bit), callbacks_of(cls), not hasattr(cls, "on_book")
        group.depth, group.features, group.declared, group.declared_n = looks.depth, looks.features, declared.ctypes.data, len(declared)
        group.sees_all = looks.features == shown
        group.of_views = 0 if looks.wake_depth is None else len(runs_of(looks.features & OF_THE_BOOK))
        # what notices show of features is what a class may see: it looks at none, or declared all that are shown, and every notice shows them anew
        is_told_of_views = not any(hasattr(cls, name) for name in ("on_trade", "on_event"))
        sees_notices = (looks.features == shown and (looks.features == 0 or is_told_of_views)) or not uses(cls, "features")
        group.in_ring = not self._engine.several and looks.depth == 1 and sees_notices

    def _build_feeds(self, flat: Flat) -> None:
        engine, groups = self._engine, self.records
        self._feeds = flat(len(self), FEED)
        self._feeds["due"] = NEVER
        engine.feeds, engine.feeds_n, engine.ts_published = self._feeds.ctypes.data, len(self._latencies), NOT_YET
        for f, latency in enumerate(self._latencies):
            mine = np.flatnonzero(groups["feed"] == latency)
            groups["reads"][mine] = f
            feed = self._feeds[f]
            feed.latency, feed.due_last, feed.first, feed.n = latency, NOT_YET, mine[0], len(mine)
            feed.classes = np.bitwise_or.reduce(groups["classes"][mine])

    def set_tick(self, tick: int) -> None:
        """The tick that markets in the ring show: nobody looks there in a run with several instruments."""
        self._notices["market"]["tick"] = self._tick = tick

    def grow_notices(self) -> None:
        """Twice the room for notices that are on their way. Raises LimitError beyond Limits(notices_in_flight_max=…)."""
        self._ring(2 * int(self._engine.notices_capacity))

    def grow_shown(self) -> None:
        """Twice the room for changes of the queues ahead of orders. Raises LimitError as grow_notices."""
        self._shown_ring(2 * int(self._engine.shown_capacity))

    def _ring(self, capacity: int) -> None:
        """A ring of notices of this size, with what is under way moved over."""
        engine = self._engine
        if capacity // 2 >= max(self._limits.notices_in_flight_max, _NOTICES):  # full at the limit or above it: a ring's size is a power of two
            raise LimitError("more market notices are on their way to strategies than Limits(notices_in_flight_max=…) allows")
        depth = int(engine.depth)
        notices, levels = np.zeros(capacity, NOTICE), np.zeros((capacity, 2 * depth), LEVEL)
        markets = notices["market"]
        markets["features"], markets["depth"], markets["levels"], markets["tick"] = np.nan, 1, self._touch.ctypes.data, self._tick
        old = int(engine.notices_capacity)
        if old:
            oldest = min((int(f.cursor) for f in self._feeds if f.due != NEVER), default=int(engine.notices_written))
            for number in range(oldest, int(engine.notices_written)):
                notices[number % capacity] = self._notices[number % old]
                levels[number % capacity] = self._levels[number % old]
        self._notices, self._levels = notices, levels
        engine.notices, engine.levels, engine.notices_capacity = notices.ctypes.data, levels.ctypes.data, capacity

    def _shown_ring(self, capacity: int) -> None:
        """Rings of this size for changes of queues ahead of our orders, with what is under way moved over."""
        old, self._shown = self._shown, np.zeros((len(self), capacity), SHOWN)
        if capacity // 2 >= max(self._limits.notices_in_flight_max, 4 * self._shown_room, _SHOWN):
            raise LimitError("more changes of queues ahead of orders are on their way to strategies than Limits(notices_in_flight_max=…) allows")
        for g, group in enumerate(self.records):
            for number in range(int(group.shown_read), int(group.shown_written)):
                self._shown[g, number % capacity] = old[g, number % old.shape[1]]
            group.shown = self._shown[g].ctypes.data
        self._engine.shown_capacity = capacity
