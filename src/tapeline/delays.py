"""Delays: how long one leg of a connection takes, where that varies. Plain frozen values, checked here."""

import hashlib
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tapeline.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

Duration = str | int | timedelta | np.timedelta64
"""As users give one; `duration_ns` reads it."""
UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_NUMPY_UNITS_NS = UNITS_NS | {"D": 86_400_000_000_000, "W": 604_800_000_000_000}
"""Of months and years nobody knows how long they are, of picoseconds the clocks know nothing, and `np.timedelta64(5)` has no unit."""
_DURATION = re.compile(r"\s*([+-]?)\s*(?:0|(\d+(?:\.\d+)?)\s*([a-zµ]+))\s*")
_LONGEST_NS = 2**62
DELAY_MAX_NS = 10**15
"""Sampled delays are cut off here (11 days), lest the tail of a strange distribution leaves the range of the clock."""
SHAPE_LEAST, SHAPE_MOST = 1e-6, 1e6
"""Beyond these, distributions of delays are constants or nonsense, and sampling runs out of floating point."""


def duration_ns(value: Duration, setting: str, *, signed: bool = False) -> int:
    """Nanoseconds of `"100us"`, `"1.5ms"`, `"0"`, of an integer number of nanoseconds, or of a timedelta; `signed`: of `"-5us"`, too.

    Raises ConfigError, naming `setting`, on anything else and on negative (unless `signed`) or overlong durations.
    """
    given = value
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None or (match[3] or "ns") not in UNITS_NS:
            raise ConfigError(f"{setting}={value!r}: expected a duration with its unit, such as '100us', '2ms' or '1s' (units: {', '.join(UNITS_NS)})")
        value = round(float(match[2] or 0) * UNITS_NS[match[3] or "ns"]) * (-1 if match[1] == "-" else 1)
    elif isinstance(value, timedelta):
        value = value // timedelta(microseconds=1) * 1_000 + getattr(value, "nanoseconds", 0)  # those that pandas' have besides
    elif isinstance(value, np.timedelta64):
        unit, count = np.datetime_data(value.dtype)
        value = int(value.astype(np.int64)) * count * _NUMPY_UNITS_NS.get(unit, _LONGEST_NS)
    least = -_LONGEST_NS + 1 if signed else 0
    if not is_integer(value) or not least <= value < _LONGEST_NS:
        kind = "an integer" if signed else "an integer ≥ 0"
        raise ConfigError(f"{setting}={given!r}: expected nanoseconds as {kind}, text such as '100us', or a timedelta")
    return int(value)


def is_integer(value: object) -> bool:
    """Whether a setting is a whole number by its type, NumPy's included, for parameters are swept over arrays; True and False are none.

    To NumPy a timedelta64 is a whole number, too.
    """
    return isinstance(value, Integral) and not isinstance(value, bool | np.timedelta64)


def is_number(value: object) -> bool:
    """Whether a setting is a number, of any type of Python's or NumPy's; True and False, and times, are none."""
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.timedelta64)


class Table:
    """Points of a measured delay: `times` (ns, ascending) and `delays` (ns ≥ 0). Equal tables have equal digests."""

    def __init__(self, times: Iterable[int], delays: Iterable[int], source: str) -> None:
        """Check the points. Raises ConfigError, naming `source`."""
        try:
            self.times, self.delays, self.source = array("q", times), array("q", delays), source
        except (TypeError, OverflowError) as error:
            raise ConfigError(f"{source}: expected times and delays as whole nanoseconds: {error}") from None
        if len(self.times) == 0 or len(self.times) != len(self.delays):
            raise ConfigError(f"{source}: expected as many times as delays, and one at least; got {len(self.times)} and {len(self.delays)}")
        unordered = next((i for i in range(1, len(self.times)) if self.times[i] <= self.times[i - 1]), None)
        if unordered is not None:
            raise ConfigError(f"{source}: line {unordered}: time {self.times[unordered]} is not after the one before, {self.times[unordered - 1]}")
        wrong = next((i for i, delay in enumerate(self.delays) if not 0 <= delay <= DELAY_MAX_NS), None)
        if wrong is not None:
            raise ConfigError(f"{source}: line {wrong}: a delay of {self.delays[wrong]} ns; expected one from 0 to {DELAY_MAX_NS}")
        self.digest = hashlib.sha256(self.times.tobytes() + self.delays.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Whether the points are equal."""
        return isinstance(other, Table) and self.digest == other.digest

    def __hash__(self) -> int:
        """By the points."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Where it came from; for manifests."""
        return f"{self.source}: {len(self.times):,} points, sha256 {self.digest[:16]}"


@dataclass(frozen=True)
class Delay:
    """How long one leg takes, where that varies; made by `log_normal`, `gamma`, `from_feed`, `interpolated` or `table`. Never less than 0 ns.

    Draws depend on `seed`, the row's place in the run and the number of its request (or answer), and on nothing else: another row changes none of them.
    """

    model: Literal["log_normal", "gamma", "feed", "table"]
    scale_ns: float = 0.0
    """Median of a log-normal delay, mean / shape of a gamma one."""
    shape: float = 0.0
    """Standard deviation of the logarithm; shape of the gamma distribution."""
    shift_ns: int = 0
    """Added to what was drawn or looked up."""
    seed: int = 0
    points: Table | None = None

    @classmethod
    def log_normal(cls, *, median: Duration, sigma: float, shift: Duration = 0, seed: int = 0) -> "Delay":
        """`shift` + `median`·exp(`sigma`·z), z standard normal."""
        return cls("log_normal", *_shape(median, sigma, "Delay.log_normal(median", "sigma"), duration_ns(shift, "Delay.log_normal(shift"), _seed(seed))

    @classmethod
    def gamma(cls, *, mean: Duration, shape: float, shift: Duration = 0, seed: int = 0) -> "Delay":
        """`shift` + a gamma distributed delay of this mean; its standard deviation is mean / √shape (1: exponential)."""
        scale_ns, shape = _shape(mean, shape, "Delay.gamma(mean", "shape")
        return cls("gamma", scale_ns / shape, shape, duration_ns(shift, "Delay.gamma(shift"), _seed(seed))

    @classmethod
    def from_feed(cls, shift: Duration = 0) -> "Delay":
        """The feed's own delay, `ts_recv` − `ts_event` of the last record that happened, plus `shift` (`"-20us"` for less): busy lines are busy both ways."""
        return cls("feed", shift_ns=duration_ns(shift, "Delay.from_feed(shift", signed=True))

    @classmethod
    def interpolated(cls, times: Sequence[int], delays: Sequence[Duration]) -> "Delay":
        """Linear between measured points: times (ns since the epoch, ascending) and delays; constant before the first and after the last."""
        for name, values in (("times", times), ("delays", delays)):
            if isinstance(values, str | bytes) or not isinstance(values, Iterable):
                raise ConfigError(f"Delay.interpolated({name}={values!r}): expected a list of them")
        found = (duration_ns(delay, "Delay.interpolated(delays", signed=True) for delay in delays)
        return cls("table", points=Table(times, found, "Delay.interpolated"))

    @classmethod
    def table(cls, path: str | Path, column: str) -> "Delay":
        """As `interpolated`, of a Parquet or CSV file: column `time` (ns since the epoch, or a timestamp) and this one (ns, or a duration)."""
        return cls.tables(path, (column,))[column]

    @classmethod
    def tables(cls, path: str | Path, columns: Sequence[str], optional: Sequence[str] = ()) -> "dict[str, Delay]":
        """The delays of several columns. Raises ConfigError, naming the file and what is wrong with it; those `optional` may be missing."""
        if not isinstance(path, str | Path):
            raise ConfigError(f"table {path!r}: expected the path of a .parquet or .csv file")
        frame = _read(Path(path))
        missing = [name for name in ("time", *columns) if name not in frame and name not in optional]
        if missing:
            raise ConfigError(f"{path}: no column {', '.join(missing)}; it has {', '.join(frame.columns)}")
        given = {name: _integers(frame[name], path) for name in ("time", *columns) if name in frame}
        return {name: cls("table", points=Table(given["time"], given[name], f"{path}, column {name}")) for name in columns if name in given}

    @property
    def least_ns(self) -> int:
        """No delay is shorter."""
        if self.points is not None:
            return min(self.points.delays)
        return 0 if self.model == "feed" else self.shift_ns


def least_ns(leg: int | Delay) -> int:
    """The shortest that a leg of a `Latency` takes."""
    return leg.least_ns if isinstance(leg, Delay) else leg


def _shape(scale: Duration, shape: float, setting: str, name: str) -> tuple[float, float]:
    scale_ns = duration_ns(scale, setting)
    if scale_ns == 0 or not is_number(shape) or not SHAPE_LEAST <= float(shape) <= SHAPE_MOST:
        raise ConfigError(f"{setting}={scale!r}, {name}={shape!r}): expected a duration above 0 and a number from {SHAPE_LEAST} to {SHAPE_MOST:.0f}")
    return float(scale_ns), float(shape)


def _seed(seed: int) -> int:
    if not is_integer(seed) or not 0 <= seed < 2**63:
        raise ConfigError(f"Delay(seed={seed!r}): expected an integer from 0 to 2**63 - 1")
    return int(seed)


def _read(path: Path) -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415 - only those who measured need it

    if path.suffix not in {".parquet", ".csv"}:
        raise ConfigError(f"{path}: expected a .parquet or .csv file of time, entry, response")
    try:
        return pl.read_parquet(path, glob=False) if path.suffix == ".parquet" else pl.read_csv(path, glob=False)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path}: cannot be read as a table: {error}") from error


def _integers(column: Any, path: str | Path) -> list[int]:
    """A column as whole numbers; timestamps and durations in nanoseconds."""
    import polars as pl  # noqa: PLC0415 - as above

    whole = column
    if column.dtype == pl.String:  # of a CSV: what Polars itself takes for times it cuts to microseconds
        whole = column.str.to_datetime(time_unit="ns", time_zone="UTC", strict=False).dt.epoch("ns")
    elif isinstance(column.dtype, pl.Datetime):
        whole = column.dt.epoch("ns")
    elif isinstance(column.dtype, pl.Duration):
        whole = column.dt.total_nanoseconds()
    if not whole.dtype.is_integer() or whole.null_count():
        raise ConfigError(f"{path}: column {column.name} is {column.dtype} with {whole.null_count()} absent values: expected whole nanoseconds, or timestamps")
    return [int(value) for value in whole]
