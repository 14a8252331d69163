"""Positions over time, days, queues and times, against counting in plain Python."""

from datetime import date, timedelta

import polars as pl
import pytest
from journals import SECOND, START, Journal, instrument, row
from plain import random_journal

from tapeline.constants import Reason, Status
from tapeline.stats import inventory

DAY = 86_400


def test_position_over_time_by_hand() -> None:
    """Of 10 s from the first sample on: flat for 2 s, long 2 for 3 s, short 1 for 5 s: mean 1.1 lots, 80 % of the time in the market."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.sample(0, 200)
    journal.fill(2, 2, 100)
    journal.fill(5, -3, 110)
    journal.sample(10, 200)
    result = journal.result()
    line = result.stats.frame.row(0, named=True)
    assert line["position_abs_mean"] == pytest.approx((2 * 3 + 1 * 5) / 10)
    assert line["exposure_mean"] == pytest.approx((2 * 100 * 3 + 1 * 110 * 5) / 10)
    assert line["time_in_market"] == pytest.approx(0.8)
    shares = inventory.distribution(result.stats.frames.spans, result.stats.settings.sampling)
    assert dict(shares.select("position", "share").rows()) == pytest.approx({-1: 0.5, 0: 0.2, 2: 0.3})


def test_a_large_position_over_a_long_time() -> None:
    """Ten coins, in lots of 1e-8, held for a day: lots times nanoseconds do not fit into 64 bits, and the mean is 1e9 lots all the same."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.sample(0, 200)
    journal.fill(0, 10**9, 100)
    journal.sample(DAY, 200)
    assert journal.result().stats.frame["position_abs_mean"][0] == pytest.approx(1e9)


@pytest.mark.parametrize("seed", range(4))
def test_days_add_up(seed: int) -> None:
    """Over the days of a run, PnL, fees, lots, fills, turnover and round trips add up to those of the whole; positions end where the next day starts."""
    journal = random_journal(seed, fills=120, seconds=DAY / 40)
    stats = journal.result().stats
    for line in stats.frame.to_dicts()[:2]:
        days = [day for day in stats.by_day.to_dicts() if day["row"] == line["row"]]
        assert len(days) >= 3
        for name in ("pnl_net", "pnl_gross", "fees", "lots", "fills", "turnover", "trades"):
            assert sum(day[name] for day in days) == pytest.approx(line[name])
        assert all((day["drawdown_max"] or 0.0) <= line["drawdown_max"] + 1e-6 for day in days)


def test_a_day_counts_from_the_day_before() -> None:
    """A position held overnight gains on each day what its mark moved since the last sample of the day before; time in the market is that of the day."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    midnight = DAY - (START // SECOND) % DAY  # seconds after START
    journal.sample(midnight - 100, 200)
    journal.fill(midnight - 50, 1, 100)
    journal.sample(midnight - 10, 2 * 103)
    journal.sample(midnight + 100, 2 * 101)
    first, second = journal.result().stats.by_day.to_dicts()
    assert (first["pnl_net"], second["pnl_net"]) == (3.0, -2.0)
    assert second["day"] - first["day"] == timedelta(days=1)
    assert isinstance(first["day"], date)
    assert (first["time_in_market"], second["time_in_market"]) == (pytest.approx(0.5), pytest.approx(1.0))
    assert (second["drawdown_max"], second["drawdown_duration"]) == (2.0, timedelta(seconds=100))  # since midnight, when the day's equity was 0


def test_a_day_with_fills_and_no_order_sent_has_no_messages_to_trade() -> None:
    """An order that rests overnight is of the day on which it was sent: on the next its fill stands beside 0 messages, and not beside an unknown number."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    midnight = DAY - (START // SECOND) % DAY  # seconds after START
    journal.order(1, filled=1)
    journal.fill(midnight + 50, 1, 100)
    journal.sample(midnight + 100, 200)
    first, second = journal.result().stats.by_day.to_dicts()
    assert (first["orders"], first["fills"], first["order_to_trade"]) == (1, 0, None)
    assert (second["orders"], second["fills"], second["order_to_trade"]) == (0, 1, 0.0)
    assert second["fill_ratio_orders"] is None


def test_times_of_a_day_are_nanoseconds() -> None:
    """Long for a second and a nanosecond of two: by day as for the whole run, though durations in Polars are microseconds where nothing else is said."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(0, 1, 100)
    journal.fill(1.000000001, -1, 100)
    journal.sample(2, 200)
    stats = journal.result().stats
    assert [frame["position_abs_mean"][0] for frame in (stats.frame, stats.by_day)] == [pytest.approx(0.5000000005, rel=1e-13)] * 2


def test_a_sample_at_midnight_is_the_last_of_its_day() -> None:
    """With a sample every hour, what was won from 23:00 to 24:00 is the ending day's, as the fill is; a run from midnight on has no day before it."""
    midnight = DAY - (START // SECOND) % DAY
    for start in (midnight - 3600, midnight):
        journal = Journal([instrument(grid=10**9, multiplier=1.0)])
        journal.sample(start, 200)
        journal.fill(midnight - 1800 if start < midnight else midnight + 10, 1, 100)
        journal.sample(midnight + (3600 if start == midnight else 0), 2 * 107)
        journal.sample(midnight + 7200, 2 * 105)
        days = journal.result().stats.by_day.select("pnl_net", "fills").rows()
        assert days == ([(7, 1), (-2, 0)] if start < midnight else [(5, 1)])


def test_a_day_without_a_fill_has_the_position_that_it_starts_with() -> None:
    """Long 3 since the day before, and nothing traded: smallest 0, largest and last 3; on the third day 1 is sold, and 3 was still the largest."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(0, 3, 100)
    for day in range(2):
        journal.sample(day * DAY + 10, 200 + day)
    journal.fill(2 * DAY, -1, 100)
    journal.sample(2 * DAY + 10, 200)
    names = ("position_min", "position_max", "position_end", "fills")
    assert journal.result().stats.by_day.select(names).rows() == [(0, 3, 3, 1), (0, 3, 3, 0), (0, 3, 2, 1)]


def test_a_position_counts_on_days_on_which_only_another_instrument_trades() -> None:
    """Long 3 of one since the day before, without a sample of it: the second day's largest position is 3, its mean that of both; there is no third day."""
    journal = Journal([instrument(i, f"S{i}", grid=10**9, multiplier=1.0) for i in range(2)])
    journal.fill(0, 3, 100)
    journal.sample(10, 200)
    journal.fill(DAY, 1, 100, place=1)
    journal.fill(DAY + 60, -1, 100, place=1)
    journal.sample(DAY + 120, 200, place=1)
    first, second = journal.result().stats.by_day.to_dicts()
    assert (first["position_max"], second["position_max"]) == (3, 3)
    midnight = DAY - (START // SECOND) % DAY
    assert second["position_abs_mean"] == pytest.approx(3 + 60 / (DAY + 120 - midnight))


def test_the_time_of_a_run_starts_before_its_first_sample() -> None:
    """With samples at 600 s and 1,000 s only, long 1 from 200 s to 400 s is a fifth of the 1,000 s since the first order; flat throughout is 0."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)], rows=[row(), row("Idle")])
    journal.order(1, 1, 1, ts_sent=START)
    journal.fill(200, 1, 100)
    journal.fill(400, -1, 100)
    for r in range(2):
        journal.sample(600, 200, row=r)
        journal.sample(1000, 202, row=r)
    frame = journal.result().stats.frame.filter(pl.col("row").is_not_null())
    assert frame["time_in_market"].to_list() == pytest.approx([0.2, 0])
    assert frame["position_abs_mean"].to_list() == pytest.approx([0.2, 0])


def test_queues_times_and_requests_by_hand() -> None:
    """Queues, times and ratios count what they say: filled at rest, cancelled on request, taken at once, refused by the exchange."""
    journal = Journal()
    ms = SECOND // 1000
    journal.order(1, 2, 2, ts_arrived=START + ms, ahead_at_entry=9, ahead_at_end=1, modifies=2)
    journal.order(2, 1, 0, Status.CANCELLED, ts_arrived=START + 3 * ms, ahead_at_entry=5, ahead_at_end=4, reason=Reason.REQUESTED)
    journal.order(3, 1, 1, ts_arrived=START + ms, ahead_at_entry=-1, ahead_at_end=-1)
    journal.order(4, 1, 0, Status.CANCELLED, ts_arrived=START + ms, ahead_at_entry=-1, ahead_at_end=-1, reason=Reason.SELF_MATCH)
    journal.order(5, 1, 0, Status.CANCELLED, ts_arrived=START + ms, ahead_at_entry=-1, ahead_at_end=-1, reason=Reason.LOSS_LIMIT)
    journal.fill(1, 1, 100, order_id=1)
    journal.fill(2, 1, 100, order_id=1)
    journal.fill(3, 1, 100, order_id=3, maker=False)
    journal.sample(4, 200)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["ahead_at_entry_median"], line["ahead_at_fill_median"]) == (7, 1)
    assert line["time_to_fill_median"] == timedelta(seconds=1, microseconds=-1 - 1000)  # the journal's fills reach the row 1 µs late
    assert line["cancel_ratio"] == pytest.approx(3 / 5)
    assert line["order_to_trade"] == pytest.approx((5 + 2 + 2) / 3)  # the kill switch's cancel is a message, self-match prevention is none
    assert (line["entry_latency_median"], line["entry_latency_p99"]) == (timedelta(milliseconds=1), timedelta(milliseconds=3))
    assert line["response_latency_median"] == timedelta(microseconds=1)
