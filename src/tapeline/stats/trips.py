"""Round trips: what is commonly called a trade."""

import polars as pl

from tapeline.stats.money import ratio

ONE = ["row", "strategy", "symbol", "currency"]


def round_trips(fills: pl.DataFrame) -> pl.DataFrame:
    """One line per round trip of a row in an instrument: from no position to none again, or to the other side.

    Columns: ts_open, ts_close, lots (opened), pnl_net (currency), duration. A fill that turns a position around closes one trip and opens the next, its
    notional and fee divided by lots. A position that is still open at the end is no trip yet.
    """
    sign = pl.when(pl.col("side") == "buy").then(1).otherwise(-1)
    before = pl.col("position") - sign * pl.col("size")
    closing = pl.when(before.sign() == -sign).then(pl.min_horizontal(before.abs(), "size")).otherwise(0)
    # The sign of the price matters: a buy at −2 brings cash in.
    cash = -sign * pl.col("price").sign() * pl.col("notional") - pl.col("fee")
    parts = fills.with_columns(closing=closing, cash=cash, was=before)
    shares = [parts.with_columns(part=pl.col("closing"), opens=pl.lit(False)), parts.with_columns(part=pl.col("size") - pl.col("closing"), opens=pl.lit(True))]
    halves = pl.concat([half.with_row_index("line").filter(pl.col("part") > 0) for half in shares]).sort("line", "opens")
    starts = pl.col("opens") & (pl.col("was").sign() != sign)
    halves = halves.with_columns(cash=pl.col("cash") * pl.col("part") / pl.col("size"), trip=starts.cum_sum().over(ONE))
    ends = (~pl.col("opens")) & (pl.col("part") == pl.col("was").abs())
    trips = halves.group_by([*ONE, "trip"], maintain_order=True).agg(
        ts_open=pl.col("ts_local").first(),
        ts_close=pl.col("ts_local").last(),
        lots=pl.col("part").filter("opens").sum(),
        pnl_net=pl.col("cash").sum(),
        is_closed=ends.any(),
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
