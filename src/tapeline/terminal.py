"""What commands say while they run: progress, warnings and errors on stderr, results on stdout; and the exit codes."""

import contextlib
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tapeline import errors

if TYPE_CHECKING:
    from tapeline import backtest


WIDTH_LEAST: Final = 10


class Exit(IntEnum):
    """What a command's exit code means."""

    OK = 0
    DIFFERENCE = 1
    USAGE = 2
    DATA = 3
    COMPILE = 4
    INTERRUPTED = 130
    PIPE = 141


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Whoever reads stdout has seen enough: leave with the shell's code for that, not with 1, which says that engines differ."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(Exit.PIPE)


if os.environ.get("COLUMNS", "").isdigit() and int(os.environ["COLUMNS"]) < WIDTH_LEAST:
    del os.environ["COLUMNS"]  # Typer, too, reads it: 0 is what a terminal says that does not know, and nothing fits into 1
out: Final = _Stdout(highlight=False, markup=False)  # brackets in labels, symbols and paths are brackets
err: Final = Console(stderr=True, highlight=False, markup=False)


EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 engines differ, or something in Tapeline is broken; 2 usage, settings, or output that cannot be written; 3 input "
    "that cannot be read (what came before is saved); 4 the strategy does not compile, or raised an error; 130 interrupted, "
    "141 nobody reads the output any more (in both cases what was recorded is saved)."
)


@contextlib.contextmanager
def reporting(*, with_traceback: bool) -> Iterator[None]:
    """Turn what is raised inside into a message on stderr and the exit code for it, and warnings into lines there."""
    told = set[str]()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # `__main__`: from here on an interruption is told
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told:  # data is opened more than once
            told.add(str(message))
            err.print(f"warning: {message}", style="yellow", soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = tell
        try:
            yield
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # whoever reads stdout has seen enough
            out.on_broken_pipe()
        except KeyboardInterrupt as interrupt:
            err.print(f"{place(interrupt)}interrupted", soft_wrap=True)
            raise typer.Exit(Exit.INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - the last place where anything can be said about it
            fail(error, with_traceback=with_traceback)


def fail(error: Exception, *, with_traceback: bool = False) -> None:
    """Say what went wrong, and leave with the code for it."""
    if with_traceback:
        error.__suppress_context__ = False  # all that is known
        traceback.print_exception(error)
    expected = isinstance(error, errors.TapelineError | OSError)
    err.print("error:", style="bold red", end=" ")
    err.print(_words(error) if expected else f"{place(error)}{type(error).__name__}: {error}", soft_wrap=True)
    notes = getattr(error, "__notes__", ())
    for note in notes:
        err.print(note, soft_wrap=True)
    if not (with_traceback or expected or notes):  # which say what shows where
        err.print("(--traceback shows where)")
    raise typer.Exit(exit_code(error))


def _words(error: Exception) -> str:
    """What an error of ours, or the system's about a file, says."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def place(error: BaseException) -> str:
    """`file:line: ` of the last line of a traceback that is in no library: the strategy's, where plain Python ran it."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename and not _is_ours(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _is_ours(file: str) -> bool:
    """Whether a file is this package's, Python's, or none."""
    here, python = Path(__file__).parent, Path(traceback.__file__).parent
    path = Path(file)
    return not path.is_file() or path.is_relative_to(python) or (path.is_relative_to(here) and not path.is_relative_to(here / "examples"))


def exit_code(error: Exception) -> Exit:
    """The exit code of an error. What is no error of ours was raised by the strategy."""
    match error:
        case errors.DataError():
            return Exit.DATA
        case errors.CompileError():
            return Exit.COMPILE
        case errors.InvariantError():
            return Exit.DIFFERENCE
        case errors.TapelineError() | OSError():
            return Exit.USAGE
        case _:
            return Exit.COMPILE


@contextlib.contextmanager
def told_of_compiling() -> Iterator[None]:
    """Say that compiling is what takes so long, when the first kernel is compiled that is not kept on disk."""
    from numba.core import event  # noqa: PLC0415 - for those who compile

    class Compiling(event.Listener):  # type: ignore[misc]  # Numba has no types
        said = False

        def on_start(self, _: object) -> None:
            if not self.said:
                self.said = True
                err.print(_words_for_compiling())

        def on_end(self, _: object) -> None:
            """Nothing: the next line is the command's."""

    with event.install_listener("numba:compile", Compiling()):
        yield


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[["backtest.Progress"], None]]:
    """Give a function that shows a run's progress: a bar where stderr is a terminal, otherwise only the line that says it compiles."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task(label, total=None, rate="")
    said: list[bool] = []

    def show(progress: "backtest.Progress") -> None:
        if progress.compiling:
            if not said:
                said.append(True)
                err.print(_words_for_compiling())
            return
        rate = f"{progress.records:,} records, {progress.records / progress.seconds / 1e6:.1f} M/s" if progress.seconds > 0 else ""
        bar.update(task, completed=progress.bytes_done, total=progress.bytes_total, rate=rate)

    with bar:
        yield show


def _words_for_compiling() -> str:
    from tapeline import jit  # noqa: PLC0415 - imports the compiler, which is there when this is asked for

    return jit.words_for_compiling()


def print_json(value: Any) -> None:
    """One JSON document on stdout, if that is open."""
    if sys.stdout is None:
        return
    json.dump(value, sys.stdout, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()  # here, where somebody looks whether anybody still reads
