"""Several threads: the same results as one, to the last line and counter, and the same words where something is wrong."""

import threading
from pathlib import Path

import pytest
from duels import Case

import tapeline as tl
from tapeline.engine import team
from tapeline.errors import ConfigError, DataError
from tapeline.tape.reader import TapeReader
from tapeline.verify import compare


def run(path: Path, case: Case, threads: int) -> tl.Result:
    """A case with so many threads."""
    return tl.Backtest(path, threads=threads, **case.settings, **case.status(path)).run(*case.rows())


@pytest.mark.parametrize("seed", range(7000, 7006))
@pytest.mark.parametrize("chunk_events", [12, 50, 4096])
def test_results_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, chunk_events: int) -> None:
    """Random markets and venues, cut into chunks of a few tape events or one: fills, orders, equity, signals and counters are equal."""
    monkeypatch.setitem(TapeReader.__init__.__kwdefaults__, "chunk_events", chunk_events)
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "case.dbn")
    found = compare(run(path, case, 1), run(path, case, 2))
    assert found.is_equal, str(found)


@pytest.mark.parametrize("seed", range(7000, 7012))
@pytest.mark.parametrize("threads", [3, 4, 9])
def test_results_do_not_depend_on_who_runs_which_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, threads: int) -> None:
    """Rows of several classes, latencies and rules, each of few or all in a session of its own: everything is equal."""
    monkeypatch.setattr(team, "ROWS_PER_SESSION_MIN", 1)
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "case.dbn")
    found = compare(run(path, case, 1), run(path, case, threads))
    assert found.is_equal, str(found)


class Late(tl.Strategy):
    """Raises at some event."""

    at: tl.int64
    seen: tl.int64

    def on_event(self, event, market, orders, account):
        """Count."""
        self.seen += 1
        if self.seen == self.at:
            raise ValueError("it is late")


def test_the_first_that_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows on several threads that raise in one chunk, the one that does so first in the strategies' time, as on one thread; no thread is left."""
    monkeypatch.setattr(team, "ROWS_PER_SESSION_MIN", 1)
    case = Case.seeded(7004)
    path = case.stream().write(tmp_path / "case.dbn")
    notes = []
    for threads in (1, 4):
        rows = [tl.Row(Late(at=at), label=f"at {at}") for at in (90, 70, 50, 80, 60)]
        with pytest.raises(ValueError, match="it is late") as raised:
            tl.Backtest(path, threads=threads, **case.settings).run(rows)
        notes.append(raised.value.__notes__)
    assert notes[0] == notes[1]
    assert notes[0][0].startswith("at 50 raised it")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tapeline-rows")]


@pytest.mark.parametrize("chunk_events", [12, 4096])
def test_damage_is_told_after_all_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_events: int) -> None:
    """A truncated file: the same error, and the same result of everything before; no thread is left."""
    monkeypatch.setitem(TapeReader.__init__.__kwdefaults__, "chunk_events", chunk_events)
    case = Case.seeded(7004)
    path = case.stream().write(tmp_path / "case.dbn")
    path.write_bytes(path.read_bytes()[: -(56 * 20 + 13)])
    threads = threading.active_count()
    errors = []
    for n in (1, 2):
        with pytest.raises(DataError, match="truncated") as raised:
            run(path, case, n)
        errors.append(raised.value)
    assert str(errors[0]) == str(errors[1])
    found = compare(errors[0].result, errors[1].result)
    assert found.is_equal, str(found)
    assert threading.active_count() == threads


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_a_number(tmp_path: Path, threads: object) -> None:
    """Another thing is refused by the setting's name."""
    with pytest.raises(ConfigError, match=f"threads={threads!r}"):
        tl.Backtest(tmp_path / "x.dbn", threads=threads)
