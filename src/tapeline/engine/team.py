"""The rows of one run shared out among several sessions, each on a thread of its own: for sweeps, in which rows take most of the time.

Rows know nothing of each other, and each session sees all of the market: what is recorded is the same, whoever records it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from subprocess import Popen
from typing import Any, Final

import numpy as np

from tapeline.config import RowSpec
from tapeline.engine.session import Session, counters_of
from tapeline.instruments import Instrument
from tapeline.interrupts import PATIENCE_S, end_process
from tapeline.pages import left_over

ROWS_PER_SESSION_MIN: Final = 8
"""Books and news, which each session has for itself, take about as long as so many rows of a market maker."""


def session_of(rows: Sequence[RowSpec], *, threads: int, **how: Any) -> "Session | Team":
    """What runs these rows, on so many threads at most, of which one normalises. `how`: as of a Session."""
    n = min(threads - 1, len(rows) // ROWS_PER_SESSION_MIN)
    return Team(rows, n, **how) if n > 1 else Session(rows, **how)


class Team:
    """Several sessions that do what one does: see `Session`."""

    def __init__(self, rows: Sequence[RowSpec], n: int, **how: Any) -> None:
        """Share out the rows among `n` sessions, those of each class evenly."""
        classes = [type(row.strategy) for row in rows]
        by_class = sorted(range(len(rows)), key=lambda i: classes.index(classes[i]))
        self._sessions = [Session(rows, by_class[k::n], **how) for k in range(n)]
        self._pool = ThreadPoolExecutor(n, "tapeline-rows")
        self._in_question = self._sessions[0]

    @property
    def is_compiled(self) -> bool:
        """Whether the runner's code, which is the same for all, is there already."""
        return self._sessions[0].is_compiled

    def compile(self, helper: "Popen[bytes] | None" = None) -> None:
        """Compile what is not kept from before."""
        for session in self._sessions:
            session.compile(helper)

    @property
    def seconds_compiling(self) -> float:
        """While tape events waited for what few runs need."""
        return max(session.seconds_compiling for session in self._sessions)

    def open(self, instrument: Instrument) -> None:
        """A new instrument."""
        for session in self._sessions:
            session.open(instrument)

    def chunk(self, address: int, n: int) -> None:
        """Let `n` tape events at an address happen. Raises what a callback raised; of several, what the first did by the clock of the strategies."""
        self._together(partial(Session.chunk, address=address, n=n))

    def finish(self, closing_ns: int | None = None) -> None:
        """The input has ended."""
        self._together(partial(Session.finish, closing_ns=closing_ns))

    def _together(self, work: Callable[[Session], None]) -> None:
        """All sessions at once, the first on this thread."""
        others: list[Future[Exception | None]] = []
        try:
            for session in self._sessions[1:]:
                others.append(self._pool.submit(_raised_by, work, session))  # noqa: PERF401 - those before an interrupt have to be known
            raised = [_raised_by(work, self._sessions[0]), *(other.result() for other in others)]
        except KeyboardInterrupt:
            _wait_or_end(others)
            raise
        problems = [(session, error) for session, error in zip(self._sessions, raised, strict=True) if error is not None]
        if problems:
            self._pool.shutdown()
            self._in_question, error = min(problems, key=lambda problem: int(problem[0].engine.now))
            raise error

    @property
    def called(self) -> RowSpec:
        """The row whose callback raised."""
        return self._in_question.called

    def journals(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was recorded so far, by name, with the rows' numbers as given: session by session, and each row's in order."""
        recorded = [session.recording.recorded for session in self._sessions]
        return {name: self._in_one([journals[name] for journals in recorded]) for name in recorded[0]}

    def _in_one(self, parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """A journal of all sessions: each is copied once, on a thread of its own, for they may be hundreds of megabytes."""
        ends = np.cumsum([len(part) for part in parts])
        whole = left_over(int(ends[-1]), parts[0].dtype)

        def put(part: np.ndarray[Any, Any], end: int, session: Session) -> None:
            here = whole[end - len(part) : end]
            here.view(np.uint8)[:] = part.view(np.uint8)  # by fields it takes thirteen times as long
            here["row"] = np.array(session.numbers, np.int32).take(here["row"])

        list(self._pool.map(put, parts, ends, self._sessions))
        return whole

    @property
    def counters(self) -> dict[str, int]:
        """What was counted so far."""
        return counters_of(self._sessions)


def _raised_by(work: Callable[[Session], None], session: Session) -> Exception | None:
    """What a session's work raises: the others are to be done before anybody hears of it."""
    try:
        work(session)
    except Exception as error:  # noqa: BLE001 - callbacks raise what they like
        return error
    return None


def _wait_or_end(work: Sequence[Future[Any]]) -> None:
    """After a second Ctrl-C: until what is under way is done. If it does not end, as in a callback that never returns, the process does."""
    try:
        is_done = not wait(work, PATIENCE_S).not_done
    except KeyboardInterrupt:
        is_done = False
    if not is_done:
        end_process()
