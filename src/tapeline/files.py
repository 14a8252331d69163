"""Files that are written whole, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tapeline.errors import ConfigError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at `path`: it gets that name when all went well, and vanishes when not, so that what was there before stays.

    Directories on the way are made; what a link points to is replaced, and not the link; a device or a pipe is written to as it is.
    Raises ConfigError where the disk takes no more, or nobody may write there.
    """
    target = path.resolve()
    is_file = target.is_file() or not target.exists()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial") if is_file else target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if is_file:
            partial.replace(target)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if is_file:
            with contextlib.suppress(OSError):
                partial.unlink()
