"""One self-contained HTML page: sections with figures that are drawn as they come into view, in the colours of the reader's system or choice."""

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import count
from typing import Any

from plotly.offline import get_plotlyjs

from tapeline.report.sections import Section
from tapeline.report.shown import CONFIG, escaped, script_json


def page(title: str, tabs: Sequence[tuple[str, str, Sequence[Section]]], stats: Mapping[str, Any]) -> str:
    """The page. `tabs`: name, header (HTML) and sections of each; `stats`: statistics by run, for programs that read the page: lists per column."""
    numbers = count()
    many = len(tabs) > 1
    buttons = "".join(f'<button role="tab" data-tab="{i}">{html.escape(name)}</button>' for i, (name, _, _) in enumerate(tabs)) if many else ""
    bodies = "".join(f'<main data-tab="{i}">{header}{"".join(_parts(sections, numbers))}</main>' for i, (_, header, sections) in enumerate(tabs))
    here = files("tapeline.report")
    return "".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="generator" content="Tapeline"><link rel="icon" href="data:,">',
            f"<title>{html.escape(title)}</title><style>{here.joinpath('page.css').read_text(encoding='utf-8')}</style></head><body>",
            f'<header class="bar"><strong>Tapeline</strong><nav role="tablist">{buttons}</nav><button id="theme" title="Dark or light">◐</button></header>',
            bodies,
            f'<script type="application/json" id="stats">{script_json(stats)}</script>',
            f'<script type="application/json" id="config">{script_json(CONFIG)}</script>',
            f"<script>{get_plotlyjs()}</script>",
            f"<script>{here.joinpath('page.js').read_text(encoding='utf-8')}</script></body></html>",
        )
    )


def _parts(sections: Sequence[Section], numbers: Iterable[int]) -> Iterable[str]:
    """Sections as HTML; figures as the JSON that the page draws."""
    yield '<div class="grid">'
    numbering = iter(numbers)
    for section in sections:
        figures = []
        for caption, figure in section.figures:
            height = int(figure.layout.height or 340)
            name = f"figure-{next(numbering)}"
            above = f"<h3>{html.escape(caption)}</h3>" if caption else ""
            data = escaped(figure.to_json())
            figures.append(f'{above}<div class="figure" id="{name}" style="height:{height}px"><script type="application/json">{data}</script></div>')
        kind = "half" if section.is_half else "full"
        drawn = f'<div class="panels">{"".join(figures)}</div>' if section.is_panels else "".join(figures)
        yield f'<section class="{kind}"><h2>{html.escape(section.title)}</h2>{section.words}{drawn}{section.below}</section>'
    yield "</div>"
