"""Streams of MBO records, written tersely: prices in ticks, times in plain nanoseconds; and strategies that follow a script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tapeline.config import Fees, FillRules, Latency, Limits, RowSpec, Venue
from tapeline.constants import UNDEFINED_PRICE, Reason, RecordFlag, Update
from tapeline.feeds.dbn_write import write_mbo
from tapeline.instruments import Instrument, Instruments
from tapeline.reference import run
from tapeline.schema import MBO, Journals

GRID = 1_000_000_000
"""One tick is a whole price unit."""
SYMBOLS = {i: f"I{i}" for i in range(1, 25)}
"""Of the instruments in files; where a file names more than one, strategies index by instrument, unless the run is of one."""
LAST, SNAPSHOT, TOP_OF_BOOK = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.TOP_OF_BOOK)


class Stream:
    """MBO records in the making. Each method adds one; `last=False` keeps its event open, and with it `ts` and sequence."""

    def __init__(self, grid: int = GRID) -> None:
        """Start empty, at time 0."""
        self.grid = grid
        self.rows: list[tuple] = []
        self.ts = 0
        self.sequence = 1

    def record(
        self, action: str, order_id: int = 0, side: str = "N", price: float | None = None, size: int = 0, *,
        ts: int | None = None, recv: int | None = None, last: bool = True, flags: int = 0, instrument: int = 1, sequence: int | None = None, publisher: int = 1,
        in_delta: int = 0,
    ) -> "Stream":  # fmt: skip
        """Any record. `ts` defaults to that of the record before, `recv` to one more than `ts`."""
        self.ts = self.ts if ts is None else ts
        self.sequence = self.sequence if sequence is None else sequence
        recv = self.ts + 1 if recv is None else recv
        price = UNDEFINED_PRICE if price is None else int(price * self.grid)
        flags |= LAST if last else 0
        self.rows.append((14, 160, publisher, instrument, self.ts, order_id, price, size, flags, 0, ord(action), ord(side), recv, in_delta, self.sequence))
        if last:
            self.sequence += 1
        return self

    def add(self, order_id: int, side: str, price: int | None, size: int, **more: Any) -> "Stream":
        """An order joins the book."""
        return self.record("A", order_id, side, price, size, **more)

    def cancel(self, order_id: int, size: int, **more: Any) -> "Stream":
        """An order leaves, wholly or in part."""
        return self.record("C", order_id, size=size, **more)

    def modify(self, order_id: int, side: str, price: int | None, size: int, **more: Any) -> "Stream":
        """An order changes."""
        return self.record("M", order_id, side, price, size, **more)

    def trade(self, side: str, price: int | None, size: int, order_id: int = 0, **more: Any) -> "Stream":
        """A print."""
        return self.record("T", order_id, side, price, size, **more)

    def fill(self, order_id: int, size: int, **more: Any) -> "Stream":
        """A passive order is executed."""
        return self.record("F", order_id, size=size, **more)

    def clear(self, **more: Any) -> "Stream":
        """The book is void."""
        return self.record("R", **more)

    def execute(self, order_id: int, size: int, **more: Any) -> "Stream":
        """T, F and C of one execution, as one event."""
        self.record("T", size=size, price=0, last=False, **more)
        return self.fill(order_id, size, last=False).cancel(order_id, size)

    def quiet(self, ts: int, **more: Any) -> "Stream":
        """An event that changes nothing: lets time pass."""
        return self.record("N", ts=ts, **more)

    def array(self) -> np.ndarray:
        """The records."""
        return np.array(self.rows, MBO)

    def write(self, path: Path, **more: Any) -> Path:
        """Write them to a DBN file, as `write_records`."""
        return write_records(path, self.array(), **more)

    def chunks(self, size: int = 0) -> list[tuple[np.ndarray, bool]]:
        """The records as one file, in chunks of `size` records; 0: in one."""
        array = self.array()
        starts = range(0, len(array), size or len(array) or 1)
        return [(array[i : i + (size or len(array))], i == starts[-1]) for i in starts]


def write_records(path: Path, array: np.ndarray, *, symbols: dict[int, str] = SYMBOLS, version: int = 3) -> Path:
    """Write records to a DBN file, and return its path."""
    write_mbo(path, [array], dataset="TEST.DBN", symbols=symbols, start_ns=0, version=version)
    return path


def instruments(*, grid: int = GRID, several: bool = False, only: list[tuple[int, int]] | None = None) -> Instruments:
    """Instruments that are all alike."""

    def describe(key: tuple[int, int], index: int) -> Instrument:
        return Instrument(index=index, publisher_id=key[0], instrument_id=key[1], symbol=f"I{key[1]}", grid=grid, tick=grid)

    return Instruments(describe=describe, only=only, several=several)


class Scripted:
    """A strategy that does what a script says: steps of (local time, function of orders), and writes down what it is told."""

    def __init__(self, *steps: tuple[int, Callable]) -> None:
        """Steps are in order of time, after the first event's."""
        self.steps = list(steps)
        self.told: list[tuple] = []

    def on_start(self, market, orders, account):
        """Wait for the first step."""
        if self.steps:
            orders.wake_at(self.steps[0][0])

    def on_timer(self, market, orders, account):
        """Do a step, wait for the next one."""
        _, act = self.steps.pop(0)
        act(orders)
        if self.steps:
            orders.wake_at(self.steps[0][0])

    def on_order(self, update, market, orders, account):
        """Note (what, order, reason, exchange time, ahead)."""
        self.told.append((Update(update.what).name, update.order_id, Reason(update.reason).name, update.ts_event, update.ahead))

    def on_fill(self, fill, market, orders, account):
        """Note (FILL, order, price in ticks, size, exchange time)."""
        self.told.append(("FILL", fill.order_id, fill.price // GRID, fill.size, fill.ts_event))


def play(stream: Stream, *strategies: Any, latency: Latency | None = None, equity_every_ns: int = 1000, **venue: Any) -> Journals:
    """Run strategies over a stream of one instrument; `rules`, `fees`, `limits` by keyword."""
    kinds = {"rules": FillRules, "fees": Fees, "limits": Limits}
    settings = Venue(latency=latency or Latency(), **{name: venue.get(name) or make() for name, make in kinds.items()})
    return run(stream.chunks(), instruments(), [RowSpec(s, settings, f"row {i}") for i, s in enumerate(strategies)], equity_every_ns)
