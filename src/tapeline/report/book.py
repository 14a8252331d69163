"""The figure of the book itself, and the minutes that are worth one."""

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tapeline.errors import TapelineError
from tapeline.frames import TIME
from tapeline.heat import Heatmap, Span, heatmaps
from tapeline.instruments import nearest_ticks
from tapeline.manifest import market_settings
from tapeline.observed import is_missing
from tapeline.report.base import BUY, SELL, TIME_AXIS, Run, figure, ms, short
from tapeline.report.market import add_fills
from tapeline.result import Result

COLUMNS: Final = 300
MINUTE_NS: Final = 60 * 10**9
SCALE: Final = (
    (0.0, "rgba(139,148,158,0)"), (0.05, "rgba(139,148,158,0.10)"), (0.35, "rgba(139,148,178,0.40)"), (0.65, "rgba(163,113,247,0.62)"),
    (0.85, "rgba(205,100,210,0.85)"), (1.0, "rgba(240,190,60,1)"),
)  # fmt: skip
"""Where nothing rests it is transparent, so that it works on dark and light grounds."""


class Minute(NamedTuple):
    """A minute of a run, and why it is shown."""

    symbol: str
    start_ns: int
    why: str


def heat_figure(heat: Heatmap, result: Result | None = None) -> go.Figure:
    """Resting size over time and price, with best prices, trades, and a result's own quotes and fills."""
    size = heat.bid_size + heat.ask_size
    some = size[size > 0]
    made = figure(520, hovermode="closest", dragmode="zoom")
    made.update_xaxes(**TIME_AXIS, showgrid=False)
    made.update_yaxes(title=heat.symbol, tickformat=",.6~f", showgrid=False)
    step = (ms(heat.quotes["ts"])[0] - ms(heat.times)[0]) if len(heat.times) else 1.0
    made.add_heatmap(
        z=short(size.T),
        x0=float(ms(heat.times)[0] + step / 2),
        dx=float(step),
        y0=float(heat.prices[0]),
        dy=float(heat.prices[1] - heat.prices[0]) if len(heat.prices) > 1 else 1.0,
        zmin=0,
        zmax=float(np.quantile(some, 0.985)) if len(some) else 1.0,
        colorscale=SCALE,
        colorbar={"title": {"text": "lots", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        name="resting size",
        hovertemplate="%{z:.1f} lots at %{y}<br>%{x|%H:%M:%S.%L}<extra></extra>",
    )
    if result is not None:
        _add_orders(made, heat, result)
    for name, color in (("bid", BUY), ("ask", SELL)):
        line = {"color": color, "width": 1.3, "shape": "vh"}
        made.add_scatter(x=ms(heat.quotes["ts"]), y=heat.quotes[name].to_numpy(), name=f"best {name}", mode="lines", line=line, hoverinfo="skip")
    _add_trades(made, heat.trades)
    if result is not None:
        _add_own_fills(made, heat, result)
    made.update_xaxes(range=[float(ms(heat.times)[0]), float(ms(heat.quotes["ts"])[-1])])
    half = float(heat.prices[1] - heat.prices[0]) / 2 if len(heat.prices) > 1 else 0.5
    made.update_yaxes(range=[float(heat.prices[0]) - half, float(heat.prices[-1]) + half])
    return made


def _add_trades(made: go.Figure, trades: pl.DataFrame) -> None:
    for side, color in (("buy", BUY), ("sell", SELL), (None, "#8b949e")):
        part = trades.filter(pl.col("side").is_null() if side is None else pl.col("side") == side)
        if part.height:
            size = np.clip(3 + 2 * np.sqrt(part["size"].to_numpy()), 4, 26)
            marker = {"color": color, "size": short(size), "opacity": 0.55, "line": {"width": 0.5, "color": "rgba(255,255,255,0.7)"}}
            name = f"trades: {side or 'no'} aggressor"
            hover = "%{text} lots at %{y}<br>%{x|%H:%M:%S.%L}<extra>" + name + "</extra>"
            text = part["size"].cast(pl.String).to_list()
            made.add_scatter(x=ms(part["ts"]), y=part["price"].to_numpy(), name=name, mode="markers", marker=marker, text=text, hovertemplate=hover)


def _add_orders(made: go.Figure, heat: Heatmap, result: Result) -> None:
    """Own resting orders as lines from arrival to end, at their last price; those that lie over each other, as rows of a sweep do, as one."""
    start, end = (pl.lit(ns).cast(TIME) for ns in (heat.times.to_physical()[0], heat.quotes["ts"].to_physical()[-1]))
    lived = (pl.col("ts_arrived") < end) & (pl.col("ts_end").is_null() | (pl.col("ts_end") > start)) & pl.col("ahead_at_entry").is_not_null()
    orders = result.orders.filter((pl.col("symbol").cast(pl.String) == heat.symbol) & lived)
    orders = orders.with_columns(a=pl.max_horizontal("ts_arrived", start), b=pl.min_horizontal(pl.col("ts_end").fill_null(end), end))
    orders = orders.sort("a").with_columns(before=pl.col("b").cum_max().shift(1).over("side", "price"))
    orders = orders.with_columns(line=(pl.col("a") > pl.col("before")).fill_null(value=False).cum_sum().over("side", "price"))
    lines = orders.group_by("side", "price", "line", maintain_order=True).agg(pl.col("a").min(), pl.col("b").max())
    for side, color in (("buy", BUY), ("sell", SELL)):
        own = lines.filter(pl.col("side") == side)
        gap = np.full(own.height, np.nan)
        x, price = np.column_stack([ms(own["a"]), ms(own["b"]), gap]).ravel(), own["price"].to_numpy()
        y = np.column_stack([price, price, gap]).ravel()
        made.add_scatter(x=x, y=y, name=f"own {side} orders", mode="lines", line={"color": color, "width": 6}, opacity=0.5, hoverinfo="skip")


def _add_own_fills(made: go.Figure, heat: Heatmap, result: Result) -> None:
    inside = (pl.col("ts_event") >= heat.times[0]) & (pl.col("ts_event") < heat.quotes["ts"][-1]) & (pl.col("symbol").cast(pl.String) == heat.symbol)
    fills = result.fills.filter(inside)
    for side, color, symbol in (("buy", BUY, "triangle-up"), ("sell", SELL, "triangle-down")):
        marker = {"color": color, "symbol": symbol, "line": {"width": 1.2, "color": "#ffffff"}}
        add_fills(made, fills.filter(pl.col("side") == side), f"own {side}s", marker, {}, size_min=11)


def chosen_minutes(run: Run) -> list[Minute]:
    """The busiest minute of a traded instrument, and of the minutes with fills of ours the best and the worst by net PnL; fewer where they coincide."""
    bars = run.bars
    found: dict[tuple[str, int], list[str]] = {}
    minute = pl.col("ts").dt.truncate("1m")
    busiest = bars.filter(pl.col("bid") < pl.col("ask")).group_by("symbol", minute).agg(pl.col("events").sum()).sort("events", "ts", descending=[True, False])
    if busiest.height:
        _note(found, busiest.row(0, named=True), f"busiest minute, {busiest['events'][0]:,} events")
    traded = run.frames.fills.select("symbol", ts=pl.col("ts_local").dt.truncate("1m")).unique()
    # A sample is stamped with the end of what it shows.
    change = pl.col("net") - pl.col("net").shift(1, fill_value=0.0).over("row", "symbol")
    gains = run.frames.equity.with_columns(change=change, ts=(pl.col("ts") - pl.duration(nanoseconds=1)).dt.truncate("1m"))
    gains = gains.group_by("symbol", "ts").agg(pl.col("change").sum()).join(traded, on=["symbol", "ts"], how="semi").sort("change", "ts")
    if gains.height and gains["change"][-1] > 0:
        _note(found, gains.row(-1, named=True), f"best minute, {gains['change'][-1]:+,.2f}")
    if gains.height and gains["change"][0] < 0:
        _note(found, gains.row(0, named=True), f"worst minute, {gains['change'][0]:+,.2f}")
    return [Minute(symbol, start, ", ".join(why)) for (symbol, start), why in found.items()]


def _note(found: dict[tuple[str, int], list[str]], line: dict[str, Any], why: str) -> None:
    start = pl.Series([line["ts"]]).cast(TIME).to_physical()[0]
    found.setdefault((line["symbol"], start), []).append(why)


def _best_prices(result: Result, minute: Minute) -> npt.NDArray[np.int64]:
    """The best prices at the end of each of a minute's seconds, and of the last before it, as the bars have them: in steps of the instrument's grid."""
    grid = next(i["grid"] for i, symbol in zip(result.manifest["instruments"], result.contracts, strict=True) if symbol == minute.symbol)
    start, end = (pl.lit(ns).cast(TIME) for ns in (minute.start_ns, minute.start_ns + MINUTE_NS))
    ordinary = result.observed.bars.filter((pl.col("symbol") == minute.symbol) & (pl.col("bid") < pl.col("ask")) & (pl.col("ts") < end))
    bars = pl.concat([ordinary.filter(pl.col("ts") < start).tail(1), ordinary.filter(pl.col("ts") >= start)])
    prices = np.concatenate([bars["bid"].to_numpy(), bars["ask"].to_numpy()])
    ticks: npt.NDArray[np.int64] = nearest_ticks(prices, grid)
    return ticks


def minute_figures(run: Run) -> tuple[list[tuple[str, go.Figure]], str | None]:
    """Titles and figures of the chosen minutes; and why there are none."""
    problem = is_missing(run.result.manifest)
    minutes = chosen_minutes(run)
    if problem or not minutes:
        return [], problem or "no order was sent in any instrument"
    symbols, manifest = list(run.result.contracts), run.result.manifest
    settings = market_settings(manifest)
    spans = [Span(symbols.index(m.symbol), m.start_ns, m.start_ns + MINUTE_NS) for m in minutes]
    try:
        ticks = [_best_prices(run.result, minute) for minute in minutes]
        heats = heatmaps([file["path"] for file in manifest["data"]], spans, columns=COLUMNS, settings=settings, ticks=ticks if all(map(len, ticks)) else None)
    except TapelineError as error:
        return [], str(error)
    titles = [f"{m.symbol}, {pl.Series([m.start_ns]).cast(pl.Datetime('ns')).dt.strftime('%Y-%m-%d %H:%M')[0]} UTC: {m.why}" for m in minutes]
    named = [replace(heat, symbol=m.symbol) for heat, m in zip(heats, minutes, strict=True)]  # as results name it
    return [(title, heat_figure(heat, run.result)) for title, heat in zip(titles, named, strict=True)], None
