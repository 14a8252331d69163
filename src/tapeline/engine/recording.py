"""The journals of a run: fills, orders, samples, signals, stops, steps. The Python side, which owns their memory."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tapeline import schema
from tapeline.config import Limits
from tapeline.errors import LimitError
from tapeline.pages import Growing

_JOURNALS: Final = {
    "fills": schema.FILLS,
    "orders": schema.ORDERS,
    "equity": schema.EQUITY,
    "signals": schema.SIGNALS,
    "stops": schema.STOPS,
    "steps": schema.STEPS,
}
_ROWS: Final = 4096


class Recording:
    """What a run records, and the room for more of it."""

    def __init__(self, engine: Any, limits: Limits) -> None:
        """Nothing yet, and no room."""
        self._engine, self._limits = engine, limits
        self._growing = {name: Growing(dtype) for name, dtype in _JOURNALS.items()}

    def grow(self, accounts: int, more: int = 0) -> None:
        """Room for what one delivery may record of so many accounts, or `more` rows, at least, and for many times what was recorded so far.

        Raises LimitError beyond Limits(journal_rows_max=…).
        """
        engine = self._engine
        of_deliveries = 2 * (accounts + int(engine.signals_per_callback)) + _ROWS
        for name, growing in self._growing.items():
            if name == "steps" and not engine.explains:
                continue
            spare = 4 * self.steps_at_once if name == "steps" else of_deliveries
            journal = getattr(engine, name)
            used = int(journal.n)
            if used + max(spare // 2, more) < int(journal.capacity):
                continue
            if used > self._limits.journal_rows_max:
                raise LimitError(f"more than Limits(journal_rows_max={self._limits.journal_rows_max}) {name} were recorded")
            try:
                growing.grow(min(4 * used, self._limits.journal_rows_max) + spare + more)
            except OSError:  # a system that promises no more memory than it has
                growing.grow(2 * used + spare + more)
            journal.rows, journal.capacity = growing.records.ctypes.data, len(growing.records)

    @property
    def steps_at_once(self) -> int:
        """So many steps of orders one event may bring."""
        return int(self._engine.shown_room) + int(self._engine.agenda.capacity)

    @property
    def lacks_steps(self) -> bool:
        """Whether there may be no room for them."""
        steps = self._engine.steps
        return bool(self._engine.explains) and int(steps.capacity) - int(steps.n) < self.steps_at_once

    @property
    def recorded(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was recorded so far, by name, with the rows' places among those of the engine."""
        return {name: growing.records[: int(getattr(self._engine, name).n)] for name, growing in self._growing.items()}

    def journals(self, order: Sequence[int]) -> dict[str, np.ndarray[Any, Any]]:
        """The same with the number of each row in the run, `order` by place."""
        out = self.recorded
        if list(order) != list(range(len(order))):
            numbers = np.array(order, np.int32)
            out = {name: rows.view(np.uint8).copy().view(rows.dtype) for name, rows in out.items()}  # by fields it takes thirteen times as long
            for rows in out.values():
                rows["row"] = numbers[rows["row"]]
        return out
