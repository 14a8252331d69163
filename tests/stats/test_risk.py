"""Ratios of gain and risk against empyrical, scipy and the figures in the papers."""

import math
import random

import numpy as np
import polars as pl
import pytest
from journals import SECOND, Journal, instrument, row
from plain import period_pnl, random_journal

from tapeline.config import Fees
from tapeline.errors import ConfigError
from tapeline.stats import TOTAL
from tapeline.stats.risk import DAYS_PER_YEAR, expected_maximum, with_probability

empyrical = pytest.importorskip("empyrical", reason="empyrical-reloaded is a development dependency")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("period_s", [10, 60])
def test_sharpe_and_sortino_are_those_of_empyrical(seed: int, period_s: int) -> None:
    """Sharpe and Sortino of the net PnL per period, for rows and their total, equal empyrical's on the same series; periods without samples count as 0."""
    journal = random_journal(seed, seconds=2.7)
    frame = journal.result().statistics(interval=f"{period_s}s").frame
    for line in frame.to_dicts():
        pnl = period_pnl(journal, {0, 1} if line["strategy"] == TOTAL else {line["row"]}, period_s)
        year = DAYS_PER_YEAR * len(pnl)  # one day was seen
        assert line["sharpe"] == pytest.approx(empyrical.sharpe_ratio(pnl, annualization=year))
        assert line["sortino"] == pytest.approx(empyrical.sortino_ratio(pnl, annualization=year))


@pytest.mark.parametrize("seed", range(4))
def test_calmar_is_that_of_empyrical_without_compounding(seed: int) -> None:
    """PnL per year / drawdown; empyrical compounds returns, which vanishes where the capital is large against the PnL, and sees the samples only."""
    journal = random_journal(seed, rows=1, seconds=2.7)
    line = journal.result().statistics(interval="1s").frame.row(0, named=True)
    pnl, capital = period_pnl(journal, {0}, 1), 1e12
    days = len(pnl) / 252  # empyrical counts years by periods
    year = line["pnl_net"] / capital * 252 / 1  # one day
    drawdown = empyrical.max_drawdown(pnl / capital)
    assert days > 0
    assert line["calmar"] == pytest.approx(year / -drawdown, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_probabilistic_sharpe_by_the_formula(seed: int) -> None:
    """Φ((SR − 0)·√(n − 1) / √(1 − γ₃·SR + (γ₄ − 1)/4·SR²)) with scipy's skewness and kurtosis of the same series."""
    stats = pytest.importorskip("scipy.stats")
    journal = random_journal(seed, rows=1, seconds=2.7)
    line = journal.result().statistics(interval="10s").frame.row(0, named=True)
    pnl = period_pnl(journal, {0}, 10)
    sharpe = pnl.mean() / pnl.std(ddof=1)
    spread = 1 - stats.skew(pnl) * sharpe + (stats.kurtosis(pnl, fisher=False) - 1) / 4 * sharpe**2
    assert line["sharpe_probability"] == pytest.approx(stats.norm.cdf(sharpe * math.sqrt((len(pnl) - 1) / spread)))


def test_deflated_sharpe_of_the_paper() -> None:
    """The paper's example: 2.5 a year over 1,250 days, skewness −3, kurtosis 10, the best of 100 trials of variance 1/2 a year: threshold 0.1132, 0.9004."""
    threshold = math.sqrt(0.5 / 250) * expected_maximum(100)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    moments = pl.DataFrame({"sharpe_period": [2.5 / math.sqrt(250)], "skew": [-3.0], "kurtosis": [10.0], "periods": [1250]})
    assert with_probability(moments, "p", np.array([threshold]))["p"][0] == pytest.approx(0.9004, abs=5e-5)


def test_deflation_counts_the_trials() -> None:
    """Deflated is below Probabilistic, more trials deflate more, and one strategy alone is not deflated: null."""
    result = random_journal(3, rows=4, seconds=2.7).result()
    few, many = result.statistics().frame, result.statistics(trials=1000).frame
    for a, b in zip(few.to_dicts()[:4], many.to_dicts()[:4], strict=True):
        assert b["sharpe_deflated"] < a["sharpe_deflated"] < a["sharpe_probability"]
    assert few["sharpe_deflated"][-1] is None
    assert random_journal(3, rows=1).result().stats.frame["sharpe_deflated"].to_list() == [None]


def test_what_has_no_risk_has_no_ratio() -> None:
    """Without change of equity, or with one period, the ratios are null; without a loss Sortino and Calmar are."""
    flat = Journal()
    flat.sample(0, 100)
    flat.sample(600, 100)
    gaining = Journal()
    gaining.fill(0, 1, 0)
    for minute in range(5):
        gaining.sample(60 * minute, 2 * minute**2)
    names = ["sharpe", "sortino", "calmar", "sharpe_probability"]
    assert flat.result().stats.frame.select(names).row(0) == (None, None, None, None)
    losing = Journal()
    losing.fill(0, 1, 10)
    losing.sample(1, 10)
    assert losing.result().stats.frame.select("sharpe", "sortino", "sharpe_probability").row(0) == (None, None, None)
    line = gaining.result().stats.frame.row(0, named=True)
    assert line["sharpe"] > 0
    assert (line["sortino"], line["calmar"]) == (None, None)


@pytest.mark.parametrize("seed", range(4))
def test_rounding_is_no_risk(seed: int) -> None:
    """What rows win from each other adds up to nothing but rounding of floats: their total has neither ratios nor a drawdown."""
    rng = random.Random(seed)
    sides = [(0, 3, Fees(maker=0.17)), (1, -1, Fees(maker=-0.17)), (2, -2, Fees(maker=-0.17))]
    journal = Journal([instrument(i, f"S{i}", grid=10**7, multiplier=m) for i, m in enumerate((0.1, 0.37))], [row(f"r{r}", fees) for r, _, fees in sides])
    for n in range(200):
        place, lots, tick = rng.randrange(2), rng.choice([-3, -1, 1, 2]), 10_000 + rng.randrange(50)
        for r, sign, _ in sides:
            journal.fill(7 * n, sign * lots, tick, row=r, place=place)
            journal.sample(7 * n + 1, 2 * tick + 1, row=r, place=place)
    total = journal.result().statistics(interval="10s").frame.row(-1, named=True)
    assert total["pnl_net"] == pytest.approx(0, abs=1e-12)
    assert [total[name] for name in ("sharpe", "sortino", "calmar", "sharpe_probability", "drawdown_max")] == [None, None, None, None, 0.0]


def test_rounding_is_no_loss() -> None:
    """A day that ends where it began is without a Sharpe, and a period that only rounding makes less than the one before is no losing one."""
    journal = Journal(rows=[row(fees=Fees(maker=0.95))])
    journal.fill(0, 3, 19_200)
    for day, marks in enumerate([(38_405, 38_401), (38_404, 38_399, 38_401), (38_402, 38_402, 38_407)]):
        for n, mark in enumerate(marks):
            journal.sample(86_400 * day + n, mark)
    days = journal.result().statistics(interval="1m").by_day
    assert days["pnl_net"].to_list() == pytest.approx([15.9, 0.0, 112.5])
    assert days["sharpe"].is_null().to_list() == [False, True, False]
    assert days["sortino"].to_list() == [None] * 3


def test_days_are_periods_where_there_are_many() -> None:
    """From 20 days on a period is a day; the notes say so, and how many periods make a year."""
    journal = Journal(rows=[row()])
    rng = np.random.default_rng(5)
    journal.fill(0, 1, 0)
    for day, mark in enumerate(rng.integers(-50, 50, 30).cumsum()):
        journal.sample(86_400 * day, int(mark))
    stats = journal.result().stats
    pnl = period_pnl(journal, {0}, 86_400)
    assert len(pnl) == 30
    assert stats.frame["sharpe"][0] == pytest.approx(empyrical.sharpe_ratio(pnl, annualization=252))
    assert "86,400 s" in stats.notes[0]
    assert "252 periods" in stats.notes[0]


@pytest.mark.parametrize("interval", [None, "1h", "7h", "50h"])
def test_weekends_are_no_periods(interval: str | None) -> None:
    """Ratios over weeks are empyrical's of the days that were traded, 252 a year; shorter periods are those of such days, a longer one is counted once."""
    journal, rng, hour = Journal(rows=[row()]), np.random.default_rng(6), 3600
    traded = [day for day in range(4, 39) if day % 7 < 5]
    journal.fill(86_400 * traded[0], 1, 0)
    for day in traded:
        mark = 0 if day == traded[0] else journal.samples[-1]["mark"]
        for n in (0.5, 1.0, 1.5):
            mark += int(rng.normal(10, 30))
            journal.sample(86_400 * day + n * hour, mark)
    stats = journal.result().statistics(interval=interval)
    period_s = 86_400 if interval is None else int(interval[:-1]) * hour
    start = journal.fills[0]["ts_local"]
    days = {time // (86_400 * SECOND) for time in (start, *(sample["ts"] for sample in journal.samples))}
    first = start // (period_s * SECOND)
    touched = {hours * hour // period_s - first for day in days for hours in range(24 * day, 24 * day + 24)}
    gains = period_pnl(journal, {0}, period_s)
    pnl = gains[sorted(touched & set(range(len(gains))))]
    assert len(traded) == len(days) == 25
    assert stats.frame["sharpe"][0] == pytest.approx(empyrical.sharpe_ratio(pnl, annualization=252 * len(pnl) / 25))
    assert stats.frame["sortino"][0] == pytest.approx(empyrical.sortino_ratio(pnl, annualization=252 * len(pnl) / 25))


def test_pnl_is_compared_with_what_was_traded() -> None:
    """PnL per turnover is net PnL / notional traded in basis points, null where nothing was traded."""
    line = random_journal(1, rows=1).result().stats.frame.row(0, named=True)
    assert line["pnl_per_turnover"] == pytest.approx(line["pnl_net"] / line["turnover"] * 1e4)
    idle = Journal(rows=[row()])
    idle.sample(1, 4)
    assert idle.result().stats.frame["pnl_per_turnover"].to_list() == [None]


def test_returns_need_capital() -> None:
    """The return is net PnL / capital, null without; an interval that is no duration is refused."""
    result = random_journal(1, rows=1).result()
    line = result.statistics(capital=1e6).frame.row(0, named=True)
    assert line["return_on_capital"] == line["pnl_net"] / 1e6
    assert result.stats.frame["return_on_capital"][0] is None
    with pytest.raises(ConfigError, match="interval"):
        result.statistics(interval="soon")
