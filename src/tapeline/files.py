"""Files that are written whole, or not at all; and those that come with the package."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tapeline.errors import ConfigError

_NAME_BYTES: Final = 200
_TEXT_BYTES_MAX: Final = 1 << 24
_HERE: Final = -100
"""Linux's AT_FDCWD: paths are from the working directory on, as usual."""
_EXCHANGE: Final = 2
"""Linux's RENAME_EXCHANGE."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at `path`: it gets that name when all went well, and vanishes when not, so that what was there before stays.

    Directories on the way are made; what a link points to is replaced, and not the link; a device or a pipe is written to as it is.
    Raises ConfigError where the disk takes no more, or nobody may write there.
    """
    hidden = None
    try:
        target = resolved(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = _hidden(target) if target.is_file() or not target.exists() else None
        yield hidden or target
        if hidden:
            hidden.replace(target)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {why(error)}") from error
    finally:
        if hidden:
            with contextlib.suppress(OSError):
                hidden.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Let two files or directories change places, in one step. False where they cannot: one is not there, or the file system knows no such step."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # which Python lacks
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def path_of(path: object, setting: str) -> Path:
    """What a user gives as the path of a file. Raises ConfigError, naming `setting`, for what is none."""
    if isinstance(path, str | os.PathLike) and "\0" not in str(path):
        return Path(path)
    raise ConfigError(f"{setting}={path!r}: expected the path of a file")


def small_text(path: Path) -> str:
    """The text of a file that people or `--json` write. Raises ValueError where it is none, or one without end, such as /dev/zero; and OSError."""
    with path.open("rb") as file:
        content = file.read(_TEXT_BYTES_MAX + 1)
    if len(content) > _TEXT_BYTES_MAX:
        raise ValueError(f"it has more than {_TEXT_BYTES_MAX:,} bytes")
    return content.decode()


def why(error: Exception) -> str:
    """What the system says of a file that cannot be written, by itself or through Polars, without the hidden name that the file was to have until then."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).rpartition("IO error: ")[2]
    return said.partition(" (os error")[0]


def absent(path: Path) -> str:
    """What to say of a file that is not there. A shell makes names of a pattern; Python does not."""
    hint = f": a pattern is not expanded here; give sorted(Path({str(path.parent)!r}).glob({path.name!r}))" if set("*?[") & set(path.name) else ""
    return f"{path}: no such file{hint}"


def resolved(path: Path) -> Path:
    """What a path leads to, be it there or not. Raises OSError, at links that lead in a circle, too."""
    try:
        return path.resolve(strict=True)  # from Python 3.13 on, circles are told only so
    except FileNotFoundError:
        return path.resolve()
    except (RuntimeError, ValueError) as error:  # older Pythons' words for a circle, and for a name with a zero in it
        raise OSError(str(error)) from error


def end_of(path: Path) -> Path:
    """What a path leads to, or, of links in a circle, itself: whoever opens it will say so."""
    try:
        return resolved(path)
    except OSError:
        return path.absolute()


def _hidden(target: Path) -> Path:
    """The name beside a file that it has until it is complete, which no other thread writes to: of its own, as long as names may be, the first bytes."""
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    return target.with_name(f".{name}.{os.getpid()}-{threading.get_native_id()}.partial")


def shipped(name: str) -> Path:
    """A file that comes with the package, such as `examples/ofi_taker.py`: inside it where it is installed, at the top of a checkout. Raises ConfigError."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parents[1]):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{name} is not installed; install Tapeline again")
