"""Ratios of gain and risk: Sharpe, Sortino, Calmar, and the Probabilistic and Deflated Sharpe ratios of Bailey and López de Prado."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from tapeline.stats.days import DAY_NS, Days, DayStart
from tapeline.stats.money import cleared

DAYS_PER_YEAR: Final = 252
"""Trading days."""
DAILY_FROM: Final = 20
"""With so many days or more a period is a day, else a minute."""
MINUTE_NS: Final = 60 * 10**9
_EULER: Final = float(np.euler_gamma)
_NORMAL: Final = NormalDist()


class Sampling(NamedTuple):
    """The periods whose PnL the ratios are made of: whole multiples of `interval_ns` since the epoch that the run's days touch, or, of a day, these days."""

    interval_ns: int
    start_ns: int
    end_ns: int
    days: int
    """How many have samples, fills or orders."""
    periods: int
    """How many there are, first and last whole. Those of a weekend are none: a quiet minute is one that could have been traded in."""
    calendar: Days
    """Where days begin."""

    @classmethod
    def of(  # the frames of a Result, then settings
        cls, fills: pl.DataFrame, orders: pl.DataFrame, equity: pl.DataFrame, interval_ns: int | None = None, day_start: DayStart | None = None
    ) -> "Sampling":
        """The periods of a run, by default minutes, or days where there are many. It starts with the first of its frames' times: samples may be rare."""
        day_start = day_start or DayStart()
        moments = pl.concat([equity["ts"], fills["ts_local"], orders["ts_sent"]])
        if not equity.height:
            return cls(interval_ns or MINUTE_NS, 0, 0, 0, 0, Days(day_start, 0, 0))
        start, last, end = (int(ns) for ns in (moments.to_physical().min(), moments.to_physical().max(), equity["ts"].to_physical().max()))  # type: ignore[arg-type]  # integers
        calendar = Days(day_start, start, last)
        told = equity.select(told_of(start)).to_series().cast(moments.dtype)
        days = np.unique(calendar.numbers(pl.concat([told, fills["ts_local"], orders["ts_sent"]]))).tolist()
        interval = interval_ns or (DAY_NS if len(days) >= DAILY_FROM else MINUTE_NS)
        of_days = cls(interval, start, end, len(days), 0, calendar)
        return of_days._replace(periods=of_days._touched_by(days))

    @property
    def last_ns(self) -> int:
        """The time that the last sample tells of."""
        return max(self.end_ns - 1, self.start_ns)

    def _touched_by(self, days: Sequence[int]) -> int:
        """How many periods days touch, by number, in the run's time."""
        if self.is_daily:
            return len(days)
        count, done, starts = 0, -1, self.calendar.starts.tolist()
        for day in days:
            first = max(starts[day], self.start_ns) // self.interval_ns
            last = min(starts[day + 1] - 1, self.last_ns) // self.interval_ns
            count, done = count + last - max(first, done + 1) + 1, last
        return count

    @property
    def is_daily(self) -> bool:
        """Whether periods are days, as long as each is."""
        return self.interval_ns == DAY_NS

    def period_of(self, told: pl.Series) -> pl.Series:
        """The period that each time is of, by number."""
        return pl.Series(self.calendar.numbers(told)) if self.is_daily else told // self.interval_ns

    @property
    def periods_per_year(self) -> float:
        """Of years of DAYS_PER_YEAR days as long as those that were seen."""
        return DAYS_PER_YEAR * self.periods / self.days if self.days else 0.0

    def bounds(self, by: list[str]) -> tuple[pl.Expr, pl.Expr]:
        """Start and end of a group, ns: of the run; of its part of one day where groups are days."""
        if "day" not in by:
            return pl.lit(self.start_ns), pl.lit(self.end_ns)
        first, end = self.calendar.bounds
        return pl.max_horizontal(first, pl.lit(self.start_ns)), pl.min_horizontal(end, pl.lit(self.end_ns))

    def periods_in(self, by: list[str]) -> pl.Expr:
        """Number of periods of a group; of one day where groups are days."""
        if "day" not in by:
            return pl.lit(self.periods)
        if self.is_daily:
            return pl.lit(1)
        first, behind = self.calendar.bounds
        start, end = pl.max_horizontal(first, pl.lit(self.start_ns)), pl.min_horizontal(behind - 1, pl.lit(self.last_ns))
        return end // self.interval_ns - start // self.interval_ns + 1


def told_of(start_ns: int) -> pl.Expr:
    """The time that a sample tells of, ns. It is how things stood at its stamp: one where a day ends is its last, and not the first of the next."""
    return pl.max_horizontal(pl.col("ts").to_physical() - 1, pl.lit(start_ns))


def risk(curve: pl.DataFrame, by: list[str], sampling: Sampling) -> pl.DataFrame:
    """Columns sharpe, sortino, sharpe_probability, pnl_per_year (currency), and sharpe_period (not annualised), skew, kurtosis and periods per group.

    Of its `net_curve`. A period without a sample has a PnL of 0, since samples are taken whenever equity has changed; days without anything have no periods.
    """
    curve = curve.with_columns(period=sampling.period_of(curve.select(told_of(sampling.start_ns)).to_series()))
    ends = curve.group_by([*by, "period"], maintain_order=True).agg(pl.col("net", "noise").last())
    change = pl.col("net") - pl.col("net").shift(1, fill_value=0.0).over(by)
    gains = ends.with_columns(x=cleared(change), periods=sampling.periods_in(by))
    gains = gains.with_columns(mean=pl.col("x").sum().over(by) / pl.col("periods"))
    away = cleared(pl.col("x") - pl.col("mean"))
    quiet = pl.col("periods").first() - pl.len()  # periods without a sample
    moments = gains.group_by(by, maintain_order=True).agg(
        pl.col("periods", "mean").first(),
        *((away.pow(k).sum() + quiet * (-pl.col("mean").first()).pow(k)).alias(f"m{k}") for k in (2, 3, 4)),
        pl.col("x").clip(upper_bound=0).pow(2).sum().alias("losses"),
    )
    year, n = sampling.periods_per_year, pl.col("periods")
    deviation = (pl.col("m2") / (n - 1)).sqrt()
    moments = moments.with_columns(
        sharpe_period=pl.when((n > 1) & (pl.col("m2") > 0)).then(pl.col("mean") / deviation),
        skew=pl.when(pl.col("m2") > 0).then(pl.col("m3") / n / (pl.col("m2") / n).pow(1.5)),
        kurtosis=pl.when(pl.col("m2") > 0).then(pl.col("m4") / n / (pl.col("m2") / n).pow(2)),
        pnl_per_year=pl.col("mean") * year,
    ).with_columns(
        sharpe=pl.col("sharpe_period") * math.sqrt(year),
        sortino=pl.when((n > 1) & (pl.col("losses") > 0)).then(pl.col("mean") / (pl.col("losses") / n).sqrt() * math.sqrt(year)),
    )
    columns = ["sharpe", "sortino", "pnl_per_year", "sharpe_period", "skew", "kurtosis", "periods"]
    return with_probability(moments.select(*by, *columns), "sharpe_probability", np.zeros(moments.height))


def with_probability(moments: pl.DataFrame, name: str, threshold: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> pl.DataFrame:
    """Add the probability that the true Sharpe ratio exceeds a threshold (per line and period; NaN: null).

    Φ((SR − SR*)·√(n − 1) / √(1 − γ₃·SR + (γ₄ − 1)/4·SR²)), Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier" (2012).
    """
    values = []
    for line, least in zip(moments.select("sharpe_period", "skew", "kurtosis", "periods").iter_rows(), threshold, strict=True):
        sharpe, skew, kurtosis, periods = line
        spread = 0.0 if sharpe is None else 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
        is_defined = sharpe is not None and spread > 0 and not math.isnan(least)
        values.append(_NORMAL.cdf((sharpe - least) * math.sqrt((periods - 1) / spread)) if is_defined else None)
    return moments.with_columns(pl.Series(name, values, pl.Float64))


def with_deflation(by_strategy: pl.DataFrame, trials: int | None) -> pl.DataFrame:
    """Add sharpe_deflated to lines of one strategy and currency each: the probability that a Sharpe exceeds the greatest expected of `trials` without skill.

    SR* = √V·((1 − γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e))), V the variance of the trials' Sharpe ratios (Bailey and López de Prado, "The Deflated Sharpe Ratio",
    2014). N is the number of strategies of the currency in the run, or `trials` if that is more. Null where fewer than two are defined.
    """
    ratios = pl.col("sharpe_period")
    spread = by_strategy.select(
        deviation=ratios.std().over("currency"), count=pl.max_horizontal(ratios.count().over("currency").cast(pl.Int64), pl.lit(trials or 0))
    )
    thresholds = [math.nan if deviation is None or count < 2 else deviation * expected_maximum(count) for deviation, count in spread.iter_rows()]
    return with_probability(by_strategy, "sharpe_deflated", np.array(thresholds, np.float64))


def expected_maximum(trials: int) -> float:
    """Expected greatest of `trials` ≥ 2 standard normal draws, by the approximation of the Deflated Sharpe Ratio."""
    return (1 - _EULER) * _NORMAL.inv_cdf(1 - 1 / trials) + _EULER * _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
