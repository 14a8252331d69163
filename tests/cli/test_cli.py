"""The command line: how a command ends, what it says of that, and what it keeps."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from command_line import MAKER, invoke
from journals import one_fill

import tapeline
from tapeline import errors, result, terminal
from tapeline.bench import stages  # before a stand-in is there for what it imports
from tapeline.result import Result


def test_help_is_quick_and_documents_exit_codes() -> None:
    """`tapeline --help` names every exit code, and does not import Numba or polars."""
    probe = "import sys; from tapeline.cli import app\ntry: app(['--help'])\nfinally: print({'numba', 'polars', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == "set()"
    for code in terminal.Exit:
        assert str(code.value) in done.stdout


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_who_reads_no_more_is_no_difference_between_engines(option: list[str]) -> None:
    """`tapeline … | head` ends without a word, and as other programs do then: 1 would say that engines differ."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "tapeline", "version", *option], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (terminal.Exit.PIPE, "")


def test_a_terminal_without_unicode_is_no_error(tmp_path: Path) -> None:
    """Where stdout has ASCII alone, what it does not know is written as an escape, in text and in JSON, and the command does its work."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    commands = (["report", "--help"], ["synth", "-n", "10", "-o", str(tmp_path / "µ.dbn"), "--json"])
    shown, answer = (
        subprocess.run([sys.executable, "-m", "tapeline", *command], env=environment, capture_output=True, text=True, check=True).stdout for command in commands
    )
    assert r"RUN\u2026" in shown
    assert json.loads(answer)["output"].endswith("µ.dbn")


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_that_does_not_know_its_width_has_a_usual_one(columns: str) -> None:
    """COLUMNS=0, as some terminals set it, is not obeyed: nothing at all would be printed; help neither."""
    wide, narrow = (
        [
            subprocess.run([sys.executable, "-m", "tapeline", what], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": width}).stdout
            for what in ("version", "--help")
        ]
        for width in ("80", columns)
    )
    assert narrow == wide


def test_version_is_that_of_the_package() -> None:
    """`version --json` gives the versions of this package and of what its numbers depend on."""
    versions = json.loads(invoke("version", "--json").stdout)
    assert versions["tapeline"] == tapeline.__version__
    assert {"python", "numba", "numpy", "polars"} <= set(versions)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (one_fill(), terminal.Exit.OK),
        (errors.ConfigError("bad setting"), terminal.Exit.USAGE),
        (errors.LimitError("orders_live_max"), terminal.Exit.USAGE),
        (errors.DataError("x.dbn: record 7"), terminal.Exit.DATA),
        (errors.CompileError("maker.py:12: no field"), terminal.Exit.COMPILE),
        (IndexError("index 7 is out of bounds"), terminal.Exit.COMPILE),
        (errors.InvariantError("cash"), terminal.Exit.DIFFERENCE),
        (KeyboardInterrupt(), terminal.Exit.INTERRUPTED),
        (one_fill(interrupted=True), terminal.Exit.INTERRUPTED),
    ],
)
def test_exit_codes(engine: SimpleNamespace, tmp_path: Path, answer: Any, code: terminal.Exit) -> None:
    """Each way to end has its exit code, and an error its message on stderr, without a traceback."""
    engine.answer = answer
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == code
    if isinstance(answer, Exception):
        assert str(answer) in done.stderr.replace("\n", "")
        assert "Traceback" not in done.stderr


def test_a_place_that_cannot_be_written_is_told_before_the_run(engine: SimpleNamespace, tmp_path: Path) -> None:
    """Where a result could not be saved, or would replace something else, nothing is run for it."""
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    for place, said in ((tmp_path / "file" / "run", "cannot be written"), (tmp_path / "file", "is a file"), (tmp_path, "no saved result")):
        done = invoke("run", MAKER, "x.dbn", "-o", place)
        assert done.exit_code == terminal.Exit.USAGE
        assert said in done.stderr.replace("\n", " ")
    assert not hasattr(engine, "strategies")


def test_a_result_that_cannot_be_saved_is_shown(engine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full after a long run, its statistics are printed all the same, and then what could not be written; nothing is left behind."""

    def full(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("underlying IO error: No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    engine.answer = one_fill()
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.USAGE
    assert "pnl_net" in done.stdout
    assert "saved in" not in done.stdout
    assert "cannot be written: No space left on device" in done.stderr.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_what_the_system_says_of_a_file_is_told(engine: SimpleNamespace, tmp_path: Path) -> None:
    """A full disk is no error of the strategy's: its code is that of usage, and the message names the file."""
    engine.answer = OSError(errno.ENOSPC, "No space left on device", "fills.parquet")
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.USAGE
    assert done.stderr.splitlines()[-1] == "error: fills.parquet: No space left on device"


def test_traceback_on_request(engine: SimpleNamespace) -> None:
    """`--traceback` shows where an error was raised."""
    engine.answer = ValueError("from inside")
    assert "Traceback" in invoke("run", MAKER, "x.dbn", "--traceback").stderr
    assert "--traceback" in invoke("run", MAKER, "x.dbn").stderr


def test_damaged_data_keeps_what_came_before(engine: SimpleNamespace, tmp_path: Path) -> None:
    """The result of all before the damage is printed and saved, and the exit code is that of the damage."""
    engine.answer = errors.DataError("x.dbn: record 7")
    engine.answer.result = one_fill()  # type: ignore[attr-defined]
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.DATA
    assert "record 7" in done.stderr
    assert Result.load(tmp_path / "run").fills.height == 1


def test_an_interrupted_run_is_saved(engine: SimpleNamespace, tmp_path: Path) -> None:
    """After Ctrl-C the result so far is saved."""
    engine.answer = one_fill(interrupted=True)
    invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert Result.load(tmp_path / "run").manifest["interrupted"] is True


def test_what_comes_after_a_run_may_be_interrupted(engine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the data is read again for markouts, or while stages are profiled, leaves the result of the run, and says where it is."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for module, name, options in ((stages, "profile", ["--profile"]), (result, "observe_run", [])):
        engine.answer = one_fill()
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / name, *options)
        assert done.exit_code == terminal.Exit.INTERRUPTED
        assert Result.load(tmp_path / name).fills.height == 1
    assert f"saved in {tmp_path / name}, without markouts" in done.stderr.replace("\n", " ")


def test_what_cannot_be_profiled_is_told_before_the_run(engine: SimpleNamespace, tmp_path: Path) -> None:
    """A profile is of the compiled engine: with the other one nothing is run for it."""
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run", "--profile", "--engine", "reference")
    assert done.exit_code == terminal.Exit.USAGE
    assert "compiled engine" in done.stderr
    assert not hasattr(engine, "strategies")


@pytest.mark.usefixtures("engine")
def test_compiling_is_said_once_on_stderr() -> None:
    """A line says that it compiles, also where stderr is no terminal; stdout has results only."""
    done = invoke("run", MAKER, "a.dbn", "--no-save", "--json")
    assert done.stderr.count("compiling") == 1
    assert json.loads(done.stdout)["stats"]["strategies"][0]["fills"] == 1


@pytest.mark.usefixtures("engine")
def test_without_output_a_new_directory_is_one_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the result is saved under tapeline-runs, named after the class; `--no-save` keeps nothing."""
    monkeypatch.chdir(tmp_path)
    invoke("run", MAKER, "a.dbn", "--no-save")
    assert not list(tmp_path.iterdir())
    invoke("run", MAKER, "a.dbn")
    invoke("run", MAKER, "a.dbn")
    assert [path.name.split("-")[0] for path in (tmp_path / "tapeline-runs").iterdir()] == ["TouchMaker"] * 2
