"""One virtual environment per peer, with pinned versions, made when it is first needed and kept."""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PINNED: Final = {
    "hftbacktest": ("hftbacktest==2.4.4",),
    "nautilus": ("nautilus_trader==1.221.0; python_version < '3.12'", "nautilus_trader==1.231.0; python_version >= '3.12'"),
    "itch_book": ("itch-book==0.2.1",),
    "databento": ("databento==0.87.0",),
}
"""Peers, by the name of their worker, and what is installed for them, from the package index that pip is set to."""


def python_of(peer: str, folder: Path) -> Path:
    """The interpreter of a peer's environment, made if it is not there. Raises CalledProcessError where something cannot be installed."""
    place = folder / f"{peer}-py{sys.version_info.major}.{sys.version_info.minor}"
    made = place / "made-of.txt"
    wanted = "\n".join(PINNED[peer])
    python = place / "bin" / "python"
    if not made.exists() or made.read_text() != wanted:
        venv.create(place, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PINNED[peer]], check=True, capture_output=True, text=True)  # noqa: S603 - what PINNED says
        made.write_text(wanted)
    return python
