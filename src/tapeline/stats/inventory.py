"""Positions over time, of fills: exact, and not only where equity was sampled."""

from typing import Final

import polars as pl

from tapeline.stats.days import Days
from tapeline.stats.risk import Sampling

ONE: Final = ["row", "strategy", "symbol", "currency"]
"""What a cell is, by name."""


def spans(fills: pl.DataFrame, end_ns: int) -> pl.DataFrame:
    """One line per time in which a row's position in an instrument stayed what a fill made it: ts, ts_next, position, exposure (currency).

    `exposure`: the absolute position at the price of that fill. Before the first fill there is no line.
    """
    lines = fills.select(*ONE, "cell", "ts_local", "position", exposure=pl.col("position").abs() * pl.col("notional") / pl.col("size"))
    end = pl.lit(end_ns).cast(fills.schema["ts_local"])
    following = pl.col("ts_local").shift(-1).over("cell")
    return lines.with_columns(ts_next=pl.max_horizontal(following.fill_null(end), "ts_local")).rename({"ts_local": "ts"})


def spans_per_day(lines: pl.DataFrame, calendar: Days) -> pl.DataFrame:
    """The same cut where days end, with a column `day`."""
    lines = lines.with_columns(first=pl.Series(calendar.numbers(lines["ts"])), last=pl.Series(calendar.numbers(lines["ts_next"])))
    is_within = pl.col("first") == pl.col("last")  # to make lists of days takes ten times as long as all the rest
    within = lines.filter(is_within).with_columns(number="first")
    across = lines.filter(~is_within).with_columns(number=pl.int_ranges("first", pl.col("last") + 1)).explode("number")
    days = pl.concat([within, across])
    number, time = days["number"].to_numpy(), lines.schema["ts"]
    start, end = (pl.Series(part.take(number)).cast(time) for part in (calendar.starts[:-1], calendar.starts[1:]))
    days = days.with_columns(ts=pl.max_horizontal("ts", start), ts_next=pl.min_horizontal("ts_next", end), day=calendar.dates.gather(number))
    return days.drop("first", "last", "number")


def distribution(lines: pl.DataFrame, sampling: Sampling) -> pl.DataFrame:
    """Share of the run's time that each row spent at each position in each instrument it traded: columns position, seconds, share."""
    length = (pl.col("ts_next") - pl.col("ts")).dt.total_nanoseconds()
    held = lines.group_by([*ONE, "position"]).agg(ns=length.sum())
    whole = sampling.end_ns - sampling.start_ns
    flat = held.group_by(ONE).agg(ns=whole - pl.col("ns").sum()).with_columns(position=pl.lit(0, held.schema["position"]))
    both = pl.concat([held, flat.select(held.columns)]).group_by([*ONE, "position"]).agg(pl.col("ns").sum().clip(lower_bound=0))
    both = both.filter(pl.col("ns") > 0).sort(*ONE, "position")
    return both.select(*ONE, "position", seconds=pl.col("ns") / 1e9, share=pl.col("ns") / pl.col("ns").sum().over(ONE))


def position_over_time(lines: pl.DataFrame, equity: pl.DataFrame, by: list[str], sampling: Sampling) -> pl.DataFrame:
    """Columns position_abs_mean, exposure_mean (currency) and time_in_market per group with samples, over the time of the run, or of the day.

    The mean share of the time is over the rows and instruments that have traded by then; where none has, it is 0.
    """
    seconds = (pl.col("ts_next") - pl.col("ts")).dt.total_nanoseconds()
    sums = lines.group_by(by).agg(
        position_abs_mean=(pl.col("position").abs().cast(pl.Float64) * seconds).sum(),  # lots × ns: coins by the satoshi do not fit into 64 bits
        exposure_mean=(pl.col("exposure") * seconds).sum(),
        held=seconds.filter(pl.col("position") != 0).sum(),
        cells=pl.col("cell").n_unique(),
    )
    start, end = sampling.bounds(by)
    whole = end - start
    amounts = ("position_abs_mean", "exposure_mean", "held")
    sums = equity.select(by).unique().join(sums, on=by, how="left").with_columns(pl.col(amounts).fill_null(0), pl.col("cells").fill_null(1))
    means = [pl.when(whole > 0).then(pl.col(name) / whole).alias(name) for name in amounts]
    return sums.with_columns(means).select(*by, *amounts[:2], time_in_market=pl.col("held") / pl.col("cells"))


def position_range(lines: pl.DataFrame, equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns position_min, position_max (0 belongs to both) and position_end per group; the end is null unless the group is one row and instrument.

    To a day's belongs the position that it starts with.
    """
    ends = equity.group_by("cell", maintain_order=True).agg(pl.col(by).first(), pl.col("position").last().alias("end"))
    one = ends.group_by(by).agg(pl.when(pl.len() == 1).then(pl.col("end").first()).alias("position_end"))
    ranges = lines.group_by(by).agg(pl.col("position").min().alias("position_min"), pl.col("position").max().alias("position_max"))
    both = one.join(ranges, on=by, how="left")
    return both.with_columns(pl.col("position_min").fill_null(0).clip(upper_bound=0), pl.col("position_max").fill_null(0).clip(lower_bound=0))
