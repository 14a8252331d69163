"""Settings of a run: plain frozen values, checked once here, so that everything behind may trust them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tapeline.constants import QueueModel
from tapeline.delays import Delay, Duration, duration_ns, is_integer, is_number
from tapeline.errors import ConfigError
from tapeline.instruments import Instrument, Key, Name
from tapeline.keywords import checked_class

if TYPE_CHECKING:
    import numpy as np

    from tapeline.strategy import Strategy

    Strategies: TypeAlias = Strategy | "Row" | np.ndarray[Any, Any] | Sequence["Strategies"]
    """As users give them to a run: instances, arrays of them (`Class.array(size=[…])`), with settings of their own, and lists of all that."""

QUEUE_MODELS = tuple(model.name.lower() for model in QueueModel)
UNLIMITED = 2**62
"""Stands for "no limit" in integer settings."""
LEGS = ("entry", "modify", "cancel", "response")
"""The legs of a connection, in the order of their numbers in both engines."""
MESSAGES_MAX = 1 << 20
"""The gateway remembers so many messages at most."""


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 1


def _check_choice(settings: object, name: str, choices: Sequence[str]) -> None:
    """Raise ConfigError where a setting is none of the texts that it may be."""
    value = getattr(settings, name)
    if not (isinstance(value, str) and value in choices):
        raise ConfigError(f"{type(settings).__name__}({name}={value!r}): expected {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}")


@checked_class
@dataclass(frozen=True, kw_only=True)
class Latency:
    """One-way latencies: each text such as `"100us"`, whole nanoseconds, timedelta, or (but for `feed`) a `Delay` that varies. Rule 8 of docs/assumptions.md.

    `feed` is added to the record's own `ts_recv`, and may be negative (`"-5us"`) for those nearer to the exchange than who recorded the file; `entry` is the
    way of a new order to the exchange, `modify` and `cancel` (default: as `entry`) those of the other requests; `response` the way back.

    The exchange's gateway lets `messages_max` requests of a row pass in any time of length `messages_per`; `messages_excess` says whether further ones wait
    ("queue") or are refused there ("reject": reason MESSAGE_RATE).
    """

    feed: Duration = 0
    entry: Duration | Delay = 0
    response: Duration | Delay = 0
    modify: Duration | Delay | None = None
    cancel: Duration | Delay | None = None
    messages_max: int = UNLIMITED
    messages_per: Duration = "1s"
    messages_excess: Literal["queue", "reject"] = "queue"

    def __post_init__(self) -> None:
        """Turn every duration into nanoseconds."""
        object.__setattr__(self, "feed", duration_ns(self.feed, "Latency(feed)", signed=True))
        for name in LEGS:
            value = getattr(self, name)
            value = self.entry if value is None else value
            object.__setattr__(self, name, value if isinstance(value, Delay) else duration_ns(value, f"Latency({name})"))
        object.__setattr__(self, "messages_per", duration_ns(self.messages_per, "Latency(messages_per)"))
        if not _is_count(self.messages_max) or UNLIMITED > self.messages_max > MESSAGES_MAX:
            raise ConfigError(f"Latency(messages_max={self.messages_max!r}): expected an integer from 1 to {MESSAGES_MAX}")
        object.__setattr__(self, "messages_max", int(self.messages_max))
        _check_choice(self, "messages_excess", ("queue", "reject"))

    @classmethod
    def from_table(cls, path: str | Path, *, feed: Duration = 0) -> "Latency":
        """Measured latencies: a Parquet or CSV file with columns `time`, `entry`, `response`, and `modify`, `cancel` if they differ; see `Delay.table`."""
        found = Delay.tables(path, LEGS, optional=("modify", "cancel"))
        return cls(feed=feed, entry=found["entry"], response=found["response"], modify=found.get("modify"), cancel=found.get("cancel"))

    @property
    def feed_ns(self) -> int:
        """`feed` in nanoseconds."""
        return int(self.feed)  # type: ignore[arg-type]  # since __post_init__

    @property
    def messages_per_ns(self) -> int:
        """`messages_per` in nanoseconds."""
        return int(self.messages_per)  # type: ignore[arg-type]  # same

    @property
    def legs(self) -> tuple[int | Delay, ...]:
        """Entry, modify, cancel and response, as the numbers in LEGS say."""
        return tuple(getattr(self, name) for name in LEGS)

    @property
    def varies(self) -> bool:
        """Whether a leg is no constant, or the gateway limits the rate of messages."""
        return self.messages_max < UNLIMITED or any(isinstance(leg, Delay) for leg in self.legs)


@checked_class
@dataclass(frozen=True, kw_only=True)
class Fees:
    """Fees by liquidity: currency per lot (`unit="contract"`) or basis points of the notional (`unit="bps"`); negative is a rebate."""

    maker: float = 0.0
    taker: float = 0.0
    unit: Literal["contract", "bps"] = "contract"

    def __post_init__(self) -> None:
        """Refuse what is no number and unknown units."""
        _check_choice(self, "unit", ("contract", "bps"))
        for name in ("maker", "taker"):
            value = getattr(self, name)
            if not (is_number(value) and math.isfinite(value)):
                raise ConfigError(f"Fees({name}={value!r}): expected a finite number")
            object.__setattr__(self, name, float(value))


FeesGiven = Fees | Mapping[Name | Key, Fees]
"""As users give them: one for all instruments, or by symbol or id, or, where venues differ, by (publisher_id, instrument_id)."""
FeesKnown = FeesGiven | Mapping[Key, Fees]
"""In a run they are by key, if not one for all."""


@checked_class
@dataclass(frozen=True, kw_only=True)
class FillRules:
    """Which assumptions are in force; docs/assumptions.md has a paragraph for each."""

    queue: Literal["exact", "none", "risk_averse", "power1", "power2", "power3", "log", "front_optimistic"] = "exact"
    trade_through: bool = True
    crossing: bool = True
    auction: bool = True
    iceberg_excess: bool = True
    impact: Literal["consume", "none"] = "consume"
    self_match: Literal["cancel_resting", "cancel_aggressor", "reject"] = "cancel_resting"
    on_gap: Literal["behind", "cancel"] = "behind"

    @property
    def queue_model(self) -> QueueModel:
        """`queue` as a number."""
        return QueueModel[self.queue.upper()]

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        _check_choice(self, "queue", QUEUE_MODELS)
        _check_choice(self, "impact", ("consume", "none"))
        _check_choice(self, "self_match", ("cancel_resting", "cancel_aggressor", "reject"))
        _check_choice(self, "on_gap", ("behind", "cancel"))
        for name in ("trade_through", "crossing", "auction", "iceberg_excess"):
            if not isinstance(getattr(self, name), bool):  # text such as "off" is true to Python
                raise ConfigError(f"FillRules({name}={getattr(self, name)!r}): expected True or False")


@checked_class
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the gateway refuses, when a row is stopped, and what tables hold at most (the rest).

    Refused, with a reason: sizes above `order_size_max`; requests that could bring the position in an instrument above `position_max` (lots), or its notional
    at the request's price above `notional_max` (currency); more than `orders_live_max` live orders per row; more than `orders_per_second_max` new orders and
    modifies in a second. A row that has lost more than `loss_max` (net, marked at the mid; per currency) is stopped: its orders are cancelled, and its strategy
    is not called any more. See docs/assumptions.md, "Limits".
    """

    order_size_max: int = UNLIMITED
    position_max: int = UNLIMITED
    notional_max: float = math.inf
    orders_live_max: int = 64
    orders_per_second_max: int = UNLIMITED
    loss_max: float = math.inf
    messages_in_flight_max: int = 1 << 16
    notices_in_flight_max: int = 1 << 20
    takes_max: int = 1 << 16
    journal_rows_max: int = 1 << 28
    ladder_levels_max: int = 1 << 20
    instruments_max: int = 1 << 16

    def __post_init__(self) -> None:
        """Every limit is a positive integer, but for money."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name in {"notional_max", "loss_max"}:
                if not (is_number(value) and float(value) >= 0):
                    raise ConfigError(f"Limits({f.name}={value!r}): expected an amount of currency ≥ 0")
                object.__setattr__(self, f.name, float(value))
            elif not _is_count(value):
                raise ConfigError(f"Limits({f.name}={value!r}): expected an integer ≥ 1")
            else:
                object.__setattr__(self, f.name, int(value))
        if UNLIMITED > self.orders_per_second_max > MESSAGES_MAX:
            raise ConfigError(f"Limits(orders_per_second_max={self.orders_per_second_max}): expected at most {MESSAGES_MAX}")


@dataclass(frozen=True, kw_only=True)
class Venue:
    """All that one row's orders meet: latencies, fees, fill rules and limits."""

    latency: Latency = field(default_factory=Latency)
    fees: FeesKnown = field(default_factory=Fees)
    rules: FillRules = field(default_factory=FillRules)
    limits: Limits = field(default_factory=Limits)

    def fees_of(self, instrument: Instrument) -> Fees:
        """What is paid in an instrument of the run."""
        return self.fees if isinstance(self.fees, Fees) else self.fees[instrument.key]


@dataclass(frozen=True)
class RowSpec:
    """One row of a run: a strategy instance, all that its orders meet, and its name in results."""

    strategy: Any
    venue: Venue
    label: str

    def paying(self, fees: FeesKnown) -> "RowSpec":
        """The same with other fees."""
        return self if fees is self.venue.fees else replace(self, venue=replace(self.venue, fees=fees))


@checked_class
@dataclass(frozen=True)
class Row:
    """A strategy instance with settings of its own, to be given to `Backtest.run`; what is None is as in the Backtest."""

    strategy: "Strategies"
    latency: Latency | None = None
    fees: FeesGiven | None = None
    rules: FillRules | None = None
    limits: Limits | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no setting of its kind."""
        check_kinds(latency=self.latency, fees=self.fees, rules=self.rules, limits=self.limits)
        if not isinstance(self.label, str | None):
            raise ConfigError(f"Row(label={self.label!r}): expected text")


_KINDS = {
    "latency": (Latency, "Latency(entry='100us', response='100us')"),
    "fees": (Fees, "Fees(maker=0.2, taker=1.2)"),
    "rules": (FillRules, "FillRules(crossing=False)"),
    "limits": (Limits, "Limits(position_max=10)"),
}


def check_kinds(**settings: object) -> None:
    """Raise ConfigError, with an example, where a setting is neither None nor of its class: a number for fees, or text for a latency."""
    for name, value in settings.items():
        kind, example = _KINDS[name]
        given = {} if value is None else {name: value}
        if name == "fees" and isinstance(value, Mapping):
            given = {f"{name}[{key!r}]": one for key, one in value.items()}
        for setting, one in given.items():
            if not isinstance(one, kind):
                raise ConfigError(f"{setting}={one!r}: expected a tapeline.{kind.__name__}, such as tl.{example}")
