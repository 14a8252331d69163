"""Days of trading that begin in the evening of a zone: what is of which, what they are called, and ratios per day."""

import datetime as dt
import random
import zoneinfo
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
import pytest
from journals import SECOND, START, Journal, instrument
from plain import random_journal

import tapeline as tl
from tapeline.errors import ConfigError
from tapeline.stats.days import Days, DayStart

CME = "17:00 America/Chicago"
CHICAGO = zoneinfo.ZoneInfo("America/Chicago")


def after(text: str) -> float:
    """Seconds from START to a time in UTC."""
    return dt.datetime.fromisoformat(f"{text}+00:00").timestamp() - START // SECOND


def journal_of(*samples: tuple[str, int]) -> Journal:
    """One lot bought at 100 with the first sample; marks at times, in whole units."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(after(samples[0][0]), 1, 100)
    for text, mark in samples:
        journal.sample(after(text), 2 * mark)
    return journal


def test_an_evening_session_is_one_day() -> None:
    """A session from 17:00 to 16:00 in Chicago is cut in two by UTC's midnight; told when it begins, it is one day, named by the date on which it ends."""
    result = journal_of(("2024-01-07T23:30", 101), ("2024-01-08T15:00", 104), ("2024-01-08T23:30", 103), ("2024-01-09T21:59", 110)).result()
    by_utc = result.stats.by_day.select("day", "pnl_net").rows()
    assert by_utc == [(dt.date(2024, 1, 7), 1), (dt.date(2024, 1, 8), 2), (dt.date(2024, 1, 9), 7)]
    by_session = result.statistics(day_starts=CME).by_day.select("day", "pnl_net").rows()
    assert by_session == [(dt.date(2024, 1, 8), 4), (dt.date(2024, 1, 9), 6)]


@pytest.mark.parametrize(
    ("before", "behind", "day"),
    [("2024-03-10T21:59", "2024-03-10T22:01", dt.date(2024, 3, 11)), ("2024-11-03T22:59", "2024-11-03T23:01", dt.date(2024, 11, 4))],
)
def test_days_follow_the_clock_of_their_zone(before: str, behind: str, day: dt.date) -> None:
    """On the Sundays on which clocks are set, Monday begins at 22:00 and at 23:00 UTC."""
    stats = journal_of((before, 101), (behind, 103)).result().statistics(day_starts=CME)
    assert stats.by_day.select("day", "pnl_net").rows() == [(day - dt.timedelta(days=1), 1), (day, 2)]


def test_each_time_is_of_the_day_that_plain_python_says() -> None:
    """Random times over two years, and those at the border itself: the local date, or from 17:00 on the next one; days follow each other without a gap."""
    rng = random.Random(5)
    first, last = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) * SECOND for year in (2023, 2025))
    days = Days(DayStart.of(CME), first, last)
    times = [rng.randrange(first, last) for _ in range(2000)]
    times += [int(start) + step for start in days.starts[2:-3] for step in (-1, 0)]
    local = [dt.datetime.fromtimestamp(ns // SECOND, CHICAGO) for ns in times]
    assert days.of(pl.Series(times)).to_list() == [one.date() + dt.timedelta(days=one.hour >= 17) for one in local]
    assert set(np.diff(days.starts) // (3600 * SECOND)) == {23, 24, 25}


def test_a_sharpe_per_day_is_that_of_sessions() -> None:
    """Of six weeks, each of five sessions that win in the evening and lose by day: 30 periods and sqrt(252), where UTC has 36 and mixes neighbours."""
    rng, samples, gains, mark = random.Random(1), [], [], 100
    for week in range(6):
        for session in range(5):
            begins = dt.datetime.fromisoformat("2024-01-07T23:30") + dt.timedelta(days=7 * week + session)
            won, lost = rng.randrange(5, 30), rng.randrange(20)
            samples += [(str(begins), mark + won), (str(begins + dt.timedelta(hours=12)), mark + won - lost)]
            mark += won - lost
            gains.append(won - lost)
    result = journal_of(*samples).result()
    stats = result.statistics(day_starts=CME)
    assert stats.frame["sharpe"][0] == pytest.approx(np.mean(gains) / np.std(gains, ddof=1) * np.sqrt(252))
    assert "30 periods on 30 days (from 17:00 America/Chicago)" in stats.notes[0]
    assert "36 periods on 36 days (UTC)" in result.stats.notes[0]
    assert result.stats.frame["sharpe"][0] < stats.frame["sharpe"][0]


@pytest.mark.parametrize("day_starts", [CME, "09:30 Asia/Kolkata", "12:00 Pacific/Auckland", "02:30 America/New_York"])
@pytest.mark.parametrize("seed", range(2))
def test_days_add_up_wherever_they_begin(seed: int, day_starts: str) -> None:
    """Over the days of a run, PnL, fees, lots, fills, turnover and round trips add up to those of the whole."""
    stats = random_journal(seed, seconds=4_000).result().statistics(day_starts=day_starts)
    for line in stats.frame.filter(pl.col("row").is_not_null()).to_dicts():
        days = [day for day in stats.by_day.to_dicts() if day["row"] == line["row"]]
        assert len(days) >= 3
        for name in ("pnl_net", "fees", "lots", "fills", "turnover", "trades"):
            assert sum(day[name] for day in days) == pytest.approx(line[name])


def test_midnight_is_the_default() -> None:
    """Named or not, days from midnight UTC are the same, and so in a zone that has its time; a day from the morning on has that morning's date."""
    result = random_journal(0, seconds=4_000).result()
    for day_starts in ("00:00", "00:00 UTC", "00:00 Africa/Abidjan"):
        assert result.statistics(day_starts=day_starts).by_day.equals(result.stats.by_day, null_equal=True)
    morning = journal_of(("2024-01-09T14:31", 101), ("2024-01-10T14:29", 103)).result().statistics(day_starts="09:30 America/New_York")
    assert morning.by_day["day"].to_list() == [dt.date(2024, 1, 9)]


def test_a_run_keeps_when_its_days_begin(tmp_path: Path) -> None:
    """What a Backtest was told holds for the statistics and the report of its result, saved or not; a statistic may be told otherwise."""
    journal = journal_of(("2024-01-07T23:30", 101), ("2024-01-08T15:00", 104), ("2024-01-08T23:30", 103))
    made = journal.result()
    made.manifest["settings"] = {**made.manifest.get("settings", {}), "day_starts": tl.Backtest("x.dbn", day_starts=CME).settings()["day_starts"]}
    loaded = tl.Result.load(made.save(tmp_path / "run"))
    assert loaded.stats.by_day["day"].to_list() == [dt.date(2024, 1, 8), dt.date(2024, 1, 9)]
    assert loaded.statistics(day_starts="00:00 UTC").by_day["day"].to_list() == [dt.date(2024, 1, 7), dt.date(2024, 1, 8)]
    assert "day (from 17:00 America/Chicago)" in loaded.report(tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("day_starts", ["5pm", "24:00 UTC", "17:60", "17:00 America/Chicago now", "", 17])
def test_what_is_no_start_of_a_day_is_refused(day_starts: str) -> None:
    """A Backtest and a statistic name the setting and what is expected."""
    with pytest.raises(ConfigError, match=r"day_starts=.*: expected a time of the day and a zone, such as '17:00 America/Chicago'"):
        tl.Backtest("x.dbn", day_starts=day_starts)


@pytest.mark.parametrize(
    ("zone", "words"), [("America/Chicag", "there is no time zone America/Chicag; did you mean .America/Chicago."), ("../etc", "no time zone")]
)
def test_zones_that_are_none_are_refused(zone: str, words: str) -> None:
    """With the one that was probably meant."""
    with pytest.raises(ConfigError, match=f"day_starts='17:00 {zone}': .*{words}"):
        DayStart.of(f"17:00 {zone}")


def test_a_system_without_zones_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python finds no time zones, the error says which package has them; UTC needs none."""

    def nothing(key: str) -> NoReturn:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", nothing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(ConfigError, match="this system has no time zones that Python could read: pip install tzdata"):
        DayStart.of(CME)
    assert DayStart.of("17:00 UTC").name == "UTC"
