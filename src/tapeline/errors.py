"""Everything Tapeline raises on purpose. Each message names what is at fault and what to do."""

from typing import Any


class TapelineError(Exception):
    """Base of all errors of this package."""


class DataError(TapelineError):
    """Input that cannot be read or understood: names file, byte offset and record."""

    result: Any = None
    """What a run had recorded before, if one was under way."""


class ConfigError(TapelineError):
    """A setting that makes no sense, or is missing: names the setting."""


class CompileError(TapelineError):
    """A strategy that cannot be compiled: names the user's file, line and field.

    What Numba said of it is its `__context__`, which only `--traceback` shows: pages, of which this is the sense.
    """


class LimitError(TapelineError):
    """A capacity named in `Limits` was reached: names the setting."""


class InvariantError(TapelineError):
    """Something that must hold did not: a bug in Tapeline, please report it."""
