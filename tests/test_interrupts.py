"""Ctrl-C, and what stands for it, while an engine runs or a command writes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from strategy_files import tiny_session

from tapeline import Result, jit, terminal
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.interrupts import Interrupts
from tapeline.stderr import COMPILING

COMPILED = pytest.mark.skipif(not jit.JIT, reason="plain")
HANG_S = 300
"""What has not ended by then never will."""
TOLD = """
import os
import pathlib
import tapeline as tl


class Told(tl.Strategy):
    def on_trade(self, trade, market, orders, account):
        pathlib.Path(os.environ["BEGUN"]).touch()
"""
STUCK = """
import tapeline as tl


class Stuck(tl.Strategy):
    waits: tl.int64 = 0
    n: tl.int64

    def on_trade(self, trade, market, orders, account):
        while self.waits > 0:
            self.n = (self.n + 1) % 1000
"""
PROGRAM = """
import os, signal, sys, threading
import typer
import tapeline as tl
from tapeline import interrupts, load, terminal

interrupts.PATIENCE_S = 0.2
file, data, engine, others = sys.argv[1:]
stuck = load.load_strategy(file)
backtest = tl.Backtest(data, tick_size="0.25", multiplier=50, engine=engine, threads=3)
backtest.run(stuck())  # compiled, from here on
enter = interrupts.Interrupts.__enter__


def enter_and_interrupt(listener):
    for after in (1, 2.5):
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
    return enter(listener)


interrupts.Interrupts.__enter__ = enter_and_interrupt
try:
    with terminal.reporting(with_traceback=False):
        backtest.run(*(stuck() for _ in range(int(others))), stuck(waits=1))
except typer.Exit as leave:
    sys.exit(leave.exit_code)
"""


@pytest.mark.parametrize(
    ("engine", "others", "said"),
    [
        pytest.param("compiled", 0, ["waiting for what is under way", "the process does, without a result"], marks=COMPILED),
        pytest.param("compiled", 15, ["the process does, without a result"], marks=COMPILED),
        ("reference", 0, [r"stuck\.py:1[01]: interrupted"]),
    ],
)
def test_a_callback_that_never_returns_is_ended_by_a_second_ctrl_c(tmp_path: Path, engine: str, others: int, said: list[str]) -> None:
    """The first Ctrl-C says that the callback is waited for; the second ends the process with 130. In plain Python it names the line that it was in.

    Where the row is on another thread (the last of sixteen), the second one ends the process as well.
    """
    (tmp_path / "stuck.py").write_text(STUCK)
    data = tiny_session(tmp_path / "tiny.dbn")
    program = [sys.executable, "-c", PROGRAM, tmp_path / "stuck.py", data, engine, str(others)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 130, done.stderr
    assert [words for words in said if not re.search(words, done.stderr)] == []


WRITING = """
import os, signal, sys, time
from tapeline import book_reader, interrupts
from tapeline.cli import app

interrupts.PATIENCE_S = 60
chunks, made = book_reader.BookReader.chunks, []

def slow(reader):
    frame = next(chunks(reader))
    for _ in range(1000):
        made.append(frame)
        yield frame
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)

book_reader.BookReader.chunks = slow
try:
    app(sys.argv[1:])
finally:
    print(len(made))
"""


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_ctrl_c_ends_the_writing_of_a_file(tmp_path: Path, name: str) -> None:
    """Polars holds the main thread while it writes: the next frame is not made any more, nothing is left of the file, and one word is said."""
    data = tiny_session(tmp_path / "tiny.dbn")
    program = [sys.executable, "-c", WRITING, "depth", data, "--tick-size", "0.25", "-o", tmp_path / "out" / name]
    done = subprocess.run(program, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert (done.returncode, done.stderr.removeprefix(f"{COMPILING}\n")) == (130, "interrupted\n")
    assert int(done.stdout) < 20
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_is_given_back() -> None:
    """Afterwards the handler and the pipe that were there before are there again, and no thread is left."""
    threads = threading.active_count()
    handler = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.set_wakeup_fd(-1) == -1
    for thread in threading.enumerate():
        if thread.name == "tapeline-interrupts":
            thread.join(timeout=HANG_S)
    assert threading.active_count() <= threads


COMPILED = """
import os, signal
from llvmlite.binding import executionengine

find = executionengine.ExecutionEngine._find_module_ptr


def interrupted(engine, pointer):  # called by what LLVM calls
    os.kill(os.getpid(), signal.SIGINT)
    return find(engine, pointer)


executionengine.ExecutionEngine._find_module_ptr = interrupted
from tapeline import jit


@jit.entry
def doubled(x):
    return 2 * x


try:
    doubled(1)
except KeyboardInterrupt:
    print("taken")
"""


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_ctrl_c_while_llvm_works_is_taken(tmp_path: Path) -> None:
    """Python learns of it first in a function that LLVM calls when it is done, where whatever is raised is lost: it is raised behind that."""
    (tmp_path / "compiled.py").write_text(COMPILED)
    env = os.environ | {"TAPELINE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "compiled.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=HANG_S)
    assert (done.stdout, done.stderr) == ("taken\n", "")


def test_an_event_loop_keeps_its_signals() -> None:
    """Where somebody is told of signals by the system already, they still are."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    with Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.set_wakeup_fd(-1) == write
    assert os.read(read, 9) == bytes([signal.SIGINT])
    os.close(read)
    os.close(write)


IMPORTING = """
import os, signal, sys, time
from tapeline.__main__ import main

class Slow:
    def find_spec(self, name, *_):
        if name == "tapeline.cli":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

sys.meta_path.insert(0, Slow())
main()
"""


def test_ctrl_c_while_the_command_line_is_imported_says_nothing() -> None:
    """Who takes back a command in its first half second is shown no traceback: the signal ends the process, which shells tell as 130."""
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_130_and_a_result(tmp_path: Path, number: int) -> None:
    """A run stopped by Ctrl-C, or by what supervisors of jobs send, ends soon with 130, and what it recorded is on disk."""
    data, begun = tmp_path / "long.dbn", tmp_path / "begun"
    write_synth(data, SynthConfig(records=300_000, live_orders=400))
    (tmp_path / "told.py").write_text(TOLD)
    options = ["--tick-size", "0.25", "--multiplier", "50", "--engine", "reference"]
    command = [sys.executable, "-m", "tapeline", "run", tmp_path / "told.py", data, *options, "-o", tmp_path / "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"BEGUN": str(begun)})
    while process.poll() is None and not begun.exists():
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=HANG_S)
    assert process.returncode == terminal.Exit.INTERRUPTED, stderr
    assert Result.load(tmp_path / "run").manifest["interrupted"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_leaves_nothing_half_written(tmp_path: Path, number: int) -> None:
    """Who stops a command while it writes finds neither a half file nor the hidden one that it was to become."""
    command = [sys.executable, "-m", "tapeline", "synth", "-n", "50000000", "-o", tmp_path / "long.dbn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(tmp_path.iterdir()):
            time.sleep(0.05)
        assert list(tmp_path.iterdir()), process.stderr.read()
        process.send_signal(number)
        process.communicate(timeout=HANG_S)
    assert process.returncode == terminal.Exit.INTERRUPTED
    assert not list(tmp_path.iterdir())
