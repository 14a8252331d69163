"""Every feature from the records alone, in exact fractions, written from the table in docs/ARCHITECTURE.md and not from either engine.

A book is a dict of orders that is added up anew after each event. Records must be well formed: no top-of-book venues, no id twice, no undefined values.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from tapeline.constants import RecordFlag

SECOND = 1_000_000_000
DECAYED = ("event_rate", "add_rate", "cancel_rate", "trade_rate", "volume_rate", "trade_flow")
Level = tuple[int, int, int]
"""Price (1e-9), size, number of orders."""
NONE: Level = (0, 0, 0)


def flow(now: Level, before: Level, towards: int) -> int:
    """What came to a level less what left it: of Cont, Kukanov and Stoikov's three cases one. `towards`: 1 where a higher price is better, else -1."""
    if not now[1] or not before[1] or now[0] == before[0]:
        return now[1] - before[1]
    return now[1] if towards * now[0] > towards * before[0] else -before[1]


def ratio(part: Any, whole: Any) -> Any:
    """A quotient; NaN of what is not there, or of nothing."""
    return Fraction(part, whole) if whole else math.nan


@dataclass
class PlainBook:
    """One book, and what it remembers for its features."""

    orders: dict[int, list[Any]] = field(default_factory=dict)
    """By id: side, price, size, lots that F took since the order's last change."""
    in_snapshot: bool = False
    aggressor: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Of the event under way."""
    executed: int = 0
    seen: tuple[list[Level], list[Level]] | None = None
    flows: Counter[str] = field(default_factory=Counter)
    decayed: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DECAYED, 0.0))
    now: int | None = None
    variance: float = math.nan
    mid_last: Fraction | None = None
    notional: int = 0
    volume: int = 0
    trade_size: float = math.nan
    trade_time: int | None = None
    touch: list[tuple[int | None, int]] = field(default_factory=lambda: [(None, 0), (None, 0)])
    mids: list[tuple[int, Fraction | None]] = field(default_factory=list)
    """(time, mid) as each event left it."""

    def take(self, record: dict[str, Any]) -> None:
        """Do what a record says; count it, unless it is of a snapshot."""
        action, key, size = record["action"], record["order_id"], record["size"]
        if record["snapshot"] and not self.in_snapshot:
            self.orders.clear()
        self.in_snapshot = record["snapshot"]
        counts = self.counts if not record["snapshot"] else Counter()
        if action == "R":
            self.orders.clear()
        elif action == "A" or (action == "M" and key not in self.orders):
            self.orders[key] = [record["side"], record["price"], size, 0]
            counts["add_rate"] += 1
        elif action == "T":
            self._print(record)
        elif key not in self.orders:
            return
        elif action == "C":
            self._leave(key, min(size, self.orders[key][2]), counts)
        elif action == "M":
            self._modify(key, [record["side"], record["price"], size, 0], counts)
        elif action == "F" and not (key == self.aggressor and key):
            order = self.orders[key]
            self.executed += min(size, max(order[2] - order[3], 0))
            order[3] += size

    def _leave(self, key: int, lots: int, counts: Counter[str]) -> None:
        counts["cancel_rate"] += not self.executed
        self.executed = max(self.executed - lots, 0)
        self.orders[key][2] -= lots
        self.orders[key][3] = 0
        if not self.orders[key][2]:
            del self.orders[key]

    def _modify(self, key: int, new: list[Any], counts: Counter[str]) -> None:
        """What keeps its place and gets smaller is a cancel of the difference; other modifies are neither orders nor cancels."""
        side, price, size, filled = self.orders[key]
        if new[:2] == [side, price] and new[2] < size and new[2] <= size - filled:
            self._leave(key, size - new[2], counts)
        else:
            self.orders[key] = new

    def _print(self, record: dict[str, Any]) -> None:
        size = record["size"]
        self.aggressor = record["order_id"]
        self.counts.update(trade_rate=1, volume_rate=size, trade_flow={"B": size, "A": -size}.get(record["side"], 0))
        self.notional += record["price"] * size
        self.volume += size
        self.trade_size = float(size)

    def levels(self, side: str) -> list[Level]:
        """The ten best levels of a side."""
        found: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for of, price, size, _ in self.orders.values():
            if of == side:
                found[price][0] += size
                found[price][1] += 1
        return [(price, *found[price]) for price in sorted(found, reverse=side == "B")[:10]]

    def end(self, ts: int) -> dict[str, float]:
        """An ordinary event has ended: the features by name."""
        bids, asks = self.levels("B"), self.levels("A")
        mid = Fraction(bids[0][0] + asks[0][0], 2 * SECOND) if bids and asks else None
        values = self._of_levels(bids, asks, mid) | self._of_flow(bids, asks) | self._of_time(ts, [s[0][0] if s else None for s in (bids, asks)], mid)
        if mid is not None:
            if self.mid_last is not None and mid != self.mid_last:
                square = float(mid - self.mid_last) ** 2
                self.variance = square if math.isnan(self.variance) else 0.94 * self.variance + 0.06 * square
            self.mid_last = mid
        return {name: float(value) for name, value in {**values, "volatility": math.sqrt(self.variance)}.items()}

    @staticmethod
    def _of_levels(bids: list[Level], asks: list[Level], mid: Fraction | None) -> dict[str, Any]:
        values: dict[str, Any] = {"mid": math.nan if mid is None else mid}
        (b, q_b, n_b), (a, q_a, n_a) = (side[0] if side else NONE for side in (bids, asks))
        both = mid is not None
        values["spread"] = Fraction(a - b, SECOND) if both else math.nan
        values["spread_relative"] = values["spread"] / mid if mid else math.nan
        values["microprice"] = Fraction(b * q_a + a * q_b, (q_a + q_b) * SECOND) if both else math.nan
        values["imbalance"] = ratio(q_b - q_a, q_b + q_a) if both else math.nan
        values["imbalance_orders"] = ratio(n_b - n_a, n_b + n_a) if both else math.nan
        for k, name in ((5, ""), (10, "_10")):
            depth_bid, depth_ask = (sum(size for _, size, _ in side[:k]) for side in (bids, asks))
            values |= {f"depth_bid{name}": depth_bid, f"depth_ask{name}": depth_ask, f"imbalance_{k}": ratio(depth_bid - depth_ask, depth_bid + depth_ask)}
        for name, side in (("slope_bid", bids), ("slope_ask", asks)):
            distances = [abs(Fraction(price, SECOND) - mid) for price, _, _ in side[:5]] if mid is not None else []
            depths = [sum(size for _, size, _ in side[: k + 1]) for k in range(len(distances))]
            squares = sum(x * x for x in distances)
            values[name] = sum(x * y for x, y in zip(distances, depths, strict=True)) / squares if squares else math.nan
        return values

    def _of_flow(self, bids: list[Level], asks: list[Level]) -> dict[str, Any]:
        """Running sums, from the first view with a price in it on."""
        if self.seen is not None:
            for towards, now, before in ((1, bids, self.seen[0]), (-1, asks, self.seen[1])):
                parts = [flow(x, y, towards) for x, y in zip([*now, *[NONE] * 5][:5], [*before, *[NONE] * 5][:5], strict=True)]
                self.flows.update(order_flow_imbalance=towards * parts[0], order_flow_imbalance_5=towards * sum(parts))
        if self.seen is not None or bids or asks:
            self.seen = bids, asks
        return {name: self.flows[name] for name in ("order_flow_imbalance", "order_flow_imbalance_5")}

    def _of_time(self, ts: int, best: Sequence[int | None], mid: Fraction | None) -> dict[str, Any]:
        """Rates, ages, and what the mid was before."""
        before = ts if self.now is None else self.now
        now = self.now = max(before, ts)
        self.counts["event_rate"] = 1
        self.decayed = {name: rate * math.exp((before - now) / SECOND) + self.counts[name] for name, rate in self.decayed.items()}
        self.trade_time = now if self.counts["trade_rate"] else self.trade_time
        self.counts.clear()
        self.executed = 0
        self.touch = [old if old[0] == price else (price, now) for old, price in zip(self.touch, best, strict=True)]
        volume = self.decayed["volume_rate"]
        values: dict[str, Any] = {**self.decayed, "trade_imbalance": self.decayed["trade_flow"] / volume if volume else math.nan}
        values["vwap"] = ratio(self.notional, self.volume * SECOND)
        values |= {"trade_size": self.trade_size, "trade_age": math.nan if self.trade_time is None else (now - self.trade_time) / SECOND}
        for name, (price, since) in zip(("touch_age_bid", "touch_age_ask"), self.touch, strict=True):
            values[name] = math.nan if price is None else (now - since) / SECOND
        for name, step in (("return_100ms", SECOND // 100), ("return_1s", SECOND // 10), ("return_10s", SECOND)):
            then = self._mid_at((now // step - 10) * step)
            values[name] = math.nan if mid is None or not then else mid / then - 1
        sampled = [self._mid_at((now // SECOND - k) * SECOND) for k in range(61)]
        changes = [x - y for x, y in pairwise(sampled) if x is not None and y is not None]
        values["volatility_realised"] = math.sqrt(sum(x * x for x in changes)) if changes else math.nan
        self.mids.append((now, mid))
        return values

    def _mid_at(self, time: int) -> Fraction | None:
        """As the last event before a time left it."""
        place = bisect_left(self.mids, time, key=lambda event: event[0])
        return self.mids[place - 1][1] if place else None


def plain_features(array: np.ndarray) -> Iterator[tuple[tuple[int, int], dict[str, float]]]:
    """(instrument id, time) and features after each ordinary event of the records of a file."""
    books: dict[int, PlainBook] = defaultdict(PlainBook)
    records = [dict(zip(array.dtype.names, line, strict=True)) for line in array.tolist()]
    for record in records:
        flags = record["flags"]
        record |= {"action": chr(record["action"]), "side": chr(record["side"]), "snapshot": bool(flags & RecordFlag.SNAPSHOT)}
        record["last"] = bool(flags & RecordFlag.LAST) or (record["action"] == "R" and not record["snapshot"])
    for record, following in zip(records, [*records[1:], None], strict=True):
        book = books[record["instrument_id"]]
        book.take(record)
        same = following is not None and all(record[name] == following[name] for name in ("instrument_id", "ts_event", "sequence"))
        if record["last"] and not record["snapshot"] and not (same and not following["snapshot"]):
            yield (record["instrument_id"], record["ts_event"]), book.end(record["ts_event"])
