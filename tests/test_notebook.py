"""The example notebook runs as it stands, and shows what notebooks are for; progress without a terminal."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tapeline.backtest import Progress
from tapeline.demo import example
from tapeline.notebook import progress, to_html

NOTEBOOK = example("touch_maker").parent / "research.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The notebook's code cells, run in an empty directory."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is a development dependency")
    nbformat = pytest.importorskip("nbformat")
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(NOTEBOOK, folder)
    book = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    assert (folder / "report.html").stat().st_size > 1_000_000
    return [cell for cell in book.cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str) -> str:
    """All that a cell shows of a MIME type."""
    return "".join(str(output.data[kind]) for output in cell.outputs if "data" in output and kind in output.data)


def test_the_example_notebook_runs(cells: list[Any]) -> None:
    """Every cell ends without an error, and none writes to stderr."""
    assert [output for cell in cells for output in cell.outputs if output.output_type in ("error", "stream") and output.get("name") != "stdout"] == []


def test_results_frames_and_figures_are_rich(cells: list[Any]) -> None:
    """A result shows its statistics as a table, with its progress above; frames show as tables, heat maps as Plotly figures."""
    run = next(cell for cell in cells if "backtest.run" in cell.source)
    assert 'class="stats"' in shown(run, "text/html")
    assert "records in" in shown(run, "text/html")
    assert "2 strategies" in shown(run, "text/plain")
    assert "<table" in shown(next(cell for cell in cells if "fills.head" in cell.source), "text/html")
    assert "resting size" in shown(next(cell for cell in cells if "tl.heatmap" in cell.source), "application/vnd.plotly.v1+json")


def test_figures_are_drawn_in_what_is_made_of_a_notebook(cells: list[Any], browser: Any, tmp_path: Path) -> None:
    """Heat maps come with all that a page needs: offline, two of them are drawn, once Plotly is unpacked for both; nothing is offered to be uploaded.

    They are below 2.5 MB, and so are those that Jupyter's own extensions draw, which get the same buttons.
    """
    cell = next(cell for cell in cells if "tl.heatmap" in cell.source)
    once = shown(cell, "text/html")
    assert len(once) < 2_500_000
    page_file = tmp_path / "page.html"
    twice = once.replace(re.findall(r'id="(figure-\w+)"', once)[0], "again")
    page_file.write_text(f"<!DOCTYPE html><meta charset='utf-8'><p>{once}</p><p>{twice}</p>", encoding="utf-8")
    page, said = browser.new_context(offline=True).new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    page.wait_for_function("document.querySelectorAll('.hm image').length === 2", timeout=180_000)
    titles = page.evaluate("[...document.querySelectorAll('.modebar')].map(bar => [...bar.querySelectorAll('.modebar-btn')].map(b => b.dataset.title))")
    assert titles == [["Download plot as a PNG", "Pan", "Zoom", "Reset axes"]] * 2
    assert page.evaluate("[...document.scripts].filter(script => script.textContent.includes('* plotly.js v')).length") == 1
    assert said == []
    assert "'showSendToCloud': False" in shown(cell, "application/vnd.plotly.v1+json")


def test_the_notebook_is_kept_without_outputs() -> None:
    """What is checked in has no outputs and no counts, so that a change to it is one to read."""
    nbformat = pytest.importorskip("nbformat")
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_progress_is_for_notebooks_only() -> None:
    """Outside a notebook there is nothing to show progress in; inside, a bar where the end is known, and the rate."""
    assert progress() is None
    assert "compiling" in to_html(Progress(0, 0, None, 0.0, compiling=True))
    assert "1,000 records in 2.0 s" in to_html(Progress(1_000, 10, None, 2.0))
    assert '<progress value="10" max="10"' in to_html(Progress(1_000, 12, 10, 2.0))
