"""What stands on the page, in order."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import plotly.graph_objects as go
import polars as pl

from tapeline.report import book, market, money, placed, words
from tapeline.report.base import STRATEGY, Run
from tapeline.report.signals import SIGNALS_MAX, recorded, signals_figure
from tapeline.report.sweep import sweep_figures, sweeps
from tapeline.stats.markouts import markout_curve
from tapeline.stats.metrics import METRICS, SPLIT_HORIZON
from tapeline.tables import stats_html


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
    is_panels: bool = False
    """Whether its figures do, as many as have room."""


_CLICK: Final = " A click on a name in the legend shows or hides a strategy."


def sections(run: Run) -> list[Section]:
    """The page of one run."""
    total = " A click on it in the legend shows the total of all." if run.shown["currency"].n_unique() == 1 else ""
    few = f"Figures show {run.shown_of}.{total}" if run.shown_of else ""
    days = _text(f"Of {run.shown_of}.") if run.shown_of else ""
    shown = [] if run.stats.by_day["day"].n_unique() < 2 else [Section("Days", days, [("", money.days_figure(run))], words.days_table(run))]
    return [
        _drawn("Equity and drawdown", few, money.equity_figure(run), "There is no sample of equity.", is_half=False),
        *_parameters(run),
        *_where(run),
        *_charts(run),
        *_signals(run),
        *shown,
        _drawn("Inventory", f"Time at each position, exact from fill to fill.{_of_most_traded(run)}", market.inventory_figure(run), "There was no fill."),
        _drawn("Queue", "Displayed size ahead of our resting orders; the last bar is of that or more.", placed.queue_figure(run), "No order came to rest."),
        _drawn("Latency", "On the way to the exchange, and back.", placed.latency_figure(run), "No order reached the exchange."),
        _drawn("Lifetime", "Of orders, at the exchange; 0: filled or ended as they arrived.", placed.lifetime_figure(run), "No order was filled or cancelled."),
        replace(_drawn("What became of orders", "", placed.outcomes_figure(run), "No order was sent."), below=words.outcomes_table(run)),
        Section("Fills that were large against the market", words.large_fills(run), is_half=True),
        _book(run),
        Section("The data's health", words.health(run), is_half=True),
        Section("Assumptions in force", words.assumptions(run), is_half=True),
        Section("Statistics", stats_html(run.stats.frame, METRICS, run.stats.notes, run.stats.varied)),
        Section("Manifest", words.manifest(run)),
    ]


def compared(runs: Sequence[Run]) -> list[Section]:
    """The page that sets runs side by side."""
    curves = [(run.name, markout_curve(run.of_compared(run.frames.fills), ["currency"])) for run in runs]
    unit = money.unit_of(runs)
    return [
        Section("What is compared", words.how_compared(runs) + words.compared_runs(runs)),
        Section("Equity and drawdown", figures=[("", money.compared_equity(runs, unit))]),
        Section("Markouts", figures=[("", money.markout_figure(curves, unit))]),
        Section("Statistics", words.comparison(runs)),
    ]


def _text(text: str) -> str:
    return f"<p>{text}</p>" if text else ""


def _drawn(title: str, text: str, made: go.Figure, otherwise: str, *, is_half: bool = True) -> Section:
    """A section of one figure; one that would be empty is said to be, and why."""
    if any(trace.x is not None and len(trace.x) for trace in made.data):
        return Section(title, _text(text), [("", made)], is_half=is_half)
    return Section(title, _text(otherwise), is_half=is_half)


def _parameters(run: Run) -> list[Section]:
    """Net PnL over what rows of a class differ in; nothing where they do not."""
    found, made = sweeps(run), []
    several_classes, several_currencies = (len({getattr(sweep, name) for sweep in found}) > 1 for name in ("strategy", "currency"))
    for sweep in found:
        names = list(sweep.parameters)
        whose = ", ".join([sweep.strategy] * several_classes + [sweep.currency] * several_currencies)
        title = f"Net PnL over {' and '.join(names) if len(names) < 3 else 'parameters'}{f': {whose}' * bool(whose)}"
        made.append(Section(title, _text(html.escape(words.sweep(sweep))), [("", one) for one in sweep_figures(sweep)], is_panels=len(names) > 2))
    return made


def _where(run: Run) -> list[Section]:
    if run.result.observed.mids is None:
        return [Section("Where it came from", _text("The market after the fills is not known, so neither markouts nor the split of the PnL are."))]
    curve = markout_curve(run.drawn.fills, STRATEGY)
    lines = [(run.name_of(line), run.of(curve, line)) for line in run.shown.to_dicts()]
    if not run.is_several:  # then there is room to tell makers from takers
        kinds = markout_curve(run.drawn.fills, [*STRATEGY, "is_maker"])
        parts = [("as maker", kinds.filter("is_maker")), ("as taker", kinds.filter(~pl.col("is_maker")))]
        lines = [*lines, *parts] if all(part.height for _, part in parts) else lines
    split = (
        f"Captured spread against the mid before each fill, what the mid did within {SPLIT_HORIZON}, and what positions gained later.{_CLICK * run.is_several}"
    )
    gains = "Mean gain per lot to the mid after the fill, fees apart; bands: 95 %, fills of a minute counted as one observation."
    unknown = (f"No fill has mids before it and {SPLIT_HORIZON} after it.", "No fill has a mid to be measured against.")
    no_split, no_curve = unknown if run.frames.fills.height else ("There was no fill.",) * 2
    return [
        _drawn("Where the PnL came from", split, money.split_figure(run), no_split),
        _drawn("Markouts", gains, money.markout_figure([(n, c) for n, c in lines if c.height], run.unit), no_curve),
    ]


def _charts(run: Run) -> list[Section]:
    symbols = market.most_traded(run) or run.frames.orders["symbol"].unique().sort().to_list()[:1]
    colors = f" Blue: own bids and buys; orange: own asks and sells.{_CLICK}" if run.is_several else ""
    note = f"Where there are many fills, those of one pixel's time share a marker at their mean price.{_of_most_traded(run)}{colors}"
    figures = [("", market.price_figure(run, symbol)) for symbol in symbols]
    return [Section("Price, own quotes and fills, position", _text(note), figures)] if figures else []


def _of_most_traded(run: Run) -> str:
    traded, shown = run.frames.fills["symbol"].n_unique(), len(market.most_traded(run))
    return f" The {shown} of {traded} instruments with most fills." if traded > shown else ""


def _signals(run: Run) -> list[Section]:
    """What strategies recorded; nothing where they did not."""
    if not run.result.signals.height:
        return []
    values, names = recorded(run)
    made = [("", signals_figure(run, values, names[:SIGNALS_MAX]))] if names else []
    return [Section("Signals", _text(html.escape(words.signals(run, names[:SIGNALS_MAX]))), made)]


def _book(run: Run) -> Section:
    figures, problem = book.minute_figures(run)
    text = (
        "Displayed size over time and price, with best prices, trades, our orders from arrival to end, and our fills. Colours end where 1.5 % of the sizes are "
        "larger. Drag to zoom, double-click to go back."
    )
    return Section("The book", _text(text if figures else html.escape(f"The book cannot be shown: {problem}.")), list(figures))
