"""Journals made by hand, for tests of what comes after an engine: a small bookkeeper that keeps accounts as the assumptions page says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapeline import schema
from tapeline.config import Fees, Venue
from tapeline.constants import UNDEFINED_PRICE, FillRule, Reason, Side, Status
from tapeline.frames import Row
from tapeline.instruments import Instrument
from tapeline.manifest import plain
from tapeline.result import Result

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
TICK = 250_000_000
"""0.25"""


def instrument(index: int = 0, symbol: str = "ESH4", *, grid: int = TICK, multiplier: float = 50.0, currency: str = "USD", publisher_id: int = 1) -> Instrument:
    """An instrument that trades on its grid."""
    return Instrument(
        index=index, publisher_id=publisher_id, instrument_id=100 + index, symbol=symbol, grid=grid, tick=grid, multiplier=multiplier, currency=currency
    )


def row(label: str = "Maker", fees: Fees | None = None, signals: tuple[str, ...] = ()) -> Row:
    """A row of class Maker."""
    return Row(label, "Maker", {"size": 1}, {}, Venue(fees=fees or Fees()), signals)


def array(lines: list[dict[str, Any]], dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Structured array of dicts; fields not named are zero."""
    out = np.zeros(len(lines), dtype)
    for i, line in enumerate(lines):
        for name, value in line.items():
            out[i][name] = value
    return out


@dataclass
class Journal:
    """Records fills, orders and samples; times are seconds after START, prices ticks."""

    instruments: list[Instrument] = field(default_factory=lambda: [instrument()])
    rows: list[Row] = field(default_factory=lambda: [row()])
    fills: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    signals: list[dict[str, Any]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=lambda: {"records": 10, "events": 5})
    accounts: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)

    def account(self, row: int, place: int) -> dict[str, int]:
        """The account of a row in an instrument."""
        names = ("position", "cash", "maker_lots", "taker_lots", "maker_notional", "taker_notional")
        return self.accounts.setdefault((row, place), dict.fromkeys(names, 0))

    def fill(self, time: float, lots: int, tick: int, *, maker: bool = True, row: int = 0, place: int = 0, market_size: int = 100, order_id: int = 1) -> None:
        """A fill of signed lots (buys positive), booked to the account."""
        account, kind = self.account(row, place), "maker" if maker else "taker"
        account["position"] += lots
        account["cash"] -= lots * tick
        account[f"{kind}_lots"] += abs(lots)
        account[f"{kind}_notional"] += abs(lots * tick)
        self.fills.append(
            {
                "ts_event": START + int(time * SECOND) - 1000,
                "ts_local": START + int(time * SECOND),
                "order_id": order_id,
                "price": tick * self.instruments[place].grid,
                "size": abs(lots),
                "market_size": market_size,
                "row": row,
                "instrument": place,
                "side": Side.BID if lots > 0 else Side.ASK,
                "is_maker": maker,
                "rule": FillRule.FILL_BEHIND if maker else FillRule.TAKING,
            }
        )

    def sample(self, time: float, mark: int, *, row: int = 0, place: int = 0) -> None:
        """A sample of the account with a mark in half ticks."""
        self.samples.append({"ts": START + int(time * SECOND), "mark": mark, "row": row, "instrument": place, **self.account(row, place)})

    def order(self, order_id: int, size: int = 1, filled: int = 0, status: Status = Status.FILLED, **other: Any) -> None:
        """An order; by default a limit order to buy that arrived and rested."""
        base = {
            "price": 20_000 * TICK,
            "ts_sent": START,
            "ts_arrived": START + 1,
            "ts_end": -1,
            "ts_end_local": -1,
            "ts_triggered": -1,
            "stop": UNDEFINED_PRICE,
            "side": Side.BID,
            "reason": Reason.NONE,
        }
        self.orders.append({**base, "order_id": order_id, "size": size, "filled": filled, "status": status, **other})

    def refused(self, order_id: int, size: int = 1, reason: Reason = Reason.SIZE) -> None:
        """A market order refused by the gateway."""
        self.order(order_id, size, 0, Status.REJECTED, price=UNDEFINED_PRICE, ts_arrived=-1, instruction=32, reason=reason, ahead_at_entry=-1, ahead_at_end=-1)

    def journals(self) -> schema.Journals:
        """As an engine hands it over."""
        return schema.Journals(
            fills=array(self.fills, schema.FILLS),
            orders=array(self.orders, schema.ORDERS),
            equity=array(self.samples, schema.EQUITY),
            signals=array(self.signals, schema.SIGNALS),
            counters=self.counters,
        )

    def result(self, **manifest: Any) -> Result:
        """The result made of it."""
        strategies = [{**plain(row._asdict()), "row": i} for i, row in enumerate(self.rows)]
        return Result.from_journals(self.journals(), self.instruments, self.rows, {"strategies": strategies, **manifest})


def one_fill(**manifest: Any) -> Result:
    """The result of a run with one fill."""
    journal = Journal()
    journal.fill(1, 1, 100)
    journal.sample(2, 202)
    return journal.result(**manifest)
