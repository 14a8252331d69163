"""One HTML page that says whether a strategy works, why, and whether to believe it."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapeline.errors import ConfigError
from tapeline.files import replacing
from tapeline.report import words
from tapeline.report.base import Run
from tapeline.report.page import page
from tapeline.report.sections import compared, sections
from tapeline.result import Result


def write_report(output: str | Path, results: Mapping[str, Result]) -> Path:
    """Write the page of one result, or of several by name with a comparison in front, and return its path. Raises ConfigError if it cannot be written."""
    path = Path(output)
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory; name a file such as report.html")
    runs = [Run(name, result) for name, result in results.items()]
    tabs = [(run.name, _header(run), sections(run)) for run in runs if len(runs) <= words.PAGES_MAX]
    if len(runs) > 1:
        title = f"<h1>{len(runs)} runs compared</h1>"
        tabs = [("Comparison", title, compared(runs)), *tabs]
    text = page(", ".join(results) or "report", tabs, {run.name: _by_column(run.stats.to_dict()) for run in runs})
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")  # names of files may be no text
    return path


def _by_column(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Statistics with a list per column of each table, where they have a dict per line: of a thousand rows the names were more than the numbers."""
    return {
        part: {name: [line[name] for line in lines] for name in lines[0]} if lines and isinstance(lines[0], dict) else lines for part, lines in stats.items()
    }


def _header(run: Run) -> str:
    return f'<h1>{html.escape(run.name)}</h1><div class="sub">{words.subtitle(run)}</div>{words.headline(run)}{words.cautions_html(run)}'
