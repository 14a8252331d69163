"""Figures of the market and our place in it: price with own quotes and fills, positions."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tapeline import tables
from tapeline.report.base import BUY, NEUTRAL, SELL, SERIES, TIME_AXIS, Run, figure, ms, short
from tapeline.report.downsample import POINTS, minmax
from tapeline.stats import inventory
from tapeline.stats.risk import Sampling

MEANS: Final = 240
"""Means of a position over the run, where it changes too often to be drawn."""
MARKERS_MAX: Final = 1_500
"""More fills of one side are drawn in groups: those of one pixel's time share a marker."""
SYMBOLS_MAX: Final = 4
"""Instruments that are drawn one by one: those with most fills."""


def price_figure(run: Run, symbol: str) -> go.Figure:
    """Best prices of a symbol with the fills and quotes of each strategy, its position below.

    Of several strategies, each has one name in the legend, which shows and hides all of it; the first is shown.
    """
    made = figure(560, hovermode="closest", xaxis={**TIME_AXIS, "anchor": "y2"}, yaxis={"domain": [0.3, 1.0], "title": symbol, "tickformat": ",.6~f"})
    made.update_layout(yaxis2={"domain": [0.0, 0.24], "title": "position, lots"})
    _add_market(made, run.bars.filter(pl.col("symbol") == symbol))
    first = True
    for i, line in enumerate(run.shown.to_dicts()):
        fills = run.of(run.drawn.fills, line).filter(pl.col("symbol") == symbol)
        orders = run.of(run.drawn.orders, line).filter(pl.col("symbol") == symbol)
        if not (fills.height or orders.height):
            continue
        look = {"visible": True if first else "legendonly", **({"legendgroup": str(i), "showlegend": False} if run.is_several else {})}
        prefix = f"{run.name_of(line)} " if run.is_several else ""
        for side, color, quote in (("buy", BUY, "bid"), ("sell", SELL, "ask")):
            times, prices = own_quotes(orders.filter(pl.col("side") == side), side, (run.sampling.start_ns, run.sampling.end_ns))
            made.add_scatter(
                x=times, y=short(prices), name=f"{prefix}own {quote}", mode="lines", line={"color": color, "width": 1.6, "shape": "hv"}, opacity=0.55, **look
            )
        for side, color, marker in (("buy", BUY, "triangle-up"), ("sell", SELL, "triangle-down")):
            add_fills(made, fills.filter(pl.col("side") == side), f"{prefix}{side}s", {"color": color, "symbol": marker}, look)
        name = run.name_of(line) if run.is_several else "position"
        _add_position(made, fills, name, run.sampling, {**look, "showlegend": True, "line": {"color": SERIES[i], "width": 1.2, "shape": "hv"}})
        first = False
    made.update_xaxes(range=[run.sampling.start_ns / 1e6, run.sampling.end_ns / 1e6])
    return made


def _add_market(made: go.Figure, bars: pl.DataFrame) -> None:
    """The range of best prices in each stretch of time, and the mid."""
    bars = bars.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null() & (pl.col("bid") < pl.col("ask")))
    if not bars.height:
        return
    mids = ((bars["bid"] + bars["ask"]) / 2).to_numpy()
    kept = minmax(mids, 2 * POINTS)
    made.add_scatter(x=ms(bars["ts"])[kept], y=mids[kept], name="mid", mode="lines", line={"color": NEUTRAL, "width": 1.2, "shape": "hv"}, hoverinfo="skip")


def add_fills(made: go.Figure, fills: pl.DataFrame, name: str, marker: dict[str, Any], look: dict[str, Any], size_min: float = 6.0) -> None:  # noqa: PLR0913, PLR0917 - what, and how
    """Fills of one side as markers; where there are many, those of one pixel's time in one small one, at their mean price."""
    if not fills.height:
        return
    groups = grouped_fills(fills, MARKERS_MAX)
    size = size_min + np.minimum(2 * np.log2(groups["lots"].to_numpy()), 12)
    edge: dict[str, Any] = {"opacity": 0.85, "line": {"width": 0}}
    if groups.height < fills.height:
        size, edge = np.full(groups.height, 4.0), {"opacity": 0.55, "line": {"width": 0}}
    text = [f"{tables.counted(lots, 'lot')} in {tables.counted(n, 'fill')}: {rules}" for lots, n, rules in groups.select("lots", "fills", "rules").iter_rows()]
    hover = f"{name}: %{{text}}<br>%{{x|%H:%M:%S.%L}} at %{{y}}<extra></extra>"
    x, y = ms(groups["ts"]), groups["price"].to_numpy()
    made.add_scatter(x=x, y=y, name=name, mode="markers", marker={**edge, **marker, "size": short(size)}, text=text, hovertemplate=hover, **look)


def grouped_fills(fills: pl.DataFrame, most: int) -> pl.DataFrame:
    """Fills in at most about `most` stretches of time: ts of the first, mean price by lots, lots, fills, rules; each by itself if there are no more."""
    times = fills["ts_event"].to_physical()
    width = max(1, -(-int(times.max() - times.min() + 1) // most)) if fills.height > most else 1  # type: ignore[operator]  # integers
    groups = fills.with_columns(stretch=times // width if fills.height > most else pl.int_range(fills.height))
    return groups.group_by("stretch", maintain_order=True).agg(
        ts=pl.col("ts_event").first(),
        price=(pl.col("price") * pl.col("size")).sum() / pl.col("size").sum(),
        lots=pl.col("size").sum(),
        fills=pl.len(),
        rules=pl.col("rule").cast(pl.String).str.replace_all("_", " ").unique().sort().str.join(", "),
    )


def own_quotes(orders: pl.DataFrame, side: str, span: tuple[int, int], points: int = POINTS) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The best price that own orders of a side rested at, at `points` times of a span (ns): times in ms, prices with NaN where there was none.

    An order that was modified is drawn at its last price.
    """
    start, end = span
    step = max(1, -(-(end - start) // points))
    times = np.arange(start, end + 1, step, dtype=np.int64)
    best = np.full(len(times), -np.inf if side == "buy" else np.inf)
    rested = orders.filter(pl.col("ts_arrived").is_not_null() & pl.col("ahead_at_entry").is_not_null())
    first = np.searchsorted(times, rested["ts_arrived"].to_physical().to_numpy())
    last = np.searchsorted(times, rested["ts_end"].to_physical().fill_null(end + 1).to_numpy())
    better = np.maximum if side == "buy" else np.minimum
    for a, b, price in zip(first, last, rested["price"], strict=True):
        if b > a:
            better(best[a:b], price, out=best[a:b])
    return times / 1e6, np.where(np.isinf(best), np.nan, best)


def _add_position(made: go.Figure, fills: pl.DataFrame, name: str, sampling: Sampling, look: dict[str, Any]) -> None:
    """The position after each fill."""
    positions = [0, *fills["position"]]
    values = np.array([*positions, positions[-1]], np.float64)
    times = np.concatenate([[sampling.start_ns], fills["ts_local"].to_physical().to_numpy(), [sampling.end_ns]])
    add_steps(made, times, values, name, {**look, "yaxis": "y2"}, fill="tozeroy")


def add_steps(made: go.Figure, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], name: str, look: dict[str, Any], **only_steps: Any) -> None:
    """What holds until it changes; where it does so often, its range in each pixel's time, pale, and its mean over longer times. Times in ns."""
    kept = minmax(values)
    pale = {"opacity": 0.3, "showlegend": False} if len(kept) < len(values) else {}
    made.add_scatter(x=times[kept] / 1e6, y=short(values[kept]), name=name, **{"mode": "lines", **look, **only_steps, **pale})
    if pale:
        edges, means = mean_over_time(times, values, MEANS)
        made.add_scatter(x=edges / 1e6, y=short(means), name=name, mode="lines", **look)


def mean_over_time(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Means over time of a step function in `n` equal stretches: where each starts, and its mean. The value at times[i] holds until times[i + 1]."""
    area = np.concatenate([[0.0], np.cumsum(values[:-1] * np.diff(times).astype(np.float64))])
    edges = np.linspace(float(times[0]), float(times[-1]), n + 1)
    means = np.diff(np.interp(edges - times[0], (times - times[0]).astype(np.float64), area)) / np.diff(edges)
    return edges[:-1], means


def most_traded(run: Run) -> list[str]:
    """The instruments that are drawn: of hundreds, nobody tells the bars apart."""
    counts = run.frames.fills.group_by("symbol").len().sort("len", "symbol", descending=[True, False])
    return counts["symbol"].to_list()[:SYMBOLS_MAX]


def inventory_figure(run: Run) -> go.Figure:
    """Share of the time at each position, per strategy and instrument, of those with most fills."""
    made = figure(320, barmode="group", xaxis={"title": "position, lots"}, yaxis={"title": "share of the time", "tickformat": ".0%"})
    symbols = most_traded(run)
    shares = inventory.distribution(run.drawn.spans.filter(pl.col("symbol").cast(pl.String).is_in(symbols)), run.sampling)
    for line in run.shown.to_dicts():
        for (symbol,), part in run.of(shares, line).partition_by("symbol", as_dict=True, maintain_order=True).items():
            name = f"{run.name_of(line)} {symbol}" if len(symbols) > 1 else run.name_of(line)
            color = SERIES[len(made.data) % len(SERIES)]
            bars = {"x": part["position"].to_list(), "y": part["share"].to_list(), "hovertemplate": "%{y:.1%} of the time at %{x:,}"}
            made.add_bar(**bars, name=name, marker={"color": color})
    return made
