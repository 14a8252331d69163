"""Round trips: what is commonly called a trade."""

from typing import Final

import polars as pl

from tapeline.stats.money import ratio

_ROUNDING: Final = 1e-12
"""A net gain below this share of the money that moved is rounding of its sum: one that is nothing would else be won or lost by chance."""


def round_trips(fills: pl.DataFrame) -> pl.DataFrame:
    """One line per round trip of a cell: from no position to none again, or to the other side.

    Columns: cell, ts_open, ts_close, lots (opened), pnl_net (currency), duration. A fill that turns a position around closes one trip and opens the next, its
    notional and fee divided by lots. A position that is still open at the end is no trip yet.
    """
    sign = pl.when(pl.col("side") == "buy").then(1).otherwise(-1)
    before = pl.col("position") - sign * pl.col("size")
    # The sign of the price matters: a buy at −2 brings cash in.
    cash = -sign * pl.col("price").sign() * pl.col("notional") - pl.col("fee")
    line, size = pl.int_range(pl.len()), pl.col("size")
    parts = fills.select("cell", "ts_local", "size", sign=sign, was=before, cash=cash, line=2 * line)
    closing = pl.when(pl.col("was").sign() == -pl.col("sign")).then(pl.min_horizontal(pl.col("was").abs(), "size")).otherwise(0)
    parts = parts.with_columns(closing=closing)
    closes = parts.with_columns(part="closing", opens=pl.lit(False))
    opens = parts.with_columns(pl.col("line") + 1, part=size - pl.col("closing"), opens=pl.lit(True))
    halves = closes.filter(pl.col("part") > 0).merge_sorted(opens.filter(pl.col("part") > 0), "line")
    starts = pl.col("opens") & (pl.col("was").sign() != pl.col("sign"))
    ends = (~pl.col("opens")) & (pl.col("part") == pl.col("was").abs())
    number = pl.col("cell").cast(pl.Int64) * halves.height + starts.cum_sum().over("cell")  # of one column, by which to group takes half the time
    trips = (
        halves.select("cell", "ts_local", "part", "opens", cash=pl.col("cash") * pl.col("part") / size, trip=number, ends=ends)
        .group_by("trip", maintain_order=True)
        .agg(
            pl.col("cell").first(),
            ts_open=pl.col("ts_local").first(),
            ts_close=pl.col("ts_local").last(),
            lots=pl.col("part").filter("opens").sum(),
            pnl_net=pl.when(pl.col("cash").sum().abs() > _ROUNDING * pl.col("cash").abs().sum()).then(pl.col("cash").sum()).otherwise(0.0),
            is_closed=pl.col("ends").any(),
        )
    )
    return trips.filter("is_closed").drop("trip", "is_closed").with_columns(duration=pl.col("ts_close") - pl.col("ts_open"))


def trips_summary(trips: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns trades, win_rate, profit_factor, trade_pnl_mean (currency) and trade_duration_median per group."""
    pnl = pl.col("pnl_net")
    summary = trips.group_by(by).agg(
        trades=pl.len().cast(pl.Int64),
        win_rate=(pnl > 0).mean(),
        gains=pnl.clip(lower_bound=0).sum(),
        losses=-pnl.clip(upper_bound=0).sum(),
        trade_pnl_mean=pnl.mean(),
        trade_duration_median=pl.col("duration").median(),
    )
    return summary.with_columns(profit_factor=ratio("gains", "losses")).drop("gains", "losses")
