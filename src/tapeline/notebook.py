"""Progress where there is no terminal: in a Jupyter notebook."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapeline.backtest import Progress


def progress() -> "Callable[[Progress], None] | None":
    """A function that shows a run's progress under the running cell, or None outside notebooks.

    It needs IPython alone: rich's own progress bar would ask for ipywidgets.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    tools: Any = import_module("IPython.display")  # there is one only in notebooks

    shown: list[Any] = []

    def show(progress: "Progress") -> None:
        text = tools.HTML(to_html(progress))
        if shown:
            shown[0].update(text)
        else:
            shown.append(tools.display(text, display_id=True))

    return show


def to_html(progress: "Progress") -> str:
    """A bar where the end is known, and how far and how fast it goes."""
    if progress.compiling:
        from tapeline import jit  # noqa: PLC0415 - imports the compiler, which is there when this is asked for

        return f"<span>{jit.words_for_compiling()}</span>"
    total = progress.bytes_total
    bar = f'<progress value="{min(progress.bytes_done, total)}" max="{total}" style="width:20em;vertical-align:middle"></progress> ' if total else ""
    rate = f", {progress.records / progress.seconds / 1e6:.1f} M/s" if progress.seconds > 0 else ""
    return f"<span>{bar}{progress.records:,} records in {progress.seconds:.1f} s{rate}</span>"
