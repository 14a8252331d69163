"""Tape events in a temporary file: any of them is read at once, whatever they were read from, and none of them takes memory."""

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapeline.errors import DataError
from tapeline.schema import TAPE_EVENT

_LARGE: Final = Path("/var/tmp")  # noqa: S108 - only as the directory of a nameless file
"""Where large temporary files belong: /tmp is memory on many machines."""


class Spill:
    """A nameless file of tape events, which is gone with the process however that ends."""

    def __init__(self) -> None:
        """An empty file, in $TMPDIR if that is set."""
        directory = None if os.environ.get("TMPDIR") or not os.access(_LARGE, os.W_OK) else _LARGE
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - it lives as long as this object
        self.directory = Path(directory or tempfile.gettempdir())
        self.n = 0

    def append(self, events: np.ndarray[Any, Any]) -> None:
        """Add tape events. Raises DataError where there is no room for them."""
        data, done = events.tobytes(), 0
        try:
            while done < len(data):
                done += os.pwrite(self._file.fileno(), data[done:], self.n * TAPE_EVENT.itemsize + done)
        except OSError as error:
            size = (self.n + len(events)) * TAPE_EVENT.itemsize / 1e9
            raise DataError(f"{self.directory}: no room for {size:.1f} GB of tape events ({error.strerror}); set TMPDIR to a directory that has it") from error
        self.n += len(events)

    def read(self, first: int, n: int) -> np.ndarray[Any, Any]:
        """Up to `n` tape events from number `first` on."""
        n = max(min(n, self.n - first), 0)
        data = os.pread(self._file.fileno(), n * TAPE_EVENT.itemsize, first * TAPE_EVENT.itemsize)
        return np.frombuffer(data, TAPE_EVENT)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
