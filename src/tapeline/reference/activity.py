"""The features of what happened in a book, and when; formulas and units: docs/ARCHITECTURE.md."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tapeline.constants import UNDEFINED_PRICE, Feature, Kind, Side, TapeFlag
from tapeline.reference.tape import TapeEvent

SECOND: Final = 1_000_000_000
NAN: Final = math.nan
STEPS: Final = 10
"""A return looks back over so many steps of its own grid of times."""
HORIZONS: Final = (SECOND // 10, SECOND, 10 * SECOND)
VOLATILITY_STEP: Final = SECOND
VOLATILITY_STEPS: Final = 60


class Samples:
    """The mid as it was at the last multiples of a step of time: entry k is that of the k-th multiple back."""

    def __init__(self, step: int, n: int) -> None:
        """Nothing is known of the times before."""
        self._step = step
        self._n = n
        self._number: int | None = None
        self.mids = [NAN] * n

    def advance(self, now: int, before: float) -> bool:
        """Time goes on to `now`; `before` is the mid that held until then. Whether a multiple was passed."""
        number = now // self._step
        passed = 0 if self._number is None else number - self._number
        self._number = number
        if passed > 0:
            self.mids = ([before] * min(passed, self._n) + self.mids)[: self._n]
        return passed > 0


class Activity:
    """What happened, event by event."""

    def __init__(self) -> None:
        """Before the first event."""
        self._now: int | None = None
        self._counts = dict.fromkeys(
            (Feature.EVENT_RATE, Feature.ADD_RATE, Feature.CANCEL_RATE, Feature.TRADE_RATE, Feature.VOLUME_RATE, Feature.TRADE_FLOW), 0
        )
        self._decayed = dict.fromkeys(self._counts, 0.0)
        self._executed = 0
        """Lots that FILLs of this event took, and no REMOVE has taken away yet."""
        self._notional, self._volume = 0.0, 0
        self._trade_time: int | None = None
        self._trade_size = NAN
        self._best: list[int | None] = [None, None]
        self._best_since = [0, 0]
        self._mid = NAN
        self._returns = [Samples(horizon // STEPS, STEPS + 1) for horizon in HORIZONS]
        self._sampled = Samples(VOLATILITY_STEP, VOLATILITY_STEPS + 1)
        self._volatility = NAN
        self.values = self._values([None, None], NAN)

    def note(self, event: TapeEvent) -> None:
        """Count what a tape event does."""
        if event.kind == Kind.ADD and not event.flags & TapeFlag.MODIFIED:
            self._counts[Feature.ADD_RATE] += 1
        elif event.kind == Kind.FILL and not event.flags & TapeFlag.EXCESS:
            self._executed += event.size
        elif event.kind == Kind.REMOVE and not event.flags & TapeFlag.MODIFIED:
            self._counts[Feature.CANCEL_RATE] += self._executed == 0
            self._executed = max(self._executed - event.size, 0)
        elif event.kind == Kind.TRADE:
            self._counts[Feature.TRADE_RATE] += 1
            self._counts[Feature.VOLUME_RATE] += event.size
            self._counts[Feature.TRADE_FLOW] += {Side.BID: event.size, Side.ASK: -event.size}.get(Side(event.side), 0)
            self._trade_size = float(event.size)
            if event.priority != UNDEFINED_PRICE:
                self._notional += float(event.priority) * float(event.size)
                self._volume += event.size

    def update(self, event: TapeEvent, best: list[int | None], mid: float) -> None:
        """The end of an event: its time, the best levels and the mid that it left."""
        before = self._now
        now = self._now = event.ts_event if before is None else max(before, event.ts_event)
        self._counts[Feature.EVENT_RATE] += 1
        factor = 1.0 if before is None else math.exp(float(before - now) / 1e9)
        self._decayed = {which: self._decayed[which] * factor + float(n) for which, n in self._counts.items()}
        if self._counts[Feature.TRADE_RATE]:
            self._trade_time = now
        self._counts = dict.fromkeys(self._counts, 0)
        self._executed = 0
        for side in range(2):
            if best[side] != self._best[side]:
                self._best_since[side] = now
        self._best = best
        for samples in self._returns:
            samples.advance(now, self._mid)
        if self._sampled.advance(now, self._mid):
            self._volatility = realised(self._sampled.mids)
        self._mid = mid
        self.values = self._values(best, mid)

    def _values(self, best: list[int | None], mid: float) -> list[float]:
        """From EVENT_RATE on, in the order of `Feature`."""
        now = self._now or 0
        flow, volume = self._decayed[Feature.TRADE_FLOW], self._decayed[Feature.VOLUME_RATE]
        return [
            *self._decayed.values(),
            flow / volume if volume > 0 else NAN,
            self._notional / (float(self._volume) * 1e9) if self._volume else NAN,
            NAN if self._trade_time is None else float(now - self._trade_time) / 1e9,
            self._trade_size,
            *(NAN if best[side] is None else float(now - self._best_since[side]) / 1e9 for side in range(2)),
            *(change(mid, samples.mids[-1]) for samples in self._returns),
            self._volatility,
        ]


def change(now: float, then: float) -> float:
    """Relative change; NaN if either is not known, or where it started from 0."""
    return now / then - 1.0 if then != 0 else NAN


def realised(mids: Sequence[float]) -> float:
    """Root of the sum of squared differences of samples, newest first; those with a missing end do not count, NaN if none is left."""
    total, n = 0.0, 0
    for now, then in pairwise(mids):
        difference = now - then
        if not math.isnan(difference):
            total += difference * difference
            n += 1
    return math.sqrt(total) if n else NAN
