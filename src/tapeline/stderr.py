"""What the library says beside results and warnings: a word on stderr, such as that it compiles."""

import contextlib
import sys
from typing import Final

COMPILING: Final = "compiling (the first time; kept for later runs) …"
COMPILING_EACH_TIME: Final = "compiling …"
"""Where it cannot be kept."""


def say(text: str) -> None:
    """A line on stderr. Where there is none, as in a daemon, or nobody reads it any more, that is no reason to end a run."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
