"""Processes that were forked while Polars' threads ran: it waits in them for threads that are not there, for ever. So it is said, instead."""

import os
from contextlib import suppress
from typing import Final

from tapeline.errors import ConfigError

_THREADS: Final = "/proc/self/task"
"""Where Linux names a process's threads; elsewhere, pools of processes do not fork."""
_is = {"stuck": False, "at_work": False}


def _name_of(thread: str) -> str:
    with open(f"{_THREADS}/{thread}/comm", encoding="utf-8") as name:  # noqa: PTH123 - `import tapeline` does without pathlib
        return name.read()


def _look() -> None:
    """Before a fork: whether Polars is at work."""
    with suppress(OSError):
        _is["at_work"] = any(_name_of(thread).startswith("polars-0") for thread in os.listdir(_THREADS))  # noqa: PTH208 - same


def _note() -> None:
    """After it: what the parent saw. Children of a stuck process are stuck, too."""
    _is["stuck"] |= _is["at_work"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_look, after_in_child=_note)


def check_fork() -> None:
    """Raise ConfigError in a process in which Polars would wait for ever."""
    if _is["stuck"]:
        raise ConfigError(
            "this process was forked from one in which Polars had run, which would hang here: take threads (concurrent.futures.ThreadPoolExecutor: runs do not"
            " hold each other up), or ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        )
