"""What a run records: fills and orders when the row learns of them, equity at multiples of an interval of local time, signals after each callback."""

from collections.abc import Sequence
from typing import Any, Final

from tapeline.constants import UNDEFINED_PRICE, Reason
from tapeline.reference.messages import FillReport
from tapeline.reference.row import Row
from tapeline.schema import Journals

SIGNAL_MASK: Final = "_signal_mask"
"""Where a strategy's `signal(k, value)` sets bit k."""
SIGNAL_VALUES: Final = "_signal_values"
"""Where it puts the value. A strategy that signals nothing need not have either."""

NO_SAMPLE: Final = (0, 0, UNDEFINED_PRICE, 0, 0, 0, 0, 0)
"""What the first sample of an account is compared with: no position, and no mid seen."""


class Journal:
    """The four journals; their tuples are in the order of the dtypes in `tapeline.schema`."""

    def __init__(self, rows: Sequence[Row], equity_every_ns: int) -> None:
        """Start empty."""
        self._rows = rows
        self._every = equity_every_ns
        self._sample_next: int | None = None
        self._last_samples: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._fills: list[tuple[Any, ...]] = []
        self._equity: list[tuple[Any, ...]] = []
        self._signals: list[tuple[Any, ...]] = []
        self._stops: list[tuple[Any, ...]] = []
        self.steps: list[tuple[Any, ...]] = []
        """What happened to the queues in front of orders."""

    def start(self, now: int) -> None:
        """The first sample is due at the first multiple of the interval."""
        self._sample_next = self._multiple_from(now)

    def before_delivery(self, now: int) -> None:
        """Sample what has changed since, as it was before a delivery that comes after the time of the next sample."""
        if self._sample_next is not None and now > self._sample_next:
            self.sample(self._sample_next)
            self._sample_next = self._multiple_from(now)

    def sample(self, ts: int, *, everything: bool = False) -> None:
        """Record the equity of every row and book that differs from its last sample; at the end, of all."""
        for row in self._rows:
            for index, account in enumerate(row.accounts):
                lots, notional = (account.maker_lots, account.taker_lots), (account.maker_notional, account.taker_notional)
                mark = account.mark if account.has_mark else UNDEFINED_PRICE
                sample = (account.position, account.cash_ticks, mark, *lots, *notional, account.cost_ticks)
                if everything or sample != self._last_samples.get((row.index, index), NO_SAMPLE):
                    self._last_samples[row.index, index] = sample
                    self._equity.append((ts, *sample, row.index, index))

    def fill(self, row: Row, fill: FillReport, now: int) -> None:
        """Record a fill that a row has just learned of."""
        what = (fill.order_id, fill.price, fill.size, fill.size_left, fill.market_size)
        self._fills.append((fill.ts_event, now, *what, row.index, fill.instrument, fill.side, fill.is_maker, fill.rule))

    def stop(self, row: Row, now: int, net: float, instrument: int) -> None:
        """Record that a row was stopped at a loss."""
        self._stops.append((now, net, float(row.venue.limits.loss_max), row.index, instrument, int(Reason.LOSS_LIMIT)))

    def signals(self, row: Row, now: int) -> None:
        """Record, and clear, what a callback has signalled."""
        mask = int(getattr(row.strategy, SIGNAL_MASK, 0))
        if mask:
            values = getattr(row.strategy, SIGNAL_VALUES)
            self._signals.extend((now, float(values[k]), row.index, k) for k in range(mask.bit_length()) if mask >> k & 1)
            setattr(row.strategy, SIGNAL_MASK, 0)

    def finish(self, counters: dict[str, int]) -> Journals:
        """All journals, ordered by (row, time, order of recording); orders by (row, id)."""
        return Journals(
            fills=sorted(self._fills, key=lambda fill: (fill[7], fill[1])),
            orders=[row.order_record(ticket) for row in self._rows for ticket in row.gateway.tickets.values()],
            equity=sorted(self._equity, key=lambda sample: (sample[9], sample[0])),
            signals=sorted(self._signals, key=lambda signal: (signal[2], signal[0])),
            counters=counters,
            stops=sorted(self._stops, key=lambda stop: stop[3]),
            steps=sorted(self.steps, key=lambda step: (step[5], step[1])),
        )

    def _multiple_from(self, ts: int) -> int:
        """The first multiple of the interval that is not before `ts`."""
        return -(-ts // self._every) * self._every
