"""A look at data before it is used: what is in it, when, and what is odd about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP, Action, Kind
from tapeline.delays import Duration, duration_ns
from tapeline.errors import DataError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.frames import TIME
from tapeline.inputs import open_input
from tapeline.instruments import Instrument
from tapeline.schema import TAPE_EVENT

if TYPE_CHECKING:
    from tapeline.tape.file import TapeInput

ANOMALIES: Final = (
    "snapshots_without_clear",
    "snapshots_without_last",
    "adds_of_live_id",
    "sides_missing",
    "prices_undefined",
    "sizes_zero",
    "cancels_unknown",
    "cancels_oversized",
    "modifies_unknown",
    "fills_unknown",
    "fills_beyond_displayed",
    "actions_unknown",
    "timestamps_undefined",
    "ts_recv_before_ts_event",
    "ts_event_backwards",
    "bad_ts_recv",
    "maybe_bad_book",
)
"""Counters that say something is odd; their meaning is in docs/ARCHITECTURE.md. Not all are errors of the data: `bad_ts_recv` stands on every snapshot."""
PRE_OPEN_NS_MIN: Final = 1_000_000_000
"""A venue that matches leaves no book locked or crossed for so long."""
_SECOND_NS: Final = 1_000_000_000
_BOOK: Final = {"instrument_id": pl.UInt32, "publisher_id": pl.UInt16}
"""Columns that tell books apart."""
_TRADES: Final = {**_BOOK, "second": pl.Int64}
_NAMES: Final = {member.value: member.name.lower() for member in Action}


@dataclass
class Times:
    """First and last times of the records, and gaps in the time of receipt; nanoseconds since the epoch."""

    gap_ns_min: int
    ts_event_first: int | None = None
    ts_event_last: int | None = None
    ts_recv_first: int | None = None
    ts_recv_last: int | None = None
    records: int = 0
    actions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    """(from, to, number of the record after the gap, from 1), both times `ts_recv`."""
    _trades: list[pl.DataFrame] = field(default_factory=list)

    def add(self, run: npt.NDArray[np.void]) -> None:
        """Take in the next run of MBO records."""
        self.actions += np.bincount(run["action"], minlength=256)
        trades = run[run["action"] == Action.TRADE]
        self.add_trades(trades["instrument_id"], trades["publisher_id"], trades["ts_event"])
        self.add_times(run)
        self.records += len(run)

    def add_trades(self, instruments: npt.NDArray[np.uint32], publishers: npt.NDArray[np.uint16], ts_event: npt.NDArray[np.int64]) -> None:
        """Take in trades by their books."""
        known = ts_event != UNDEFINED_TIMESTAMP
        columns = {"instrument_id": instruments[known], "publisher_id": publishers[known], "second": ts_event[known] // _SECOND_NS}
        self._trades.append(pl.DataFrame(columns, _TRADES).unique())

    @property
    def trades(self) -> pl.DataFrame:
        """Seconds since the epoch in which there was a trade, by book: instrument_id, publisher_id, second; growing."""
        return pl.concat([pl.DataFrame(schema=_TRADES), *self._trades]).unique().sort("second")

    def add_times(self, run: npt.NDArray[np.void]) -> None:
        """Take in their times only."""
        event, recv = (run[name][run[name] != UNDEFINED_TIMESTAMP] for name in ("ts_event", "ts_recv"))
        if len(event):
            first, last = int(event.min()), int(event.max())
            self.ts_event_first = first if self.ts_event_first is None else min(self.ts_event_first, first)
            self.ts_event_last = last if self.ts_event_last is None else max(self.ts_event_last, last)
        if len(recv):
            self._add_gaps(run["ts_recv"])
            last = int(recv.max())
            self.ts_recv_first = int(recv[0]) if self.ts_recv_first is None else self.ts_recv_first
            self.ts_recv_last = last if self.ts_recv_last is None else max(self.ts_recv_last, last)

    def _add_gaps(self, recv: npt.NDArray[np.int64]) -> None:
        known = np.flatnonzero(recv != UNDEFINED_TIMESTAMP)
        before = self.ts_recv_last if self.ts_recv_last is not None else int(recv[known[0]])
        high = np.maximum.accumulate(np.concatenate(([before], recv[known])))
        for i in np.flatnonzero(np.diff(high) >= self.gap_ns_min):
            self.gaps.append((int(high[i]), int(high[i + 1]), self.records + int(known[i]) + 1))


@dataclass(frozen=True)
class Check:
    """What a look through the data found."""

    times: Times
    counters: dict[str, int]
    crossed: pl.DataFrame
    """Spans in which a book was locked or crossed at the end of its events: instrument_id, publisher_id, from, to, events seen."""
    damage: str | None
    """Why reading stopped before the end, if it did."""
    fifo: tuple[int, int] = (0, 0)
    """Executions of resting orders, and how many of them hit the front of their queue."""
    instruments: tuple[Instrument, ...] = ()
    """Those that the data has, or those asked for, in order of their index."""

    @property
    def pre_opens(self) -> pl.DataFrame:
        """Spans of `crossed` in which nothing was matched: the book's ids, since (the second of the last trade before; null: there was none), from, to."""
        crossed = self.crossed.with_columns(pl.col("from", "to").to_physical()).filter(pl.col("to") - pl.col("from") >= PRE_OPEN_NS_MIN)
        trades, lines = self.times.trades.join(crossed, on=list(_BOOK), how="semi", maintain_order="left").partition_by(*_BOOK, as_dict=True), []
        for line in crossed.to_dicts():
            first, last = line["from"] // _SECOND_NS, line["to"] // _SECOND_NS
            book = tuple(line[name] for name in _BOOK)
            seconds = trades[book]["second"] if book in trades else pl.Series(dtype=pl.Int64)
            if not seconds.is_between(first + 1, last - 1).any():
                before = seconds.filter(seconds < first)
                since = before[-1] * _SECOND_NS if len(before) else None
                lines.append((*book, since, line["from"], line["to"]))
        return pl.DataFrame(lines, _BOOK | dict.fromkeys(("since", "from", "to"), TIME), orient="row")

    @property
    def actions(self) -> dict[str, int]:
        """Records by action, most first."""
        found = {_NAMES.get(int(code), f"unknown {int(code)}"): int(self.times.actions[code]) for code in np.flatnonzero(self.times.actions)}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def anomalies(self) -> dict[str, int]:
        """Counters that say something is odd, where they are not 0."""
        return odd_counters(self.counters)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times in nanoseconds since the epoch."""
        times = {name: getattr(self.times, name) for name in ("ts_event_first", "ts_event_last", "ts_recv_first", "ts_recv_last")}
        spans, pre_opens = (frame.with_columns(cs.datetime().to_physical()).to_dicts() for frame in (self.crossed, self.pre_opens))
        gaps = [{"from": start, "to": end, "record": number} for start, end, number in self.times.gaps]
        names = ("symbol", "instrument_id", "publisher_id")
        instruments = [{**{name: getattr(one, name) for name in names}, "tick": one.tick / PRICE_SCALE} for one in self.instruments]
        return {
            "records": self.times.records,
            "instruments": instruments,
            "actions": self.actions,
            "times": times,
            "gaps": gaps,
            "crossed": spans,
            "pre_opens": pre_opens,
            "anomalies": self.anomalies,
            "counters": self.counters,
            "fifo": {"fills": self.fifo[0], "first": self.fifo[1], "share": self.fifo[1] / self.fifo[0] if self.fifo[0] else None},
            "damage": self.damage,
        }


def odd_counters(counters: Mapping[str, int]) -> dict[str, int]:
    """The counters that say something is odd about the data, where they are not 0."""
    return {name: counters[name] for name in ANOMALIES if counters.get(name)}


def check(data: list[Path], *, gap: Duration = "60s", **settings: Any) -> Check:
    """Read the data once for times and actions, and once through the book; `settings` are those of `tapeline.depth` (tick_size, definitions, instruments).

    `gap`: time without a record that is worth telling. Damage inside the data is reported, not raised; ConfigError and files that cannot be opened are raised.
    """
    from tapeline.fifo import FifoCount  # noqa: PLC0415 - imports Numba, which reading a command line must not wait for
    from tapeline.mbp import DepthReader  # noqa: PLC0415 - same

    times, damage = read_times(data, duration_ns(gap, "gap"))
    reader = DepthReader(data, levels=1, **settings)
    fifo = FifoCount()
    reader.each_chunk = fifo.take
    bbo = [reader.empty]
    try:
        bbo.extend(turns(frame) for frame in reader.chunks())
    except DataError as error:
        damage = damage or str(error)
    return Check(times, reader.counters, crossed_spans(pl.concat(bbo)), damage, (fifo.fills, fifo.first), reader.instruments)


def read_times(data: list[Path], gap_ns_min: int) -> tuple[Times, str | None]:
    """Times and actions of all records up to the first damage, and what the damage is."""
    times = Times(gap_ns_min)
    source = open_input(data)
    try:
        if isinstance(source, DbnInput):
            for run, _ in records(source):
                times.add(run)
        else:
            _read_tape(times, source)
    except DataError as error:
        if not times.records:
            raise
        return times, str(error)
    return times, None


def _read_tape(times: Times, tape: "TapeInput") -> None:
    """Times and gaps of a tape are those of its events; its records by action were counted when it was made."""
    events = np.zeros(1 << 16, TAPE_EVENT)
    ids = np.array([instrument.instrument_id for instrument in tape.instruments], np.uint32)
    publishers = np.array([instrument.publisher_id for instrument in tape.instruments], np.uint16)
    for n, _ in tape.chunks(events, np.arange(max(len(tape.instruments), 1))):
        trades = events[:n][events["kind"][:n] == Kind.TRADE]
        times.add_trades(ids[trades["instrument"]], publishers[trades["instrument"]], trades["ts_event"])
        times.add_times(events[:n])
        times.records += n
    times.records = tape.counters["records"]
    for action in Action:
        times.actions[action] = tape.counters[f"records_{chr(action)}"]


def _is_crossed() -> pl.Expr:
    """Whether a line of a depth frame is of a locked or crossed book."""
    absent = pl.max_horizontal("bid_px_00", "ask_px_00") == UNDEFINED_PRICE
    return ((pl.col("bid_px_00") >= pl.col("ask_px_00")) & ~absent).fill_null(value=False)


def turns(bbo: pl.DataFrame) -> pl.DataFrame:
    """Those lines of a frame that the spans of any longer one depend on: crossed ones, those after them, and each book's first and last."""
    crossed = _is_crossed()
    is_edge = (pl.int_range(pl.len()).over(*_BOOK) == 0) | (pl.int_range(pl.len()).over(*_BOOK) == pl.len().over(*_BOOK) - 1)
    return bbo.filter(crossed | crossed.shift(1).fill_null(value=False).over(*_BOOK) | is_edge)


def crossed_spans(bbo: pl.DataFrame) -> pl.DataFrame:
    """Spans of time in which best bid ≥ best ask, of frames as `tapeline.depth` makes them: instrument_id, publisher_id, from, to, events.

    A span ends at the event that uncrossed the book; where there is none, at the last event seen.
    """
    states = bbo.with_columns(crossed=_is_crossed(), next=pl.col("ts_event").shift(-1).over(*_BOOK))
    states = states.with_columns(span=(pl.col("crossed") != pl.col("crossed").shift(1)).fill_null(value=True).cum_sum().over(*_BOOK))
    spans = states.filter("crossed").group_by(*_BOOK, "span", maintain_order=True)
    return (
        spans.agg(
            pl.col("ts_event").first().alias("from"),
            pl.col("next").last().fill_null(pl.col("ts_event").last()).alias("to"),
            pl.len().cast(pl.Int64).alias("events"),
        )
        .drop("span")
        .sort("from", maintain_order=True)
    )
