"""What became of orders, and how long things took."""

from typing import Final

import polars as pl

from tapeline.stats.money import ratio

_ON_REQUEST: Final = ("requested", "loss_limit", "modify_below_filled")
"""Reasons of an order's end that a message of ours made: a cancel, the kill switch's, a modify to less than was filled."""


def fills_summary(fills: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns fills, lots, turnover (currency), maker_share, large_share and the response latencies per group."""
    took = pl.col("ts_local") - pl.col("ts_event")
    summary = fills.group_by(by).agg(
        fills=pl.len().cast(pl.Int64),
        lots=pl.col("size").sum(),
        turnover=pl.col("notional").sum(),
        maker_lots=pl.col("size").filter("is_maker").sum(),
        large_lots=pl.col("size").filter("is_large").sum(),
        response_latency_median=took.median(),
        response_latency_p99=took.quantile(0.99, "nearest"),
    )
    return summary.with_columns(maker_share=ratio("maker_lots", "lots"), large_share=ratio("large_lots", "lots")).drop("maker_lots", "large_lots")


def orders_summary(orders: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns of the section Orders (but order_to_trade, for which `requests` is here), of queues ahead and of entry latencies per group."""
    rejected = pl.col("status") == "rejected"
    cancelled = pl.col("status") == "cancelled"
    arrived = pl.col("ts_arrived").is_not_null()
    took = (pl.col("ts_arrived") - pl.col("ts_sent")).drop_nulls()
    filled_at_rest = (pl.col("status") == "filled") & pl.col("ahead_at_entry").is_not_null()
    summary = orders.group_by(by).agg(
        orders=pl.len().cast(pl.Int64),
        orders_arrived=arrived.sum().cast(pl.Int64),
        orders_filled=(pl.col("filled") > 0).sum().cast(pl.Int64),
        orders_cancelled=cancelled.sum().cast(pl.Int64),
        requests=arrived.sum().cast(pl.Int64) + pl.col("modifies").sum() + (cancelled & pl.col("reason").is_in(_ON_REQUEST)).sum().cast(pl.Int64),
        rejects=rejected.sum().cast(pl.Int64),
        requests_refused=pl.col("requests_refused").sum().cast(pl.Int64),
        lots_sent=pl.col("size").filter(arrived | ~rejected).sum(),
        lots_filled=pl.col("filled").sum(),
        ahead_at_entry_median=pl.col("ahead_at_entry").median(),
        ahead_at_fill_median=pl.col("ahead_at_end").filter(filled_at_rest).median(),
        entry_latency_median=took.median(),
        entry_latency_p99=took.quantile(0.99, "nearest"),
    )
    return summary.with_columns(
        fill_ratio_orders=ratio("orders_filled", "orders_arrived"),
        fill_ratio_lots=ratio("lots_filled", "lots_sent"),
        cancel_ratio=ratio("orders_cancelled", "orders_arrived"),
    ).drop("orders_cancelled", "lots_sent", "lots_filled")


def times_to_fill(orders: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """Columns cell, ts_sent and `time_to_fill` of orders with a fill while resting: from arrival at the exchange to the first such fill."""
    ids = pl.concat([orders["order_id"], fills["order_id"]])
    order = pl.col("cell").cast(pl.Int64) * (int(ids.max() or 0) + 1) + pl.col("order_id")  # type: ignore[arg-type]  # an integer
    first = fills.lazy().filter("is_maker").group_by(order=order).agg(pl.col("ts_event").min().alias("ts_filled"))
    placed = orders.lazy().select("cell", "ts_sent", "ts_arrived", order=order)
    both = placed.join(first, on="order", how="inner", maintain_order="left")
    return both.select("cell", "ts_sent", time_to_fill=pl.col("ts_filled") - pl.col("ts_arrived")).collect()


def outcomes(orders: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Number of orders by how they ended: columns status, reason, orders."""
    return orders.group_by([*by, "status", "reason"]).agg(orders=pl.len().cast(pl.Int64)).sort([*by, "orders"], descending=[False] * len(by) + [True])
