"""Two threads: the same results as one, to the last line and counter, and the same words where the input is damaged."""

import threading
from pathlib import Path

import pytest
from duels import Case

import tapeline as tl
from tapeline.errors import ConfigError, DataError
from tapeline.tape.reader import TapeReader
from tapeline.verify import compare


def run(path: Path, case: Case, threads: int) -> tl.Result:
    """A case with so many threads."""
    return tl.Backtest(path, threads=threads, **case.settings).run(*case.rows())


@pytest.mark.parametrize("seed", range(7000, 7006))
@pytest.mark.parametrize("chunk_events", [12, 50, 4096])
def test_results_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, chunk_events: int) -> None:
    """Random markets and venues, cut into chunks of a few tape events or one: fills, orders, equity, signals and counters are equal."""
    monkeypatch.setitem(TapeReader.__init__.__kwdefaults__, "chunk_events", chunk_events)
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "case.dbn")
    found = compare(run(path, case, 1), run(path, case, 2))
    assert found.is_equal, str(found)


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


def test_threads_are_one_or_two(tmp_path: Path) -> None:
    """Another number is refused by the setting's name."""
    with pytest.raises(ConfigError, match="threads=3"):
        tl.Backtest(tmp_path / "x.dbn", threads=3)
