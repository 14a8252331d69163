"""A desk's own record: its orders sent again through the simulated venue, and simulated fills beside real ones. `replay_orders` says what a log is."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tapeline import tables
from tapeline.constants import GTC, IOC, POST_ONLY, PRICE_SCALE, UNDEFINED_PRICE
from tapeline.delays import UNITS_NS
from tapeline.errors import ConfigError
from tapeline.feeds.rows import nano
from tapeline.frames import TIME
from tapeline.memory import record_at
from tapeline.record import Record, int64
from tapeline.strategy import Strategy

if TYPE_CHECKING:
    from tapeline.result import Result

_NEW, _MODIFY, _CANCEL, _FILL = (np.int64(n) for n in range(1, 5))
_ACTIONS: Final = {"new": _NEW, "modify": _MODIFY, "cancel": _CANCEL, "fill": _FILL}
_SIDES: Final = {"buy": 1, "sell": -1}
_INSTRUCTIONS: Final = {"GTC": GTC, "IOC": IOC, "POST_ONLY": POST_ONLY}
_COLUMNS: Final = ("ts", "order_id", "action", "side", "price", "size")
_PRICE_MAX: Final = 2**63 / PRICE_SCALE
_kept: dict[int, np.ndarray[Any, Any]] = {}
"""The entries of all replays of this process, by their address: one in a strategy must never point nowhere."""
_same: dict[bytes, np.ndarray[Any, Any]] = {}
"""The same by a digest of what they say: who sends one log a thousand times, or a pool of workers that gets it with every job, has it once."""


class Entry(Record):
    """One message of a log, as the replay reads it."""

    ts: int64
    order: int64  # 1 for the first new order of the log, and so on: the ids that the gateway gives
    action: int64
    side: int64  # +1: buy
    price: int64  # 1e-9; UNDEFINED_PRICE: a market order
    size: int64
    instruction: int64


ENTRY: Final = Entry.dtype_


class OrderReplay(Strategy):
    """Sends the messages of a log at their times; made by `replay_orders`."""

    entries: int64
    n: int64
    done: int64

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, as for a pool of processes, with what it sends: the address is of this process."""
        return _replay_of, (_kept[int(self.entries)].tobytes(),)

    def send_due(self, orders: Any) -> None:
        """Send what is due, and wait for the next."""
        while self.done < self.n:
            entry = record_at(self.entries, self.done, ENTRY)
            if entry.ts > orders.now:
                orders.wake_at(entry.ts)
                return
            self.done += 1
            if entry.action == _CANCEL:
                orders.cancel(entry.order)
            elif entry.action == _MODIFY:
                orders.modify(entry.order, entry.price, entry.size)
            elif entry.price == UNDEFINED_PRICE and entry.side > 0:
                orders.buy_market(entry.size)
            elif entry.price == UNDEFINED_PRICE:
                orders.sell_market(entry.size)
            elif entry.side > 0:
                orders.buy(entry.price, entry.size, entry.instruction)
            else:
                orders.sell(entry.price, entry.size, entry.instruction)

    def on_start(self, market: Any, orders: Any, account: Any) -> None:  # noqa: ARG002 - the contract of callbacks
        """What was sent before the data begins is sent now."""
        self.send_due(orders)

    def on_timer(self, market: Any, orders: Any, account: Any) -> None:  # noqa: ARG002 - same
        """The next time of the log."""
        self.send_due(orders)


def replay_orders(log: Any) -> OrderReplay:
    """A strategy that sends the new orders, modifies and cancels of a recorded log again, each at its time.

    A log is a polars frame (or what polars makes one of), one line per message, with columns

        ts         when it was sent (or took effect, if the run's latency is zero): Datetime, or integer ns since the epoch, UTC
        order_id   the desk's or the exchange's; any integer
        action     "new", "modify", "cancel", "fill"
        side       "buy" or "sell"; of new orders
        price      of new, modify and fill, in price units; null: a market order
        size       of new and modify the total (FIX tag 38), of fills what was filled
        tif        optional; "GTC" (default), "IOC" or "POST_ONLY"; of new orders

    "fill" lines are what really happened: they are not sent, but `result.compare(log)` compares with them, to the precision of `ts`: microseconds where that is
    a Datetime("us").

    For runs of one instrument. Take the real orders out of the tape with `Backtest(exclude_orders=…)`, give `Limits(orders_live_max=…)` room for those that
    live at once. Raises ConfigError, naming the row, for a log that makes no sense.
    """
    messages = _checked(log)
    sent = messages.filter(pl.col("action") != "fill")
    entries = np.zeros(sent.height, ENTRY)
    for name in ("ts", "size", "order", "side", "instruction"):
        entries[name] = sent[name].to_numpy()
    entries["price"] = sent.select(nano("price", sent.schema, PRICE_SCALE).fill_null(UNDEFINED_PRICE)).to_series().cast(pl.Int64).to_numpy()
    entries["action"] = [_ACTIONS[a] for a in sent["action"].to_list()]
    return _replay_of(entries.tobytes())


def _replay_of(messages: bytes) -> OrderReplay:
    """The strategy that sends these entries."""
    entries = _same.setdefault(hashlib.sha256(messages).digest(), np.array(np.frombuffer(messages, ENTRY)))
    address = entries.ctypes.data
    _kept[address] = entries
    replay: OrderReplay = OrderReplay(entries=address, n=len(entries))
    return replay


def _checked(log: Any) -> pl.DataFrame:
    """A log in order of time, with integers: ts in ns, and its step; side ±1 (0 where not given), instruction, and `order`, the number of the new one meant."""
    if isinstance(log, str | os.PathLike):
        raise ConfigError(f"order log: expected a polars frame, not {log!r}: read the file first, such as pl.read_csv({str(log)!r}, try_parse_dates=True)")
    try:
        frame = log if isinstance(log, pl.DataFrame) else pl.DataFrame(log)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"order log: expected a polars frame, or what makes one, not {type(log).__name__}: {error}") from None
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise ConfigError(f"order log: column {missing[0]!r} is missing; expected {', '.join(_COLUMNS)}, and perhaps tif")
    if "tif" not in frame.columns:
        frame = frame.with_columns(tif=pl.lit(None, pl.String))
    _check_kinds(frame.schema)
    frame = frame.with_row_index("number", offset=1)  # as people count, and write_dbn does
    _refuse(frame, "action", ~pl.col("action").cast(pl.String).is_in(list(_ACTIONS)).fill_null(value=False), f"expected one of {', '.join(_ACTIONS)}")
    is_new = pl.col("action") == "new"
    _refuse(frame, "side", is_new & ~pl.col("side").cast(pl.String).is_in(list(_SIDES)).fill_null(value=False), "expected buy or sell")
    _refuse(frame, "tif", ~pl.col("tif").is_in(list(_INSTRUCTIONS)), f"expected one of {', '.join(_INSTRUCTIONS)}")
    _refuse(frame, "ts", pl.col("ts").is_null(), "expected a time")
    _refuse(frame, "size", (pl.col("action") != "cancel") & pl.col("size").is_null(), "expected a size")
    _refuse(frame, "price", pl.col("price").is_null() & pl.col("action").is_in(["modify", "fill"]), "expected a price")
    _refuse(frame, "price", ~pl.col("price").cast(pl.Float64).is_between(-_PRICE_MAX, _PRICE_MAX, "none"), "expected price units, such as 4800.25")
    _refuse(frame, "size", pl.col("size").cast(pl.Int64, strict=False).ne_missing(pl.col("size")), "expected whole lots")
    kind = frame["ts"].dtype
    ts, step = (pl.col("ts").dt.epoch("ns"), UNITS_NS[kind.time_unit]) if isinstance(kind, pl.Datetime) else (pl.col("ts"), 1)
    strings = pl.col("action", "side").cast(pl.String)
    frame = frame.with_columns(strings, ts=ts.cast(pl.Int64), step=step, size=pl.col("size").fill_null(0).cast(pl.Int64)).sort("ts", maintain_order=True)
    news = frame.filter(is_new)["order_id"].to_list()
    twice = [order_id for order_id, n in Counter(news).items() if n > 1]
    if twice:
        raise ConfigError(f"order log: order {twice[0]} is new {Counter(news)[twice[0]]} times; ids have to be unique")
    number = {order_id: k for k, order_id in enumerate(news, 1)}
    known: set[Any] = set()
    for at, order_id, action in frame.select("number", "order_id", "action").iter_rows():
        if action == "new":
            known.add(order_id)
        elif order_id not in known:
            raise ConfigError(f"order log, row {at}: {action} of order {order_id}, which is not new before")
    return frame.with_columns(
        order=pl.Series([number[i] for i in frame["order_id"].to_list()], dtype=pl.Int64),
        side=pl.Series([_SIDES.get(s, 0) for s in frame["side"].to_list()], dtype=pl.Int64),
        instruction=pl.Series([_INSTRUCTIONS[t or "GTC"] for t in frame["tif"].to_list()], dtype=pl.Int64),
    )


def _check_kinds(schema: pl.Schema) -> None:
    """Raise ConfigError where a column holds something else than its name says: text of a CSV, days in place of times."""
    ts = schema["ts"]
    if not (ts.is_integer() or ts == pl.Datetime):
        hint = '; of text, pl.col("ts").str.to_datetime(time_unit="ns", time_zone="UTC") makes datetimes' if ts == pl.String else ""
        raise ConfigError(f"order log: column 'ts' is {ts}: expected datetimes, or whole nanoseconds since the epoch{hint}")
    for name in ("price", "size"):
        if not (schema[name].is_numeric() or schema[name] == pl.Null):
            raise ConfigError(f"order log: column {name!r} is {schema[name]}: expected numbers")


def _refuse(frame: pl.DataFrame, column: str, wrong: pl.Expr, expected: str) -> None:
    bad = frame.filter(wrong)
    if bad.height:
        raise ConfigError(f"order log, row {bad['number'][0]}: {column}={bad[column][0]!r}: {expected}")


@dataclass(frozen=True, repr=False)
class OrderComparison:
    """Simulated against real fills, order by order."""

    orders: pl.DataFrame
    """Per order of the log: order_id, size; filled, first and last fill time, really and simulated; whether fill (both or neither), size and times agree."""

    @property
    def agreement(self) -> dict[str, float]:
        """Shares of the orders that agree: on being filled at all, on how much, on when (first and last fill)."""
        return {what: float(self.orders[f"{what}_agrees"].mean() or 0.0) for what in ("fill", "size", "time")}  # type: ignore[arg-type]  # of a bool: a float

    def __repr__(self) -> str:
        """One line."""
        real, ours = (int((self.orders[name] > 0).sum()) for name in ("filled_real", "filled_simulated"))
        shares = ", ".join(f"{what} {share:.1%}" for what, share in self.agreement.items())
        return f"{tables.counted(self.orders.height, 'order')}: {real:,} really filled, {ours:,} simulated; agree on {shares}"


def compare_orders(result: "Result", log: Any, strategy: str | None = None) -> OrderComparison:
    """Set what a run filled of a replayed log beside what the log says. `strategy`: the label of the replay, if the run had several."""
    messages = _checked(log)
    labels = [row["label"] for row in result.manifest["strategies"] if row["strategy"] == OrderReplay.__name__]
    label = strategy or (labels[0] if len(labels) == 1 else None)
    if label is None:
        raise ConfigError(f"compare: the run has {len(labels)} replays of orders; name one: strategy=…")
    real = _filled(messages.filter(pl.col("action") == "fill"), "order", pl.col("ts"), "real")
    mine = result.fills.filter(pl.col("strategy").cast(pl.String) == label)
    simulated = _filled(mine, "order_id", pl.col("ts_event").dt.epoch("ns"), "simulated").rename({"order_id": "order"})
    both = messages.filter(pl.col("action") == "new").select("order_id", "order", "size", "step").join(real, "order", "left").join(simulated, "order", "left")
    both = both.with_columns(pl.col("filled_real", "filled_simulated").fill_null(0))
    first, last = ((pl.col(f"{one}_real") // pl.col("step")).eq_missing(pl.col(f"{one}_simulated") // pl.col("step")) for one in ("first", "last"))
    agrees = {
        "fill_agrees": (pl.col("filled_real") > 0) == (pl.col("filled_simulated") > 0),
        "size_agrees": pl.col("filled_real") == pl.col("filled_simulated"),
        "time_agrees": first & last,
    }
    times = pl.col("^(first|last)_.*$").cast(TIME)
    return OrderComparison(both.with_columns(**agrees).with_columns(times).drop("order", "step"))


def _filled(fills: pl.DataFrame, order: str, ts: pl.Expr, whose: str) -> pl.DataFrame:
    return fills.group_by(order).agg(pl.col("size").sum().alias(f"filled_{whose}"), ts.min().alias(f"first_{whose}"), ts.max().alias(f"last_{whose}"))
