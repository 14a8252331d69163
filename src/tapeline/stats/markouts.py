"""Markouts: what the market did after fills, for or against them.

`mids` is a line per fill, in the order of the fills, with the market's mid (price units, null where unknown): `mid_before`, the last one before the event of
the fill, and `mid_1ms` … `mid_60s`, the last one up to so long after it (`tapeline.market_pass` reads them from the data). A fill without such a mid counts
nowhere: its lots are not among those that a mean is divided by.
"""

from typing import Final

import polars as pl

from tapeline.stats.metrics import HORIZONS, SPLIT_HORIZON

MIDS: Final = ("mid_before", *(f"mid_{horizon}" for horizon in HORIZONS))
_CLUSTER: Final = "1m"
_Z: Final = 1.959963984540054
"""Of a two-sided 95 % interval."""


def with_gains(fills: pl.DataFrame, mids: pl.DataFrame | None) -> pl.DataFrame:
    """Fills with the columns `gain_before`, `gain_1ms` …: signed lots × (that mid − price) in currency. `fills` has a column `multiplier`."""
    if mids is None:
        return fills.with_columns(pl.lit(None, pl.Float64).alias(f"gain{name[3:]}") for name in MIDS)
    signed = pl.when(pl.col("side") == "buy").then("size").otherwise(-pl.col("size")) * pl.col("multiplier")
    both = pl.concat([fills, mids.select(MIDS)], how="horizontal")
    return both.with_columns((signed * (pl.col(name) - pl.col("price"))).alias(f"gain{name[3:]}") for name in MIDS).drop(MIDS)


def markouts_summary(gains: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns spread_capture, adverse_selection (currency) and markout_1ms … (currency per lot) per group; null where no fill's mid is known."""
    before, later = pl.col("gain_before"), pl.col(f"gain_{SPLIT_HORIZON}")
    moved = later - before
    return gains.group_by(by).agg(
        spread_capture=pl.when(before.is_not_null().any()).then(before.sum()),
        adverse_selection=pl.when(moved.is_not_null().any()).then(moved.sum()),
        **{f"markout_{h}": _mean(pl.col(f"gain_{h}")) for h in HORIZONS},
    )


def _mean(gain: pl.Expr) -> pl.Expr:
    lots = pl.col("size").filter(gain.is_not_null()).sum()
    return pl.when(lots > 0).then(gain.sum() / lots)


def markout_curve(gains: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """One line per group and horizon: horizon, mean, low, high (currency per lot, a 95 % band), fills.

    Fills of one minute share the market's next moves, so they are one observation: the band is that of a ratio of sums over minutes (a cluster-robust
    standard error), which independent fills would make no wider. It is null with fewer than two minutes.
    """
    parts = []
    for horizon in HORIZONS:
        gain = pl.col(f"gain_{horizon}")
        known = gains.filter(gain.is_not_null()).with_columns(gain=gain, mean=(gain.sum() / pl.col("size").sum()).over(by))
        minutes = known.group_by([*by, pl.col("ts_event").dt.truncate(_CLUSTER)]).agg(
            pl.col("mean").first(), lots=pl.col("size").sum(), fills=pl.len(), away=(pl.col("gain") - pl.col("mean") * pl.col("size")).sum()
        )
        n = pl.len()
        error = (pl.col("away").pow(2).sum() * n / (n - 1)).sqrt() / pl.col("lots").sum()
        line = minutes.group_by(by).agg(pl.col("mean").first(), error=pl.when(n > 1).then(error), fills=pl.col("fills").sum().cast(pl.Int64))
        parts.append(line.with_columns(horizon=pl.lit(horizon), low=pl.col("mean") - _Z * pl.col("error"), high=pl.col("mean") + _Z * pl.col("error")))
    return pl.concat(parts).select(*by, "horizon", "mean", "low", "high", "fills").sort(by, maintain_order=True)
