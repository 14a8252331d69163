"""The first compilation on two cores: a second process compiles half of the engine into the cache, while the first compiles the rest and the strategies."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from tapeline import jit

TIMEOUT_S: Final = 300
_done: Final[set[Path]] = set()
"""Directories where its work was found."""


def _units() -> list[tuple[object, tuple[object, ...]]]:
    """What the second process compiles: about half of the work, as dispatchers with the types of their arguments; last, what statistics take."""
    from numba.types import boolean, int64  # noqa: PLC0415 - the compiler is only needed here

    from tapeline.engine.due import wake  # noqa: PLC0415 - imports the engine, which the first process has anyway
    from tapeline.engine.journals import seat, settle, tally, turn  # noqa: PLC0415
    from tapeline.engine.state import Engine  # noqa: PLC0415
    from tapeline.market.fifo import Fifo, count_fifo  # noqa: PLC0415
    from tapeline.market.observe import Observer, observe  # noqa: PLC0415
    from tapeline.tape.normalise import normalise  # noqa: PLC0415
    from tapeline.tape.records import Reader  # noqa: PLC0415
    from tapeline.tape.rules import do_record  # noqa: PLC0415

    return [
        (wake.dispatcher, (Engine.type_,)),
        (do_record.dispatcher, (Reader.type_,)),
        (normalise, (Reader.type_,)),
        (tally, (int64,) * 5),
        (seat, (int64,) * 5 + (boolean, int64)),
        (turn, (int64,) * 6),
        (settle, (int64,) * 8),
        (observe, (Observer.type_,)),
        (count_fifo, (Fifo.type_,)),
    ]


def start() -> "subprocess.Popen[bytes] | None":
    """Start the second process, if there is anything to compile and anywhere to keep it, and if the system lets us."""
    directory = jit.cache_directory() if jit.keeps() else None
    if directory is None or directory in _done:
        return None
    if any(directory.rglob("*.wake-*.nbc")):
        _done.add(directory)
        return None
    with contextlib.suppress(OSError):  # no memory for a second one, or no program: Python may be part of another
        return subprocess.Popen([sys.executable, "-m", "tapeline.precompile"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return None


def finish(process: "subprocess.Popen[bytes] | None") -> None:
    """Wait for it. Whatever it did not get done is compiled when it is called."""
    if process is None:
        return
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def abandon(process: "subprocess.Popen[bytes] | None") -> None:
    """End it: there will be no run."""
    if process is not None:
        process.kill()
        process.wait()


if __name__ == "__main__":
    for dispatcher, types in _units():
        dispatcher.compile(types)  # type: ignore[attr-defined]
