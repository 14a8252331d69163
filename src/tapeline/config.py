"""Settings of a run: plain frozen values, checked once here, so that everything behind may trust them."""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from tapeline.errors import ConfigError

_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*")
UNLIMITED = 2**62
"""Stands for "no limit" in integer settings."""


def duration_ns(value: str | int, setting: str) -> int:
    """Nanoseconds of `"100us"`, `"1.5ms"`, `"2s"`, or of an integer number of nanoseconds.

    Raises ConfigError, naming `setting`, on anything else and on negative or overlong durations.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None or match[2] not in _UNITS_NS:
            raise ConfigError(f"{setting}={value!r}: expected a duration such as '100us', '2ms' or '1s' (units: {', '.join(_UNITS_NS)})")
        value = round(float(match[1]) * _UNITS_NS[match[2]])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < UNLIMITED:
        raise ConfigError(f"{setting}={value!r}: expected nanoseconds as an integer ≥ 0, or text such as '100us'")
    return value


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One-way latencies, each text such as `"100us"` or integer nanoseconds.

    `feed` is added to the record's own `ts_recv`; `entry` is the way of a new order to the exchange, `modify` and `cancel`
    (default: as `entry`) those of the other requests; `response` the way back. Rule 8 of docs/assumptions.md.
    """

    feed: str | int = 0
    entry: str | int = 0
    response: str | int = 0
    modify: str | int | None = None
    cancel: str | int | None = None

    def __post_init__(self) -> None:
        """Turn every duration into nanoseconds."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            value = self.entry if value is None else value
            object.__setattr__(self, f.name, duration_ns(value, f"Latency({f.name})"))


@dataclass(frozen=True, kw_only=True)
class Fees:
    """Fees by liquidity: currency per lot (`unit="contract"`) or basis points of the notional (`unit="bps"`); negative is a rebate."""

    maker: float = 0.0
    taker: float = 0.0
    unit: Literal["contract", "bps"] = "contract"

    def __post_init__(self) -> None:
        """Refuse what is no number and unknown units."""
        if self.unit not in ("contract", "bps"):
            raise ConfigError(f"Fees(unit={self.unit!r}): expected 'contract' or 'bps'")
        for name in ("maker", "taker"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"Fees({name}={getattr(self, name)!r}): expected a finite number")


@dataclass(frozen=True, kw_only=True)
class FillRules:
    """Which assumptions are in force; docs/assumptions.md has a paragraph for each."""

    queue: bool = True
    trade_through: bool = True
    crossing: bool = True
    iceberg_excess: bool = True
    impact: Literal["consume", "none"] = "consume"
    self_match: Literal["cancel_resting", "cancel_aggressor", "reject"] = "cancel_resting"

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        if self.impact not in ("consume", "none"):
            raise ConfigError(f"FillRules(impact={self.impact!r}): expected 'consume' or 'none'")
        if self.self_match not in ("cancel_resting", "cancel_aggressor", "reject"):
            raise ConfigError(f"FillRules(self_match={self.self_match!r}): expected 'cancel_resting', 'cancel_aggressor' or 'reject'")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the gateway refuses (order size and position per instrument, live orders per row), and what tables hold at most (the rest)."""

    order_size_max: int = UNLIMITED
    position_max: int = UNLIMITED
    orders_live_max: int = 64
    messages_in_flight_max: int = 1 << 16
    notices_in_flight_max: int = 1 << 20
    takes_max: int = 1 << 16
    journal_rows_max: int = 1 << 28
    ladder_levels_max: int = 1 << 20
    instruments_max: int = 1 << 16

    def __post_init__(self) -> None:
        """Every limit is a positive integer."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"Limits({f.name}={value!r}): expected an integer ≥ 1")


@dataclass(frozen=True, kw_only=True)
class Venue:
    """All that one row's orders meet: latencies, fees, fill rules and limits."""

    latency: Latency = field(default_factory=Latency)
    fees: Fees = field(default_factory=Fees)
    rules: FillRules = field(default_factory=FillRules)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class RowSpec:
    """One row of a run: a strategy instance, all that its orders meet, and its name in results."""

    strategy: Any
    venue: Venue
    label: str


@dataclass(frozen=True)
class Row:
    """A strategy instance with settings of its own, to be given to `Backtest.run`; what is None is as in the Backtest."""

    strategy: Any
    latency: Latency | None = None
    fees: Fees | None = None
    rules: FillRules | None = None
    limits: Limits | None = None
    label: str | None = None
