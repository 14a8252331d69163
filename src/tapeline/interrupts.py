"""Ctrl-C while an engine runs, and what a process supervisor sends in its place (SIGTERM), where the command line has said that it means the same."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NoReturn, Self

from tapeline.stderr import say

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S: Final = 1.0
"""So long may compiled code go on after a signal before somebody is told that it is waited for: a chunk takes milliseconds, with a thousand rows a second."""
_WAITING: Final = "interrupted: waiting for what is under way, a callback or a chunk of data; Ctrl-C again ends the process at once, without a result"
_ENDED: Final = "interrupted: what was under way did not end; the process does, without a result"
_STDERR: Final = 2
_SHOW_CURSOR: Final = b"\x1b[?25h\n"
"""A progress bar hides the cursor, and writes through what it has put in the place of `sys.stderr`."""


class Interrupts:
    """The first Ctrl-C is looked at between chunks, lest tables are left half changed; a second one raises at once.

    Python hands a signal over between two of its own instructions, and compiled code has none: in a callback that never returns, neither would ever be seen. So
    a thread is told of signals by the system. If the main one does not take the first, it says so; at a second one it ends the process.
    """

    def __init__(self) -> None:
        """None seen."""
        self.seen = False
        """As soon as there was one, for every thread to look at."""
        self._noted = 0
        self._before: dict[int, Any] = {}
        self._ends: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Take over Ctrl-C, and other signals that raise KeyboardInterrupt as it does, where nobody else has."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS if signal.getsignal(number) is signal.default_int_handler}
            if self._before:
                self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._ends is not None:
            signal.set_wakeup_fd(-1)
            os.close(self._ends[1])  # ends the thread
            self._ends = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise what was noted."""
        if self.seen:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        self._noted += 1
        self.seen = True
        if self._noted > 1:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        read, write = os.pipe()
        os.set_blocking(write, False)
        others = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        if others != -1:  # an event loop listens already
            signal.set_wakeup_fd(others)
            os.close(read)
            os.close(write)
            return
        self._ends = read, write
        threading.Thread(target=self._watch, args=(read,), name="tapeline-interrupts", daemon=True).start()

    def _watch(self, signals: int) -> None:
        """Read signals as they come, and see whether the main thread takes them."""
        taken, waiting = 0, 0
        with contextlib.closing(os.fdopen(signals, "rb", 0)) as pipe:
            while came := pipe.read(64):
                n = sum(came.count(number) for number in self._before)
                if n == 0:
                    continue
                self.seen = True
                time.sleep(PATIENCE_S)
                if self._ends is None:
                    continue
                waiting = 0 if self._noted > taken else waiting + n
                taken = self._noted
                if waiting == 1:
                    say(_WAITING)
                elif waiting > 1:
                    end_process()


def end_process() -> NoReturn:
    """What is under way does not end, and cannot be ended otherwise."""
    say(_ENDED)
    if os.isatty(_STDERR):
        os.write(_STDERR, _SHOW_CURSOR)
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait until the block is done.

    Python looks at them as soon as it has its turn, and that may be in a function that C calls: what is raised there is told of on stderr, and forgotten.
    """
    noted: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # who else may be called back handles no signals
        handlers = {number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in noted:
            handlers[number](number, None)
