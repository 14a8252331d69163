"""What the page asks, and the answers: numbers as JSON knows them. Times are nanoseconds, as text, which JavaScript's numbers are too coarse for."""

import math
import re
import threading
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE, Feature, Kind, Phase, TapeFlag
from tapeline.errors import ConfigError
from tapeline.instruments import Instrument, decimals, nearest_ticks
from tapeline.market.book import ASKS, BIDS
from tapeline.market.follow import KEPT
from tapeline.viewer.index import Index
from tapeline.viewer.own import OwnOrders
from tapeline.viewer.player import Player

LEVELS: Final = 40
FILLS_SHOWN: Final = 30
MARKS_MAX: Final = 2000
"""Fills that the overview marks."""
_KINDS: Final = {int(kind): kind.name.lower() for kind in Kind}
_SIDES: Final = {ord("B"): "buy", ord("A"): "sell"}
_TIME: Final = re.compile(r"(?:(\d{4}-\d\d-\d\d)[T ]+)?(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?Z?")
_EVENT: Final = re.compile(r"(?:#|event\s+)([\d,]+)", re.IGNORECASE)
_ORDER: Final = re.compile(r"order\s+(?:(\S.*?)\s+)?(\d+)", re.IGNORECASE)
_FILL: Final = re.compile(r"fill\s+(\d+)", re.IGNORECASE)
HINT: Final = "expected a time such as 14:30:05.25 (UTC, with a date in front if need be), #1200 or event 1200, order 17, or fill 3"
FINDS: Final = tuple(f"{way}_{what}" for way in ("next", "previous") for what in ("fill", "trade"))


class Session:
    """An indexed session, and a place in it that moves as it is asked. Answers one question at a time."""

    def __init__(self, index: Index, own: OwnOrders, title: str) -> None:
        """At the beginning."""
        self.index, self.own, self.title = index, own, title
        self._player = Player(index)
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """What there is, and how much of it has been indexed."""
        index = self.index
        reach = index.reach
        counts = zip(index.instruments, reach.events, reach.trades, strict=False)
        return {
            "title": self.title,
            "instruments": [{**_instrument(i), "events": events, "trades": trades} for i, events, trades in counts],
            "progress": {"share": index.share, "is_finished": index.is_finished, "problem": index.problem, "tape_events": reach.tape_n},
            "run": {"strategies": self.own.strategies, "orders": self.own.orders.height, "fills": {i: len(f.ts) for i, f in self.own.fills.items()}},
            "features": [feature.name.lower() for feature in Feature],
        }

    def overview(self, number: int) -> dict[str, Any]:
        """The session at a glance: best prices, events and volume at places of the tape, and some of our fills. Times in ms since `start`."""
        instrument = self.instrument(number)
        reach, lines = self.index.reach, []
        if reach.events[number]:
            samples = [[int(column[number]) for column in sample] for sample in self.index.samples if number < len(sample.clock)]
            first = reach.starts[number]  # samples begin later: at the rate of a night, an hour later
            lines = [[*first, 1, 0], *(line for line in samples if line[0] > first[0])]
        start = lines[0][0] if lines else 0
        fills = self.own.fills.get(number)
        marks: list[list[Any]] = []
        if fills is not None and fills.ts:
            step = -(-len(fills.ts) // MARKS_MAX)
            part = fills.frame.gather_every(step)
            marks = [[(ts - start) / 1e6, price, side] for ts, price, side in part.select("ts_event", "price", "side").iter_rows()]
        return {
            "instrument": instrument.index,
            "start": str(start),
            "ms": [(line[0] - start) / 1e6 for line in lines],
            "bid": [_price(line[1]) for line in lines],
            "ask": [_price(line[2]) for line in lines],
            "events": [line[3] for line in lines],
            "volume": [line[4] for line in lines],
            "fills": marks,
            "phases": _spans(instrument, start, lines[-1][0]) if lines else [],
        }

    def instrument(self, number: int) -> Instrument:
        """Instrument `number` of those that have appeared. Raises ConfigError if there is none."""
        if not 0 <= number < len(self.index.reach.events):
            raise ConfigError(f"instrument={number}: {len(self.index.reach.events)} have been seen, numbered from 0")
        return self.index.instruments[number]

    def at_event(self, number: int, event: int, levels: int = LEVELS) -> dict[str, Any]:
        """The session as an event left it; numbers beyond the first and the last mean these."""
        with self._lock:
            self._player.to_event(self.instrument(number).index, event)
            return self._scene(number, levels, None)

    def at_time(self, number: int, ts: int, levels: int = LEVELS) -> dict[str, Any]:
        """The session at a time (ns)."""
        with self._lock:
            return self._at_time(number, ts, levels)

    def find(self, number: int, place: tuple[int, int], what: str, levels: int = LEVELS) -> dict[str, Any]:
        """The next or previous fill of ours, or trade, seen from an event and a time (ns). Raises ConfigError where there is none."""
        with self._lock:
            self.instrument(number)
            if what.endswith("_fill"):
                fills = self.own.fills.get(number)
                found = fills.following(place[1], forward=what == "next_fill") if fills is not None else None
                if fills is None or found is None:
                    raise ConfigError(f"there is no {what.replace('_', ' ')} of yours")
                return self._at_time(number, fills.ts[found], levels)
            self._player.to_event(number, place[0])
            seen = self._player.seen
            if what == "next_trade":
                if int(seen.trades) >= self.index.reach.trades[number]:
                    raise ConfigError("there is no next trade" + ("" if self.index.is_finished else " in what has been read so far"))
                self._player.to_trade(number, int(seen.trades) + 1)
            else:
                events = [int(line["event"]) for line in _last(seen.prints, int(seen.prints_ended)) if line["event"] < seen.events]
                if not events:
                    raise ConfigError("there is no previous trade" + (f" within {KEPT} trades" if seen.trades else ""))
                self._player.to_event(number, events[0])
            return self._scene(number, levels, None)

    def go(self, number: int, now: int, text: str, levels: int = LEVELS) -> dict[str, Any]:
        """Where a text leads: a time of the day that `now` is in, an event, an order, a fill. Raises ConfigError for what leads nowhere."""
        text = text.strip()
        with self._lock:
            self.instrument(number)
            if found := _TIME.fullmatch(text):
                return self._at_time(number, _to_ns(found, now, text), levels)
            if found := _EVENT.fullmatch(text):
                self._player.to_event(number, int(found[1].replace(",", "")))
                return self._scene(number, levels, None)
            if found := _ORDER.fullmatch(text):
                return self._to_order(self.own.find(int(found[2]), found[1]), levels)
            if found := _FILL.fullmatch(text):
                fills = self.own.fills.get(number)
                count = len(fills.ts) if fills is not None else 0
                if fills is None or not 1 <= int(found[1]) <= count:
                    raise ConfigError(f"fill {found[1]}: there are {count:,} fills of yours here")
                return self._at_time(number, fills.ts[int(found[1]) - 1], levels)
        raise ConfigError(f"{text!r}: {HINT}")

    def _to_order(self, order: dict[str, Any], levels: int) -> dict[str, Any]:
        number = self.own.symbols.index(order["symbol"])
        if number >= len(self.index.reach.events):
            raise ConfigError(f"order {order['order_id']}: its instrument has not been read yet")
        when = order["ts_triggered"] or order["ts_arrived"] or order["ts_sent"]
        told = {**order, **{name: _time(order[name]) for name in order if name.startswith("ts_")}}
        return {**self._at_time(number, when, levels), "order": told}

    def _at_time(self, number: int, ts: int, levels: int) -> dict[str, Any]:
        self._player.to_time(self.instrument(number).index, ts)
        return self._scene(number, levels, ts)

    def _scene(self, number: int, levels: int, asked: int | None) -> dict[str, Any]:
        """Everything about the present place."""
        player, instrument = self._player, self.index.instruments[number]
        seen = player.seen
        now = max(int(seen.clock), asked or 0) if seen.events else asked or 0
        fills = self.own.fills.get(number)
        own = list(self.own.at(seen, self.own.tables[number], now)) if number in self.own.tables else []
        features = player.market.features.tolist()
        return {
            "instrument": number,
            "event": int(seen.events),
            "events": self.index.reach.events[number],
            "now": str(now),
            "time": _time(now) if seen.events else None,
            "ts_event": _time(int(seen.ts_event)) if seen.events else None,
            "ts_recv": _time(int(seen.ts_recv)) if seen.events else None,
            "sequence": int(seen.sequence),
            "phase": Phase(instrument.phase_at(now)).name.lower() if instrument.phases else None,
            "bids": player.best(int(BIDS), levels),
            "asks": [[-level, size, count] for level, size, count in player.best(int(ASKS), levels)],
            "trades_n": int(seen.trades),
            "volume": int(seen.volume),
            "tape_n": int(seen.tape_ended),
            "tape": [_tape_event(line, instrument, is_now=i >= int(seen.tape_event)) for i, line in _numbered(seen.tape, int(seen.tape_ended))],
            "trades": [_trade(line, instrument, now) for line in _last(seen.prints, int(seen.prints_ended))],
            "touches": [[_ms(int(t["ts"]), now), _price(int(t["bid"])), _price(int(t["ask"]))] for t in reversed(_last(seen.touches, int(seen.touches_n)))],
            "own": [_own(order, instrument, now) for order in own],
            "fills": [_fill(fill, now) for fill in (fills.before(now, FILLS_SHOWN) if fills is not None else ())],
            "features": [None if math.isnan(value) else value for value in features],
            "replayed": player.replayed,
        }


def _instrument(instrument: Instrument) -> dict[str, Any]:
    """What the page has to know of an instrument; prices in its units."""
    return {
        "index": instrument.index,
        "symbol": instrument.symbol or str(instrument.instrument_id),
        "grid": instrument.grid / PRICE_SCALE,
        "step": instrument.tick // instrument.grid,
        "decimals": decimals(instrument.grid / PRICE_SCALE),
    }


def _spans(instrument: Instrument, start: int, end: int) -> list[list[Any]]:
    """When the market was not trading between two times, as a status file has it: from, to (ms since the first), the phase."""
    changes = [(change.ts, change.phase) for change in instrument.phases if start < change.ts < end]
    steps = [(start, instrument.phase_at(start)), *changes, (end, Phase.TRADING)]
    return [[(a - start) / 1e6, (b - start) / 1e6, Phase(phase).name.lower()] for (a, phase), (b, _) in pairwise(steps) if phase != Phase.TRADING and b > a]


def _numbered(ring: Any, n: int) -> list[tuple[int, Any]]:
    """The last items of a ring that `n` were put in, with their numbers; newest first."""
    return [(i, ring[i % len(ring)]) for i in range(n - 1, max(n - len(ring), 0) - 1, -1)]


def _last(ring: Any, n: int) -> list[Any]:
    return [item for _, item in _numbered(ring, n)]


def _tape_event(line: Any, instrument: Instrument, *, is_now: bool = False) -> dict[str, Any]:
    """A tape event as people read it."""
    kind, side, level, flags = int(line["kind"]), int(line["side"]), int(line["level"]), int(line["flags"])
    tick = -level if kind in (Kind.ADD, Kind.REMOVE, Kind.FILL) and side == ord("A") else level
    price = _price(int(line["priority"])) if kind == Kind.TRADE else tick * instrument.grid / PRICE_SCALE
    return {
        "kind": _KINDS.get(kind, "?"),
        "time": _time(int(line["ts_event"])),
        "side": _SIDES.get(side),
        "tick": tick,
        "price": price,
        "size": int(line["delta"]),
        "is_modify": bool(flags & TapeFlag.MODIFIED),
        "is_snapshot": bool(flags & TapeFlag.SNAPSHOT),
        "is_now": is_now,
    }


def _trade(line: Any, instrument: Instrument, now: int) -> dict[str, Any]:
    """A print; `event`: whose part it was."""
    return {"event": int(line["event"]), "ms": _ms(int(line["tape"]["ts_event"]), now), **_tape_event(line["tape"], instrument)}


def _own(order: dict[str, Any], instrument: Instrument, now: int) -> dict[str, Any]:
    """One of our orders that rest."""
    return {**order, "tick": int(nearest_ticks(order["price"], instrument.grid)), "ms": _ms(order["since"], now), "since": _time(order["since"])}


def _fill(fill: dict[str, Any], now: int) -> dict[str, Any]:
    """One of our fills."""
    return {**fill, "ms": _ms(fill["ts"], now), "ts": str(fill["ts"]), "time": _time(fill["ts"])}


def _ms(ts: int, now: int) -> float:
    """How long before now, as a negative number of milliseconds."""
    return (ts - now) / 1e6


def _price(price: int) -> float | None:
    return None if price == UNDEFINED_PRICE else price / PRICE_SCALE


def _time(ns: int | None) -> str | None:
    """UTC, to the nanosecond."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d}"


def _to_ns(found: re.Match[str], now: int, text: str) -> int:
    """What a text of a time means; without a date, on the day of `now`."""
    day, hour, minute, second, fraction = found.groups()
    date = day or f"{datetime.fromtimestamp(now // 10**9, UTC):%Y-%m-%d}"
    nothing = ConfigError(f"{text!r}: there is no such time; {HINT}")
    try:
        time = datetime.fromisoformat(f"{date}T{int(hour):02}:{minute}:{second or '00'}+00:00")
    except ValueError:
        raise nothing from None
    ns = int(time.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))
    if abs(ns) >= 1 << 63:  # in a year that such numbers do not reach
        raise nothing
    return ns
