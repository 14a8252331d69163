"""Strategy: the base of users' classes. docs/ARCHITECTURE.md has the contract of the callbacks."""

import inspect
from typing import Any, ClassVar

from tapeline.record import Record, float64, uint64


class Strategy(Record):
    """A trading strategy: annotated fields with a default are its parameters, those without are its state, and `on_…` methods are called as its market goes on.

    Class attributes say what it looks at, and what nobody looks at is not computed:
    `depth` (levels per side; 1 is the BBO), `features` (members of `tl.Feature`), `signals` (names of series that `self.signal(k, value)` writes to).
    """

    depth: ClassVar[int] = 1
    features: ClassVar[tuple[int, ...]] = ()
    signals: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Add the hidden fields of signals."""
        hidden: dict[str, Any] = {"_signal_mask": uint64}
        if cls.signals:
            hidden["_signal_values"] = (float64, (len(cls.signals),))
        cls.__annotations__ = {**hidden, **inspect.get_annotations(cls)}
        super().__init_subclass__()

    def signal(self, index, value):
        """Record `value` for the `index`-th name in `signals`; the last one set in a callback is kept, at its local time."""
        self._signal_values[index] = value
        self._signal_mask |= uint64(1) << uint64(index)
