"""Strategy: the base of users' classes. docs/ARCHITECTURE.md has the contract of the callbacks."""

import inspect
from typing import Any, ClassVar

from tapeline.errors import ConfigError
from tapeline.record import Record, float64, uint64


class Strategy(Record):
    """A trading strategy: annotated fields with a default are its parameters, those without are its state, and `on_…` methods are called as its market goes on.

    Class attributes say what it looks at, and what nobody looks at is not computed:
    `depth` (levels per side; 1 is the BBO), `features` (members of `tl.Feature`), `signals` (names of series that `self.signal(k, value)` writes to).
    `wake_depth`: a change of the so many best levels calls `on_book`, and nothing else of what is looked at does; by default any change of it.
    """

    depth: ClassVar[int] = 1
    features: ClassVar[tuple[int, ...]] = ()
    signals: ClassVar[tuple[str, ...]] = ()
    wake_depth: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        """Add the hidden fields of signals. Raises ConfigError where `depth` or `wake_depth` make no sense."""
        if not isinstance(cls.depth, int) or cls.depth < 1:
            raise ConfigError(f"{cls.__name__}.depth = {cls.depth!r}: expected a number of levels, 1 or more")
        if cls.wake_depth is not None and not (isinstance(cls.wake_depth, int) and 1 <= cls.wake_depth <= cls.depth):
            raise ConfigError(f"{cls.__name__}.wake_depth = {cls.wake_depth!r}: expected a number of levels from 1 to depth = {cls.depth}, or None")
        hidden: dict[str, Any] = {"_signal_mask": uint64}
        if cls.signals:
            hidden["_signal_values"] = (float64, (len(cls.signals),))
        cls.__annotations__ = {**hidden, **inspect.get_annotations(cls)}
        super().__init_subclass__()

    def signal(self, index, value):
        """Record `value` for the `index`-th name in `signals`; the last one set in a callback is kept, at its local time."""
        self._signal_values[index] = value
        self._signal_mask |= uint64(1) << uint64(index)
