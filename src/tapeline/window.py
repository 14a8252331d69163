"""The window of a run: from when to when its strategies live."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tapeline.errors import ConfigError
from tapeline.heat import Time, to_ns


class Window(NamedTuple):
    """Nanoseconds; None: from the first event on, or to the end of the data."""

    start_ns: int | None = None
    end_ns: int | None = None

    @classmethod
    def of(cls, start: Time | None, end: Time | None) -> "Window":
        """Of two settings. Raises ConfigError, naming them, for what is no time, and for an end that is not after the start."""
        window = cls(*(None if time is None else to_ns(time, name) for name, time in (("start", start), ("end", end))))
        if window.start_ns is not None and window.end_ns is not None and window.start_ns >= window.end_ns:
            raise ConfigError(f"start={text(window.start_ns)}, end={text(window.end_ns)} (UTC): a run ends after it has started")
        return window

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "Window":
        """That of a run that was made before; of one that had none, it is open on both sides."""
        settings = manifest.get("settings", {})
        return cls(settings.get("start_ns"), settings.get("end_ns"))

    def is_empty_because(self, *, has_records: bool) -> str:
        """Why nothing was recorded; `has_records`: whether anything was read."""
        if self.end_ns is not None and not has_records:
            return f"end={text(self.end_ns)} (UTC): no record of the run's instruments is before it: nothing has happened in this run"
        until = "" if self.end_ns is None else f", and before end={text(self.end_ns)}"
        since = "" if self.start_ns is None else text(self.start_ns)
        return f"start={since} (UTC): no event of the run's instruments is at or after it{until}: nothing has happened in this run"

    def __str__(self) -> str:
        """As people read it; nothing, where it is open on both sides."""
        parts = (("from", self.start_ns), ("to", self.end_ns))
        times = " ".join(f"{word} {text(ns)}" for word, ns in parts if ns is not None)
        return f"{times} UTC" if times else ""


def text(ns: int) -> str:
    """A time, as exact as it has to be."""
    second, rest = divmod(ns, 10**9)
    return str(np.datetime64(second, "s")).replace("T", " ") + (f".{rest:09d}".rstrip("0") if rest else "")
