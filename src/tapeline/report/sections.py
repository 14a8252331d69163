"""What stands on the page, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go
import polars as pl

from tapeline.report import book, market, money, placed, words
from tapeline.report.base import Run, currency_axis
from tapeline.stats.markouts import markout_curve
from tapeline.stats.metrics import METRICS, SPLIT_HORIZON
from tapeline.tables import stats_html

SYMBOLS_MAX = 4
"""Instruments that have a chart of their own: those with most fills."""


@dataclass
class Section:
    """A heading with words, and figures under it."""

    title: str
    words: str = ""
    figures: list[tuple[str, go.Figure]] = field(default_factory=list)
    """Captions (or "") and figures."""
    below: str = ""
    is_half: bool = False
    """Whether two stand side by side on a wide screen."""


ONE = ["row", "strategy", "currency"]


def sections(run: Run) -> list[Section]:
    """The page of one run."""
    shown = [] if run.stats.by_day["day"].n_unique() < 2 else [Section("Days", figures=[("", money.days_figure(run))], below=words.days_table(run))]
    return [
        Section("Equity and drawdown", figures=[("", money.equity_figure(run))]),
        *_where(run),
        *_charts(run),
        *shown,
        Section("Inventory", _text("Time at each position, exact from fill to fill."), [("", market.inventory_figure(run))], is_half=True),
        Section("Queue", _text("Displayed size ahead of our resting orders."), [("", placed.queue_figure(run))], is_half=True),
        Section("Latency", _text("On the way to the exchange, and back."), [("", placed.latency_figure(run))], is_half=True),
        Section("Lifetime", _text("Of orders, at the exchange."), [("", placed.lifetime_figure(run))], is_half=True),
        Section("What became of orders", figures=[("", placed.outcomes_figure(run))], below=words.outcomes_table(run), is_half=True),
        Section("Fills that were large against the market", words.large_fills(run), is_half=True),
        _book(run),
        Section("The data's health", words.health(run), is_half=True),
        Section("Assumptions in force", words.assumptions(run), is_half=True),
        Section("All statistics", stats_html(run.stats.frame, METRICS, run.stats.notes)),
        Section("Manifest", words.manifest(run)),
    ]


def compared(runs: Sequence[Run]) -> list[Section]:
    """The page that sets runs side by side."""
    curves = [(run.name, markout_curve(run.frames.fills, ["currency"])) for run in runs]
    return [
        Section("Equity and drawdown", figures=[("", money.compared_equity(runs))]),
        Section("Markouts", figures=[("", money.markout_figure([(n, c) for n, c in curves if c.height], "currency"))]),
        Section("All statistics", words.comparison(runs)),
    ]


def _text(text: str) -> str:
    return f"<p>{text}</p>"


def _where(run: Run) -> list[Section]:
    if run.result.observed.mids is None:
        return [Section("Where it came from", _text("The market after the fills is not known, so neither markouts nor the split of the PnL are."))]
    curve = markout_curve(run.frames.fills, ONE)
    lines = [(run.name_of(line), run.of(curve, line)) for line in run.shown.to_dicts()]
    if not run.is_several:  # then there is room to tell makers from takers
        kinds = markout_curve(run.frames.fills, [*ONE, "is_maker"])
        parts = [("as maker", kinds.filter("is_maker")), ("as taker", kinds.filter(~pl.col("is_maker")))]
        lines = [*lines, *parts] if all(part.height for _, part in parts) else lines
    unit = currency_axis(run.shown["currency"][0] if run.shown.height else "")
    split = f"Captured spread against the mid before each fill, what the mid did within {SPLIT_HORIZON}, and what positions gained later."
    return [
        Section("Where the PnL came from", _text(split), [("", money.split_figure(run))], is_half=True),
        Section(
            "Markouts",
            _text("Mean gain per lot to the mid after the fill, fees apart; bands: 95 %, fills of a minute counted as one observation."),
            [("", money.markout_figure([(n, c) for n, c in lines if c.height], unit))],
            is_half=True,
        ),
    ]


def _charts(run: Run) -> list[Section]:
    counts = run.frames.fills.group_by("symbol").len().sort("len", "symbol", descending=[True, False])
    symbols = counts["symbol"].to_list()[:SYMBOLS_MAX] or run.frames.orders["symbol"].unique().sort().to_list()[:1]
    more = f" The {SYMBOLS_MAX} of {counts.height} instruments with most fills." if counts.height > SYMBOLS_MAX else ""
    note = "Where there are many fills, those of one pixel's time share a marker at their mean price." + more
    figures = [("", market.price_figure(run, symbol)) for symbol in symbols]
    return [Section("Price, own quotes and fills, position", _text(note), figures)] if figures else []


def _book(run: Run) -> Section:
    figures, problem = book.minute_figures(run)
    text = "Displayed size over time and price, with best prices, trades, our orders from arrival to end, and our fills. Drag to zoom, double-click to go back."
    return Section("The book", _text(text if figures else f"The book cannot be shown: {problem}."), list(figures))
