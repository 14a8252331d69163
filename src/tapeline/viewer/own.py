"""Our orders and fills, as a saved result has them, for `tapeline view`: when each order stood in the book, and what is known of its place in the queue."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from tapeline.constants import Side
from tapeline.errors import ConfigError
from tapeline.inputs import paths_of
from tapeline.instruments import nearest_ticks
from tapeline.manifest import fingerprint
from tapeline.market.follow import NEVER, OWN, OWN_MAX, UNKNOWN
from tapeline.result import Result
from tapeline.viewer.follower import Rows
from tapeline.window import Window

_ROW_KEY: Final = 1 << 40
"""More than orders of a row: a row's number times this, and an order's, are one key."""
_FILL: Final = ("strategy", "order_id", "side", "price", "size", "size_left", "position", "is_maker", "rule", "market_size", "fee")
_ORDER: Final = (
    *("strategy", "row", "order_id", "symbol", "side", "type", "tif", "post_only", "price", "stop", "size", "filled", "status", "reason"),
    *("ahead_at_entry", "ahead_at_end", "modifies"),
)
_TIMES: Final = ("ts_sent", "ts_arrived", "ts_triggered", "ts_end")


@dataclass
class Fills:
    """Fills in one instrument, by time."""

    frame: pl.DataFrame
    ts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Their times, to be searched."""
        self.ts = self.frame["ts_event"].to_list()

    def line(self, number: int) -> dict[str, Any]:
        """Fill `number`, from 0."""
        return {"number": number, "ts": self.ts[number], **{name: self.frame[name][number] for name in _FILL}}

    def before(self, ts: int, n: int) -> list[dict[str, Any]]:
        """The last `n` at or before a time, newest first."""
        place = bisect_right(self.ts, ts)
        return [self.line(i) for i in range(place - 1, max(place - n, 0) - 1, -1)]

    def following(self, ts: int, *, forward: bool) -> int | None:
        """Number of the first fill after a time, or of the last before it; None if there is none."""
        place = bisect_right(self.ts, ts) if forward else bisect_left(self.ts, ts) - 1
        return place if 0 <= place < len(self.ts) else None


@dataclass(frozen=True)
class Journal:
    """What a run with `explain=True` journalled of the queues in front of its orders: price and lots ahead of each, from a time on."""

    keys: npt.NDArray[np.int64]
    """(steps,) of the orders, growing; see `key`."""
    ts: npt.NDArray[np.int64]
    ahead: npt.NDArray[np.int64]
    price: npt.NDArray[np.float64]

    @classmethod
    def of(cls, steps: pl.DataFrame) -> "Journal":
        """From the frame of a result, or a part of it."""
        price = pl.col("price").fill_null(strategy="forward").over("row", "order_id")
        lines = steps.select(pl.col("ts_event").to_physical(), "ahead", price, key=pl.col("row").cast(pl.Int64) * _ROW_KEY + pl.col("order_id"))
        lines = lines.sort("key", maintain_order=True)
        return cls(*(lines[name].to_numpy() for name in ("key", "ts_event", "ahead", "price")))

    def at(self, row: int, order_id: int, now: int) -> dict[str, Any]:
        """Price and lots ahead at a time; nothing before the first step."""
        key = row * _ROW_KEY + order_id
        first, last = np.searchsorted(self.keys, key), np.searchsorted(self.keys, key, "right")
        place = int(first + np.searchsorted(self.ts[first:last], now, "right")) - 1
        return {} if place < first else {"ahead": int(self.ahead[place]), "price": float(self.price[place])}


class OwnOrders:
    """Orders and fills of a run, or of one of its strategies; of no run, none."""

    def __init__(self, result: Result | None = None, strategy: str | None = None) -> None:
        """Raises ConfigError for a strategy that is not there, and where more orders rest at a time than are followed."""
        self.tables: dict[int, Rows] = {}
        self.fills: dict[int, Fills] = {}
        self.strategies: list[str] = []
        self.symbols: list[str] = []
        """In order of their index."""
        self.orders = pl.DataFrame()
        self._left: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        self._journal: Journal | None = None
        if result is None:
            return
        end_ns = Window.from_manifest(result.manifest).end_ns
        self._end_ns = int(NEVER) if end_ns is None else end_ns  # where orders end that the run left open
        labels = [str(row["label"]) for row in result.manifest["strategies"]]
        self.orders, fills = _plain(result.orders), _plain(result.fills)
        self.strategies, self.symbols = labels, list(result.contracts)
        if strategy is not None:
            if strategy not in labels:
                raise ConfigError(f"--strategy {strategy}: the run has {', '.join(labels)}")
            self.strategies = [strategy]
            self.orders, fills = (frame.filter(pl.col("strategy") == strategy) for frame in (self.orders, fills))
        partial = fills.filter(pl.col("size_left") > 0).group_by("row", "order_id", maintain_order=True).agg("ts_event", "size_left")
        self._left = {(row, order): (ts, left) for row, order, ts, left in partial.iter_rows()}
        queues = [row["venue"]["rules"]["queue"] for row in result.manifest["strategies"]]
        if result.manifest["settings"].get("explain"):
            self._journal = Journal.of(result.steps.filter(pl.col("row").is_in([row for row, queue in enumerate(queues) if queue == "exact"])))
        for index, symbol in enumerate(result.contracts):
            self.fills[index] = Fills(fills.filter(pl.col("symbol") == symbol).sort("ts_event", maintain_order=True))
            self.tables[index] = self._table(symbol, int(result.manifest["instruments"][index]["grid"]), queues)

    def _table(self, symbol: str, grid: int, queues: Sequence[str]) -> Rows:
        """The orders that rested in one instrument, by arrival."""
        exact = pl.Series("exact", [queue == "exact" for queue in queues])
        lines = self.orders.with_row_index("number").filter(
            (pl.col("symbol") == symbol) & pl.col("ahead_at_entry").is_not_null() & pl.col("price").is_not_null()
        )
        is_known = (lines["modifies"] == 0) & (lines["type"] == "limit") & exact.gather(lines["row"])
        table = np.zeros(lines.height, OWN)
        table["arrived"] = arrived = lines.select(pl.coalesce("ts_triggered", "ts_arrived")).to_series().to_numpy()
        table["end"] = lines["ts_end"].fill_null(self._end_ns).to_numpy()
        is_buy = (lines["side"] == "buy").to_numpy()
        tick = nearest_ticks(lines["price"].to_numpy(), grid)
        table["side"], table["level"] = np.where(is_buy, int(Side.BID), int(Side.ASK)), np.where(is_buy, tick, -tick)
        table["ahead"] = np.where(is_known.to_numpy(), lines["ahead_at_entry"].to_numpy(), UNKNOWN)
        table["number"] = lines["number"].to_numpy()
        self._check(table, symbol)
        return table[np.argsort(arrived, kind="stable")]

    def _check(self, table: Rows, symbol: str) -> None:
        times = np.concatenate([table["arrived"], table["end"]])
        change = np.repeat(np.array([1, -1]), len(table))
        most = int(np.cumsum(change[np.lexsort((-change, times))]).max(initial=0))
        if most > OWN_MAX:
            raise ConfigError(
                f"{most:,} orders of the run rest in {symbol} at a time, and at most {OWN_MAX} can be followed: choose one strategy with --strategy LABEL "
                f"({', '.join(self.strategies[:5])}{' …' if len(self.strategies) > 5 else ''})"
            )

    def at(self, seen: Any, table: Rows, now: int) -> Iterator[dict[str, Any]]:
        """Our orders in a book at a time: those that stand in it by what was seen (a `Seen`), and those that came since."""
        for own in seen.own[: int(seen.own_n)]:
            if own.end > now:
                yield self._line(int(own.number), int(own.ahead), now)
        for row in table[int(seen.own_next) :]:
            if row["arrived"] > now:
                return
            if row["end"] > now:
                yield self._line(int(row["number"]), int(row["ahead"]), now)

    def _line(self, number: int, ahead: int, now: int) -> dict[str, Any]:
        order = self.orders.row(number, named=True)
        times, left = self._left.get((order["row"], order["order_id"]), ([], []))
        place = bisect_right(times, now)
        names = ("strategy", "row", "order_id", "side", "price", "size", "ahead_at_entry", "modifies")
        told = {"ahead": None if ahead == UNKNOWN else ahead, "left": left[place - 1] if place else order["size"]}
        journalled = self._journal.at(order["row"], order["order_id"], now) if self._journal is not None else {}
        return {**{name: order[name] for name in names}, **told, **journalled, "since": order["ts_triggered"] or order["ts_arrived"]}

    def find(self, order_id: int, strategy: str | None = None) -> dict[str, Any]:
        """An order as its run recorded it; times in ns. Raises ConfigError if there is none, or more than one."""
        found = self.orders.filter(pl.col("order_id") == order_id) if self.orders.width else self.orders
        if strategy is not None and found.height:
            found = found.filter(pl.col("strategy") == strategy)
        if found.height > 1:
            raise ConfigError(f"order {order_id}: several strategies have one of that number; say which: order {found['strategy'][0]} {order_id}")
        if not found.height:
            raise ConfigError(f"order {f'{strategy} ' if strategy else ''}{order_id}: there is no such order{'' if self.orders.width else ': no RUN is shown'}")
        order = found.row(0, named=True)
        return {name: order[name] for name in (*_ORDER, *_TIMES)}


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as integers, ns, which Python's datetimes are too coarse for, and names as text."""
    return frame.with_columns(cs.datetime().to_physical(), cs.enum().cast(pl.String))


def check_same_data(result: Result, run: Path, data: Any) -> None:
    """Raise ConfigError unless a run was made on these very files."""
    theirs = [{**file, "path": ""} for file in result.manifest["data"]]
    ours = [{**fingerprint(path), "path": ""} for path in paths_of(data)]
    if theirs != ours:
        names = " ".join(file["path"] for file in result.manifest["data"])
        raise ConfigError(f"{run}: was run on other data ({names}): name that, or the run alone")
