"""Days of trading: when they begin, and what they are called."""

import datetime as dt
import re
import zoneinfo
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.errors import ConfigError
from tapeline.keywords import meant

DAY_NS: Final = 86_400 * 10**9
_STARTS: Final = re.compile(r"(\d\d?):(\d\d)(?:\s+(\S+))?")
_NOON: Final = dt.time(12)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class DayStart(NamedTuple):
    """At which time of the clock of a zone each day begins."""

    time: dt.time = dt.time(0)
    zone: dt.tzinfo = dt.UTC
    name: str = "UTC"

    @classmethod
    def of(cls, day_starts: str | None) -> "DayStart":
        """Of a setting such as '17:00 America/Chicago'; without a zone, or of None, UTC. Raises ConfigError for what is no such time, and for unknown zones."""
        if day_starts is None:
            return cls()
        found = _STARTS.fullmatch(day_starts.strip()) if isinstance(day_starts, str) else None
        if found is None or int(found[1]) > 23 or int(found[2]) > 59:
            raise ConfigError(f"day_starts={day_starts!r}: expected a time of the day and a zone, such as '17:00 America/Chicago'")
        name = found[3] or "UTC"
        return cls(dt.time(int(found[1]), int(found[2])), dt.UTC if name == "UTC" else _zone(name, day_starts), name)

    def at(self, date: dt.date) -> int:
        """When that is on a date, ns; where clocks are set, of a time that is twice the first, and of one that is skipped as far behind the hour before."""
        return (dt.datetime.combine(date, self.time, self.zone) - _EPOCH) // dt.timedelta(microseconds=1) * 1000

    def date_of(self, began: dt.date) -> dt.date:
        """What a day is called that begins on a date: the one that most of it is of. An evening session's is the next, as venues name it."""
        return began + dt.timedelta(days=self.time >= _NOON)

    def __str__(self) -> str:
        """For headings: nothing but the zone where days are a calendar's."""
        return self.name if self.time == dt.time(0) else f"from {self.time:%H:%M} {self.name}"


class Days:
    """All days from that of one time to that of another, by number: of those before and behind nobody asks."""

    def __init__(self, day_start: DayStart, first_ns: int, last_ns: int) -> None:
        """Find where each begins."""
        self.day_start = day_start
        date = (_EPOCH + dt.timedelta(microseconds=first_ns // 1000)).astimezone(day_start.zone).date() - dt.timedelta(days=2)
        dates, starts = [day_start.date_of(date)], [day_start.at(date)]
        while starts[-1] <= last_ns:
            date += dt.timedelta(days=1)
            dates.append(day_start.date_of(date))
            starts.append(day_start.at(date))
        self.dates = pl.Series("day", dates[:-1], pl.Date)
        self.starts: npt.NDArray[np.int64] = np.array(starts, np.int64)
        """One more than there are days: where the last one ends."""

    def numbers(self, ns: pl.Series) -> npt.NDArray[np.int64]:
        """The day that each time is of."""
        return np.searchsorted(self.starts, ns.to_physical().to_numpy(), "right").astype(np.int64) - 1

    def of(self, ns: pl.Series) -> pl.Series:
        """What that is called."""
        return self.dates.gather(self.numbers(ns))

    @property
    def bounds(self) -> tuple[pl.Expr, pl.Expr]:
        """Where the day in a column `day` begins, and where it ends, ns."""
        first, last = (pl.col("day").replace_strict(self.dates, pl.Series(part), return_dtype=pl.Int64) for part in (self.starts[:-1], self.starts[1:]))
        return first, last


def _zone(name: str, day_starts: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(zoneinfo.available_timezones())
    if not known:
        raise ConfigError(f"day_starts={day_starts!r}: this system has no time zones that Python could read: pip install tzdata")
    raise ConfigError(f"day_starts={day_starts!r}: there is no time zone {name}; {meant(name, known, 'expected one such as America/Chicago')}")
