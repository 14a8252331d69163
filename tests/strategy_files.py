"""Strategies written to files by tests, and what to run them on."""

import itertools
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from tapeline import load
from tapeline.feeds.synth import SynthConfig, write_synth

_NAMES = itertools.count()
BOOK = "def on_book(self, market, orders, account):\n    "
HEAD = "import numpy as np\nimport tapeline as tl\n\n"


def tiny_session(path: Path, instruments: int = 1) -> Path:
    """A simulated session of few records."""
    write_synth(path, SynthConfig(records=2_000, live_orders=200, instruments=instruments))
    return path


def strategy(folder: Path, body: str, before: str = "", name: str = "") -> Any:
    """A strategy class `S` with this body, imported from a file of its own; `before` stands above the class."""
    path = folder / f"{name or f's{next(_NAMES)}'}.py"
    path.write_text(f"{HEAD}{dedent(before)}\nclass S(tl.Strategy):\n    n: tl.int64\n{indent(dedent(body), '    ')}\n", encoding="utf-8")
    return load.load_strategy(f"{path}:S")
