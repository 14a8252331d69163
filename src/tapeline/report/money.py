"""Figures of money: equity and drawdown, where PnL came from, days."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from tapeline.report.base import GAIN, LOSS, NEUTRAL, SERIES, Run, axes, currency_axis, figure, ms
from tapeline.report.downsample import minmax
from tapeline.stats.money import net_curve

ONE = ["row", "strategy", "currency"]


def equity_figure(run: Run) -> go.Figure:
    """Net equity of each strategy and of all, gross of a single one, and the drawdown below."""
    made = _two_rows(currency_axis(run.shown["currency"][0] if run.shown.height else ""))
    curves = net_curve(run.frames.equity, ONE)
    for i, line in enumerate(run.shown.to_dicts()):
        _add_curve(made, run.of(curves, line), run.name_of(line), SERIES[i])
        if not run.is_several:
            gross = run.frames.equity.with_columns(net="gross")
            _add_line(made, run.of(net_curve(gross, ONE), line), "before fees", {"color": NEUTRAL, "width": 1, "dash": "dot"})
    if run.is_several and run.shown["currency"].n_unique() == 1:
        _add_curve(made, net_curve(run.frames.equity, ["currency"]), "total", NEUTRAL)
    return made


def compared_equity(runs: Sequence[Run]) -> go.Figure:
    """Net equity of several runs over their own time since the start, summed over each run's strategies."""
    made = _two_rows("currency")
    for i, run in enumerate(runs):
        for (currency,), curve in net_curve(run.frames.equity, ["currency"]).partition_by("currency", as_dict=True, maintain_order=True).items():
            _add_curve(made, curve, f"{run.name} {currency}".strip(), SERIES[i % len(SERIES)])
    return made


def _two_rows(unit: str) -> go.Figure:
    made = figure(460, hovermode="x unified", xaxis={"type": "date", "anchor": "y2"}, yaxis={"domain": [0.32, 1.0], "title": f"net equity, {unit}"})
    made.update_layout(yaxis2={"domain": [0.0, 0.26], "title": "drawdown"})
    return axes(made)


def _add_curve(made: go.Figure, curve: pl.DataFrame, name: str, color: str) -> None:
    _add_line(made, curve, name, {"color": color, "width": 1.6})
    fall = curve["net"].to_numpy() - np.maximum(np.maximum.accumulate(curve["net"].to_numpy()), 0.0) if curve.height else np.empty(0)
    kept = minmax(fall)
    style = {"line": {"color": color, "width": 1, "shape": "hv"}, "fill": "tozeroy", "opacity": 0.7, "yaxis": "y2", "showlegend": False, "legendgroup": name}
    made.add_scatter(x=ms(curve["ts"])[kept], y=fall[kept], name=f"{name} drawdown", mode="lines", **style)


def _add_line(made: go.Figure, curve: pl.DataFrame, name: str, line: dict[str, Any]) -> None:
    values = curve["net"].to_numpy()
    kept = minmax(values)
    made.add_scatter(x=ms(curve["ts"])[kept], y=values[kept], name=name, legendgroup=name, mode="lines", line={**line, "shape": "hv"})


def split_figure(run: Run) -> go.Figure:
    """From captured spread to net PnL: what was earned by resting, what the market took back, what positions and fees made of it."""
    made = figure(360, legend=run.is_several, waterfallgap=0.35, yaxis={"title": currency_axis(run.shown["currency"][0] if run.shown.height else "")})
    steps = {
        "spread<br>capture": "spread_capture",
        "adverse<br>selection": "adverse_selection",
        "inventory": "inventory_pnl",
        "gross PnL": None,
        "fees": "fees",
        "net PnL": None,
    }
    for i, line in enumerate(run.shown.to_dicts()):
        values = run.of(run.stats.frame.filter(pl.col("row").is_not_null()), line).to_dicts()[0]
        if values["spread_capture"] is None:
            continue
        amounts = [None if name is None else (-values[name] if name == "fees" else values[name]) for name in steps.values()]
        shown = [values["pnl_gross"] if n == "gross PnL" else values["pnl_net"] if n == "net PnL" else a for n, a in zip(steps, amounts, strict=True)]
        made.add_waterfall(
            name=run.name_of(line),
            x=list(steps),
            y=amounts,
            measure=["total" if name is None else "relative" for name in steps.values()],
            text=[f"{amount:,.0f}" for amount in shown],
            textposition="outside",
            increasing={"marker": {"color": GAIN}},
            decreasing={"marker": {"color": LOSS}},
            totals={"marker": {"color": SERIES[i]}},
            connector={"line": {"color": NEUTRAL, "width": 0.7, "dash": "dot"}},
            visible=True if i == 0 else "legendonly",
            cliponaxis=False,
        )
    return axes(made)


def markout_figure(lines: Sequence[tuple[str, pl.DataFrame]], unit: str) -> go.Figure:
    """Markout curves with their bands; the first point is the spread captured at the fill."""
    made = figure(360, hovermode="x unified", xaxis={"title": "after the fill", "type": "category"}, yaxis={"title": f"{unit} per lot"})
    for i, (name, curve) in enumerate(lines):
        color = SERIES[i % len(SERIES)]
        x, band = curve["horizon"].to_list(), curve.filter(pl.col("low").is_not_null())
        if band.height:
            edge = band["horizon"].to_list()
            outline = {"x": edge + edge[::-1], "y": band["high"].to_list() + band["low"].to_list()[::-1]}
            fill = f"rgba({int(color[1:3], 16)},{int(color[3:5], 16)},{int(color[5:7], 16)},0.16)"
            made.add_scatter(**outline, fill="toself", fillcolor=fill, line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name, mode="lines")
        made.add_scatter(x=x, y=curve["mean"].to_list(), name=name, legendgroup=name, mode="lines+markers", line={"color": color, "width": 2})
    made.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    return axes(made)


def days_figure(run: Run) -> go.Figure:
    """Net PnL per day and strategy."""
    made = figure(300, barmode="relative", xaxis={"type": "category"}, yaxis={"title": "net PnL per day"})
    for i, line in enumerate(run.shown.to_dicts()):
        days = run.of(run.stats.by_day, line)
        color = {"color": SERIES[i]} if run.is_several else {"color": [GAIN if x >= 0 else LOSS for x in days["pnl_net"]]}
        made.add_bar(x=days["day"].cast(pl.String).to_list(), y=days["pnl_net"].to_list(), name=run.name_of(line), marker=color)
    return axes(made)
