"""The life of an order: sent, arrived, how the queue in front of it fell and why, its fills and by which rule, its end.

A run with `explain=True` has journalled it. For any other it is read from the run's data: a result knows when an order arrived and ended, and stamps say what
stood in front in between. So it costs a run nothing, works for every saved result whose data is still there, and checks the engine: the queue that is found
here must end where the engine's ended. Orders that were modified or triggered took places that only the journal has.
"""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tapeline.constants import Kind, Side, TapeFlag
from tapeline.delays import is_integer
from tapeline.errors import ConfigError, DataError
from tapeline.frames import TIME
from tapeline.instruments import format_price, nearest_ticks
from tapeline.manifest import market_settings
from tapeline.observed import is_missing
from tapeline.schema import TAPE_EVENT
from tapeline.tables import counted, listed
from tapeline.window import Window

if TYPE_CHECKING:
    from tapeline.result import Result

Events = np.ndarray[Any, Any]
LINES_MAX: Final = 40
STEPS: Final[dict[str, Any]] = {"ts_event": TIME, "what": pl.String, "size": pl.Int64, "ahead": pl.Int64}
RULES: Final = {
    "fill_behind": "rule 2: an order behind it in the queue was executed",
    "trade_through": "rule 2: an order at a worse price was executed",
    "crossing": "rule 3: an order came to rest at or through its price",
    "auction": "rule 4: the auction traded at its price, or through it",
    "taking": "rule 5: it took what was displayed",
    "estimated": "estimated queue: more was printed at its price than was believed in front",
}


@dataclass(frozen=True, repr=False)
class Life:
    """What `result.explain` tells."""

    order: dict[str, Any]
    """The order's line of `result.orders`."""
    fills: pl.DataFrame
    """Its lines of `result.fills`."""
    steps: pl.DataFrame
    """How the size in front changed while it rested: when; what (cancel ahead, fill ahead, clear, restored, placed anew …); lots more; lots in front then."""
    untold: str = ""
    """Why the steps are not told, if so."""
    first_price: float | None = None
    """Of an order that was modified: the price at which it arrived, where the run journalled it."""

    @property
    def fell_by(self) -> dict[str, int]:
        """Lots in front that went, by cause."""
        fell = self.steps.filter(pl.col("size") < 0).group_by("what", maintain_order=True).agg(-pl.col("size").sum())
        return dict(fell.iter_rows())

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        lines = {name: getattr(self, name).with_columns(pl.col(pl.Datetime).cast(pl.String)).to_dicts() for name in ("fills", "steps")}
        order = {name: str(value) if hasattr(value, "isoformat") else value for name, value in self.order.items()}
        return {"order": order, **lines, "fell_by": self.fell_by, "untold": self.untold}

    def __repr__(self) -> str:
        """The story, a line per step."""
        return "\n".join([*self._beginning(), *self._queue(), *self._end()])

    def _beginning(self) -> list[str]:
        order = self.order
        at = "at the market" if order["price"] is None else f"at {format_price(order['price'])}"
        if order["stop"] is not None:
            at = f"stop {format_price(order['stop'])}, {at}"
        how = [order["tif"] or "unknown instruction", *(word.replace("_", "-") for word in ("post_only", "reduce_only") if order[word])]
        if order["modifies"]:
            how.append(f"as modified {order['modifies']} times")
        what = f"{order['side']} {order['size']} {order['symbol']} {at}, {', '.join(how)}"
        lines = [f"order {order['order_id']} of {order['strategy']}: {what}; times are UTC"]
        lines.append(f"{_clock(order['ts_sent'])}  sent")
        if order["ts_arrived"] is not None:
            rested = "" if order["ahead_at_entry"] is None else f", {counted(order['ahead_at_entry'], 'lot')} in front of it"
            if order["type"] in ("stop", "stop_limit"):
                rested = ", to wait for its stop price"
            first = "" if self.first_price is None else f" at {format_price(self.first_price)}"
            lines.append(f"{_clock(order['ts_arrived'])}  arrived{first}{rested}")
        return lines

    def _queue(self) -> list[str]:
        fills = self.fills.select("ts_event", "size", "price", "rule", "size_left", "market_size").to_dicts()
        told = [(fill["ts_event"], f"filled {fill['size']} at {format_price(fill['price'])}, {fill['size_left']} left: {_rule(fill)}") for fill in fills]
        told += [(step["ts_event"], _step(step)) for step in self.steps.to_dicts()]
        if self.order["ts_triggered"] is not None:
            place = "" if self.order["ahead_at_entry"] is None else f", {self.order['ahead_at_entry']} in front"
            told.append((self.order["ts_triggered"], f"triggered{place}"))
        lines = [f"{_clock(ts)}  {text}" for ts, text in sorted(told, key=lambda line: line[0])]
        if len(lines) > LINES_MAX:
            half = LINES_MAX // 2
            lines = [*lines[:half], f"… {len(lines) - 2 * half} more …", *lines[-half:]]
        return [*lines, f"({self.untold})"] if self.untold else lines

    def _end(self) -> list[str]:
        order = self.order
        reason = f": {order['reason']}" if order["reason"] else ""
        lines = [f"{_clock(order['ts_end'])}  {order['status']}{reason}" if order["ts_end"] is not None else f"{order['status']}{reason}"]
        fell = [f"{lots} by {what.replace(' ', 's ')}" for what, lots in self.fell_by.items()]
        if fell:
            before = "at all its places" if order["modifies"] else f"of the {counted(order['ahead_at_entry'], 'lot')} in front of it"
            lines.append(f"{before}, {' and '.join(fell).replace(' by ', ' went by ', 1)}")
        if order["filled"] < order["size"] and order["ahead_at_end"] is not None:
            left, ahead = order["size"] - order["filled"], order["ahead_at_end"]
            in_front = f"{counted(ahead, 'lot')} {'was' if ahead == 1 else 'were'} still in front of it"
            if not ahead:
                in_front = f"nothing was in front of it any more, but nobody traded with {'what was left' if order['filled'] else 'it'}"
            lines.append(f"{left} of {order['size']} {'was' if left == 1 else 'were'} not filled: {in_front}")
        return lines


def _clock(ts: Any) -> str:
    return f"{ts:%Y-%m-%d %H:%M:%S.%f}"


def _step(step: dict[str, Any]) -> str:
    size = f" {step['size']:+d}" if step["size"] else ""
    return f"{step['what']}{size}: {step['ahead']} in front"


def _rule(fill: dict[str, Any]) -> str:
    return f"{RULES.get(fill['rule'], fill['rule'])} ({counted(fill['market_size'], 'lot')})"


def explain(result: "Result", order_id: int, strategy: str | None = None) -> Life:
    """The life of one order. `strategy`: the label of its row, if the run had several. Raises ConfigError if there is no such order."""
    if not is_integer(order_id):
        raise ConfigError(f"explain: order {order_id!r}: expected the number of an order, as in the column order_id")
    labels = [row["label"] for row in result.manifest["strategies"]]
    mine = result.orders.filter(pl.col("order_id") == order_id)
    if strategy is not None:
        mine = mine.filter(pl.col("strategy").cast(pl.String) == strategy)
    if mine.height != 1:
        known = listed(list(dict.fromkeys(mine["strategy"].cast(pl.String).to_list() or labels)))
        problem = "no such order" if mine.height == 0 else "several strategies have an order of that number: name one, strategy= (--strategy)"
        raise ConfigError(f"explain: order {order_id}{f' of {strategy}' if strategy else ''}: {problem} ({known})")
    order, row = mine.to_dicts()[0], mine["row"][0]
    fills = result.fills.filter((pl.col("row") == row) & (pl.col("order_id") == order_id))
    if result.manifest["settings"].get("explain"):
        journal = result.steps.filter((pl.col("row") == row) & (pl.col("order_id") == order_id))
        places = journal.filter(pl.col("what") == "placed")["price"]
        first_price = places[0] if order["modifies"] and order["type"] == "limit" and len(places) else None
        guessed = "" if order["ahead_at_entry"] is None else _guessed(result, row)
        return Life(order, fills, pl.DataFrame(_from_journal(journal), STEPS, orient="row"), guessed, first_price)
    steps = pl.DataFrame(schema=STEPS)
    if order["ahead_at_entry"] is None:  # it never rested: there is no queue to be told of
        return Life(order, fills, steps)
    untold = _untold(result, order, row)
    if not untold:
        path = _Path(result, mine)
        path.read()
        steps = pl.DataFrame(path.steps, STEPS, orient="row")
        ended = path.ahead
        if order["ahead_at_end"] is not None and ended != order["ahead_at_end"]:
            because = "the book was cleared in between, and the run gave it another place" if path.was_cleared else "please report this as a bug"
            untold = f"the data says {ended} lots were in front at the end, the run {order['ahead_at_end']}: {because}"
    return Life(order, fills, steps, untold)


def _from_journal(journal: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Steps as a story has them: what went in front is a fill as far as an order of that stamp was executed before it went."""
    steps: list[tuple[Any, ...]] = []
    executed: dict[int, int] = {}
    ahead = None
    for ts, what, size, left, price, stamp in journal.select(pl.col("ts_event").to_physical(), "what", "size", "ahead", "price", "stamp").rows():
        if what == "filled":
            executed[stamp] = executed.get(stamp, 0) - size
        elif what == "placed":
            if ahead is not None:  # the first place is its arrival's
                steps.append((ts, f"placed anew at {format_price(price)}", 0, left))
            ahead = left
        elif what == "removed":
            fills = min(executed.pop(stamp, 0), -size)
            parts = (("fill ahead", fills, left - size - fills), ("cancel ahead", -size - fills, left))
            steps += [(ts, name, -lots, rest) for name, lots, rest in parts if lots]
            ahead = left
        else:
            steps.append((ts, _WORDS[what], left - (ahead or 0), left))
            ahead = left
    return steps


_WORDS: Final = {"added": "restored", "cleared": "clear", "lost": "book lost, behind everything", "reguessed": "guessed anew"}


def _guessed(result: "Result", row: int) -> str:
    """A word of warning, where a row's queues are estimates."""
    queue = result.manifest["strategies"][row]["venue"]["rules"]["queue"]
    return "" if queue in ("exact", "none") else f"its place was not known but guessed: queue={queue!r}"


def _untold(result: "Result", order: dict[str, Any], row: int) -> str:
    """Why the queue cannot be told from the data, if so."""
    queue = result.manifest["strategies"][row]["venue"]["rules"]["queue"]
    if order["modifies"]:
        return f"modified {order['modifies']} times: how its queues fell is told of a run with explain=True"
    if order["type"] != "limit":
        return "it came to rest when it was triggered: that is told of a run with explain=True"
    if queue != "exact":
        return _guessed(result, row) or "its queue was left out of account: queue='none'"
    return is_missing(result.manifest) or ""


class _Path:
    """Reads a run's data again for what happened in front of one order."""

    def __init__(self, result: "Result", line: pl.DataFrame) -> None:
        self._manifest = result.manifest
        instruments = result.manifest["instruments"]
        self._index = list(result.contracts).index(line["symbol"][0])
        self._side = int(Side.BID if line["side"][0] == "buy" else Side.ASK)
        tick = int(nearest_ticks(line["price"][0], instruments[self._index]["grid"]))
        self._level = tick if self._side == Side.BID else -tick
        self._arrived = int(line["ts_arrived"].to_physical()[0])
        end = line["ts_end"].to_physical()[0]
        self._end = 2**63 - 1 if end is None else int(end)
        self._is_filled = line["status"][0] == "filled"
        self._stamp = 0
        self._rests = False
        self._ends_event = True
        self._executed: dict[int, int] = {}
        """Stamp → lots that FILLs of the current event took, and no REMOVE has shown yet."""
        self.ahead = int(line["ahead_at_entry"][0])
        self.steps: list[tuple[int, str, int, int]] = []

    @property
    def was_cleared(self) -> bool:
        """Whether a CLEAR took everything from in front of it."""
        return any(what == "clear" for _, what, _, _ in self.steps)

    def read(self) -> None:
        """From the beginning of the data to the end of the order, of the run's window, or to damage: that has ended the run, too."""
        from tapeline.inputs import open_input, reader_of, registry  # noqa: PLC0415 - imports Numba
        from tapeline.memory import view  # noqa: PLC0415 - same

        settings = market_settings(self._manifest)
        source = open_input([file["path"] for file in self._manifest["data"]])
        source.end_ns = Window.from_manifest(self._manifest).end_ns
        feed_time = self._manifest["settings"].get("feed_time")  # by which a run's window ends
        reader = reader_of(source, registry(source, multiplier=1.0, feed_time=feed_time, **settings), lambda _: None)
        with contextlib.suppress(DataError):
            for n, _ in reader.chunks():
                events = view(reader.events_address, n, TAPE_EVENT)
                if self._chunk(events[events["instrument"] == self._index]):
                    return

    def _chunk(self, events: Events) -> bool:
        """Take in some tape events of the order's book; whether the order has ended."""
        if not len(events):
            return False
        if not self._rests:
            events = self._before_arrival(events)
        if not self._rests:
            return False
        mine = (events["side"] == self._side) & (events["level"] == self._level) & (events["kind"] <= Kind.FILL)
        looked_at = mine | (events["kind"] == Kind.CLEAR) | (events["ts_event"] >= self._end)
        return any(self._step(event) for event in events[looked_at])

    def _before_arrival(self, events: Events) -> Events:
        """The order takes its place before the first event that begins after its arrival: the events from there on, and its stamp."""
        last = (events["flags"] & TapeFlag.LAST) != 0
        begins = np.concatenate(([self._ends_event], last[:-1]))
        later = begins & ((events["flags"] & TapeFlag.SNAPSHOT) == 0) & (events["ts_event"] > self._arrived)
        first = int(np.argmax(later)) if later.any() else len(events)
        added = events["priority"][:first][events["kind"][:first] == Kind.ADD]
        self._stamp = max(self._stamp, int(added.max(initial=0)) + 1)
        self._ends_event = bool(last[-1])
        self._rests = bool(later.any())
        return events[first:]

    def _step(self, event: Any) -> bool:
        """One tape event; whether the order has ended before it."""
        kind, ts, stamp, lots = int(event["kind"]), int(event["ts_event"]), int(event["priority"]), int(event["delta"])
        if ts > self._end and not event["flags"] & TapeFlag.SNAPSHOT:
            return True
        at_level = event["side"] == self._side and event["level"] == self._level
        if self._is_filled and ts == self._end and self._may_fill(event):
            return True
        if kind == Kind.CLEAR:
            self._tell(ts, "clear", -self.ahead)
        elif kind == Kind.FILL and at_level:
            self._executed[stamp] = self._executed.get(stamp, 0) - lots
        elif kind in (Kind.ADD, Kind.REMOVE) and at_level and stamp < self._stamp:
            executed = min(self._executed.pop(stamp, 0), -lots) if lots < 0 else 0
            self._tell(ts, "fill ahead", -executed)
            self._tell(ts, "cancel ahead" if lots < 0 else "restored", lots + executed)
        return False

    def _may_fill(self, event: Any) -> bool:
        """Whether a tape event is one that fills orders: the last fill comes before what follows it."""
        if event["side"] == self._side:
            stands_behind = event["level"] < self._level or (event["level"] == self._level and event["priority"] >= self._stamp)
            return bool(event["kind"] == Kind.FILL and stands_behind)
        return bool(event["kind"] == Kind.ADD and -event["level"] <= self._level)

    def _tell(self, ts: int, what: str, lots: int) -> None:
        if lots:
            self.ahead += lots
            self.steps.append((ts, what, lots, self.ahead))
