"""Figures of orders: queues, times, outcomes."""

from typing import Final

import numpy as np
import plotly.graph_objects as go
import polars as pl

from tapeline.report.base import BUY, GAIN, LOSS, NEUTRAL, SELL, SERIES, STRATEGY, Run, figure
from tapeline.stats.orders import outcomes

BINS: Final = 40
ORDERS_MIN: Final = 20
"""Of fewer orders no share is drawn."""
WHOLE_MAX: Final = 6
TICKS_MAX: Final = 6
_TICKS_NS: Final = {"0": 1, "10 ns": 10, "100 ns": 100, "1 µs": 10**3, "10 µs": 10**4, "100 µs": 10**5, "1 ms": 10**6, "10 ms": 10**7, "100 ms": 10**8,
                    "1 s": 10**9, "10 s": 10**10, "1 min": 6 * 10**10, "10 min": 6 * 10**11, "1 h": 36 * 10**11, "10 h": 36 * 10**12}  # fmt: skip


def queue_figure(run: Run) -> go.Figure:
    """How much was ahead of orders as they came to rest and as they were filled, and what share of them was filled by what was ahead."""
    rested = run.frames.orders.filter(pl.col("ahead_at_entry").is_not_null())
    filled = rested.filter(pl.col("status") == "filled")
    rested_n = {"title": "orders", **whole(rested.height)}
    made = figure(340, barmode="overlay", bargap=0.05, xaxis={"title": "queue ahead, lots", "rangemode": "tozero"}, yaxis=rested_n)
    share = {"range": [0, 1.02], "dtick": 0.25, "tickformat": ".0%", "title": "share filled"}
    made.update_layout(yaxis2={"overlaying": "y", "side": "right", "showgrid": False, **share})
    top = rested["ahead_at_entry"].quantile(0.98, "nearest") if rested.height else None
    width = max(1, -(-int((top or 0) + 1) // BINS))
    last = int(top or 0) // width * width  # and above
    for name, values, color in (("at entry", rested["ahead_at_entry"], NEUTRAL), ("at the fill", filled["ahead_at_end"], GAIN)):
        bins = values.clip(upper_bound=int(top or 0)) // width * width
        counts = bins.value_counts().sort(bins.name)
        lots_of = [f"{b:,} or more" if b == last else f"{b:,}" if width == 1 else f"{b:,} to {b + width - 1:,}" for b in counts[bins.name]]
        bars = {"x": (counts[bins.name] + width / 2).to_list(), "y": counts["count"].to_list(), "width": width, "customdata": lots_of}
        made.add_bar(**bars, name=name, marker={"color": color}, opacity=0.65, hovertemplate="orders: %{y:,}; lots ahead: %{customdata}")
    lots = rested.with_columns(bin=pl.col("ahead_at_entry").clip(upper_bound=int(top or 0)) // width * width)
    ratio = lots.group_by("bin").agg(share=(pl.col("filled") > 0).mean(), n=pl.len()).filter(pl.col("n") >= ORDERS_MIN).sort("bin")
    x, y = (ratio["bin"] + width / 2).to_list(), ratio["share"].to_list()
    made.add_scatter(x=x, y=y, name="share filled, by queue at entry", yaxis="y2", mode="lines+markers", line={"color": SELL, "width": 1.6}, marker={"size": 4})
    return made


def whole(most: float) -> dict[str, int]:
    """How an axis of whole numbers that are up to `most` apart has no halves."""
    return {"dtick": 1} if most <= WHOLE_MAX else {}


def latency_figure(run: Run) -> go.Figure:
    """Times of requests to the exchange and of fills back, on a logarithmic axis."""
    orders, fills = run.frames.orders, run.frames.fills
    series = {
        "entry: sent → arrived": (orders["ts_arrived"] - orders["ts_sent"], BUY),
        "response: fill → learned": (fills["ts_local"] - fills["ts_event"], SELL),
    }
    return _times_figure(series, "requests")


def lifetime_figure(run: Run) -> go.Figure:
    """Time at the exchange of filled and of cancelled orders, and the time to the first fill at rest."""
    orders = run.frames.orders.with_columns(life=pl.col("ts_end") - pl.col("ts_arrived"))
    series = {
        "filled": (orders.filter(pl.col("status") == "filled")["life"], GAIN),
        "cancelled": (orders.filter(pl.col("status") == "cancelled")["life"], NEUTRAL),
        "to the first fill at rest": (run.frames.filled["time_to_fill"], BUY),
    }
    return _times_figure(series, "orders")


def _times_figure(series: dict[str, tuple[pl.Series, str]], unit: str) -> go.Figure:
    logs = {name: np.log10(np.maximum(times.drop_nulls().dt.total_nanoseconds().to_numpy(), 1)) for name, (times, _) in series.items()}
    known = np.concatenate(list(logs.values()))
    made = figure(320, yaxis={"title": unit, "rangemode": "tozero", **whole(len(known))})
    if not len(known):
        return made
    low, high = float(np.floor(known.min() * 2) / 2), float(np.ceil(known.max() * 2 + 1e-9) / 2)
    edges = np.linspace(low - 0.5, high + 0.5, BINS + 1)
    ticks = {name: float(np.log10(ns)) for name, ns in _TICKS_NS.items() if edges[0] - 0.01 <= np.log10(ns) <= edges[-1] + 0.01}
    if len(ticks) > TICKS_MAX:
        ticks = {name: place for name, place in ticks.items() if name == "0" or name.startswith("1 ")}
    made.update_xaxes(tickvals=list(ticks.values()), ticktext=list(ticks))
    for name, values in logs.items():
        counts, _ = np.histogram(values, edges)
        style = {"line": {"color": series[name][1], "width": 1.6, "shape": "hv"}, "fill": "tozeroy", "hovertemplate": "%{y}<extra></extra>"}
        made.add_scatter(x=edges, y=np.append(counts, 0), name=name, mode="lines", **style)
    return made


def outcomes_figure(run: Run) -> go.Figure:
    """Orders by how they ended, and why."""
    counts = outcomes(run.drawn.orders, STRATEGY)
    most = {"title": "orders", "tickformat": ",", **whole(run.frames.orders.height)}
    made = figure(170 + 40 * run.shown.height, barmode="stack", xaxis=most, yaxis={"autorange": "reversed", "type": "category"})
    colors = {"filled": GAIN, "cancelled": NEUTRAL, "rejected": LOSS, "expired": SELL, "open": BUY, "in_flight": SERIES[3]}
    label = pl.concat_str(
        [pl.col("status").cast(pl.String).str.replace("_", " "), pl.col("reason").cast(pl.String).str.replace_all("_", " ")], separator=": ", ignore_nulls=True
    )
    shown = counts.with_columns(label=label)
    seen: dict[str, float] = {}
    for line in run.shown.to_dicts():
        for entry in run.of(shown, line).to_dicts():
            alpha = 1.0 - 0.25 * seen.setdefault(entry["label"], float(sum(k.split(":")[0] == entry["label"].split(":")[0] for k in seen)))
            marker = {"color": colors.get(str(entry["status"]), NEUTRAL), "opacity": max(alpha, 0.3)}
            is_new = not any(trace.name == entry["label"] for trace in made.data)
            bar = {"x": [entry["orders"]], "y": [run.name_of(line)], "orientation": "h", "hovertemplate": "%{y}: %{x:,} orders"}
            made.add_bar(**bar, name=entry["label"], marker=marker, legendgroup=entry["label"], showlegend=is_new)
    return made
