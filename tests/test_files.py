"""Files that are written whole, or not at all."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from tapeline.demo import example
from tapeline.errors import ConfigError
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.files import replacing, why

FULL_DISK = """
import resource, sys
from tapeline.cli import app
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
app(sys.argv[1:])
"""
"""A program in which no file may grow beyond 100 kB."""


def write(path: Path, text: str, fault: Exception | None = None) -> None:
    """Write a text; raise a fault on the way."""
    with replacing(path) as partial:
        partial.write_text(text)
        if fault is not None:
            raise fault


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    """The file stands there when all went well, in directories that are made; until then, and after an error, what was there before. Nothing else is left."""
    path = tmp_path / "deep" / "er" / "file.txt"
    write(path, "one")
    with pytest.raises(ValueError, match="on the way"):
        write(path, "two", ValueError("on the way"))
    assert path.read_text() == "one"
    with replacing(path) as partial:
        partial.write_text("three")
        assert path.read_text() == "one"
    assert path.read_text() == "three"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/.run-8cfb7e9f4dd3"),
        OSError("No such file or directory (os error 2): /proc/.full.parquet.17053.partial"),
        pl.exceptions.ComputeError("parquet: underlying IO error: No such file or directory (os error 2)"),
    ],
)
def test_a_hidden_name_is_nobodys_business(error: Exception) -> None:
    """Who asked for a file is told of that file, and why, by the system or by Polars; not of the name that it had while it was written."""
    assert why(error) == "No such file or directory"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A directory in its place, a file among its directories and a full disk are told with the path as it was given."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/below: cannot be written: (File exists|Not a directory)"):
        write(tmp_path / "file" / "below", "")
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        write(tmp_path, "")
    with pytest.raises(ConfigError, match="/dev/full: cannot be written: No space left on device"):
        write(Path("/dev/full"), "text")
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there").symlink_to("here")
    with pytest.raises(ConfigError, match=r"here/file: cannot be written: (Symlink loop|Too many levels of symbolic links)"):
        write(tmp_path / "here" / "file", "")


@pytest.mark.parametrize("letter", ["n", "é"])
def test_a_name_may_be_as_long_as_names_are(tmp_path: Path, letter: str) -> None:
    """A file whose name leaves no room for a longer one is written; one byte more, and it is told."""
    length = os.pathconf(tmp_path, "PC_NAME_MAX") // len(letter.encode())
    write(tmp_path / (letter * length), "text")
    assert [one.name for one in tmp_path.iterdir()] == [letter * length]
    with pytest.raises(ConfigError, match="cannot be written: File name too long"):
        write(tmp_path / (letter * (length + 1)), "text")


def test_threads_that_write_one_file_do_not_write_into_each_other(tmp_path: Path) -> None:
    """Of two threads that write a file at a time, each writes all of it, and the last to be done stays."""
    path = tmp_path / "file.txt"
    with replacing(path) as partial:
        partial.write_text("one")
        other = threading.Thread(target=write, args=(path, "two"))
        other.start()
        other.join()
        assert path.read_text() == "two"
    assert path.read_text() == "one"
    assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]


def test_links_and_devices_stay(tmp_path: Path) -> None:
    """A link still points to the file, which is replaced; a device or a pipe is written to, and no file takes its place."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link", "new")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "file").read_text()) == (True, "new")
    os.mkfifo(tmp_path / "pipe")
    read = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", "through")
    assert (os.read(read, 100), (tmp_path / "pipe").is_fifo()) == (b"through", True)
    os.close(read)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session whose rows take more than 100 kB."""
    path = tmp_path_factory.mktemp("data") / "session.dbn.zst"
    write_synth(path, SynthConfig(records=10_000, live_orders=400))
    return path


@pytest.mark.parametrize(
    ("command", "name"),
    [("depth", "out.parquet"), ("depth", "out.csv"), ("features", "out.parquet"), ("tape", "out.tape"), ("synth", "out.dbn"), ("report", "out.html")],
)
def test_a_full_disk_leaves_what_was_there(session: Path, tmp_path: Path, command: str, name: str) -> None:
    """Every command that writes a file says which could not be written and why, with exit code 2, and leaves no part of it, but what was there before."""
    out, run = tmp_path / name, tmp_path / "run"
    arguments = {"synth": ["-n", "10000"], "report": [str(run)]}.get(command, [str(session), "--tick-size", "0.25"])
    warm = [command, *arguments, "-o", str(out)]  # so that no compiled code has to be written
    if command == "report":
        warm = ["run", str(example("touch_maker")), str(session), "--tick-size", "0.25", "--multiplier", "50", "-o", str(run)]
    subprocess.run([sys.executable, "-m", "tapeline", *warm], capture_output=True, check=True)
    out.write_text("older")
    program = [sys.executable, "-c", FULL_DISK, command, *arguments, "-o", str(out)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert f"error: {out}: cannot be written: File too large" in done.stderr
    assert (done.returncode, out.read_text()) == (2, "older")
    assert {one.name for one in tmp_path.iterdir()} <= {name, "run"}
