"""Timing: candidates in turn, so that what slows the machine slows all of them; medians, and ratios within a round."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Candidate = Callable[[], float | None]
"""Does its work once; gives the seconds that count, or None where all do."""


@dataclass
class Timing:
    """What one candidate took, round by round."""

    name: str
    n: int
    """Records, or whatever the work is counted in."""
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """To the floor of the same round, per record."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ns(self) -> float:
        """Median ns per record."""
        return statistics.median(self.seconds) / self.n * 1e9

    @property
    def per_second(self) -> float:
        """Records per second, of the median."""
        return 1e9 / self.ns

    @property
    def floor_multiple(self) -> float:
        """Median of the ratios to the floor."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """Half of the range of the middle ratios (all but the least and the greatest, if there are five or more), as a part of their median."""
        inner = sorted(self.ratios)[1:-1] if len(self.ratios) >= 5 else self.ratios
        return (max(inner) - min(inner)) / 2 / self.floor_multiple

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        numbers = {"ns": self.ns, "per_second": self.per_second, "floor_multiple": self.floor_multiple, "spread": self.spread}
        return {"name": self.name, "n": self.n, **{key: round(value, 4) for key, value in numbers.items()}, **self.extra}


def alternate(candidates: Mapping[str, tuple[Candidate, int]], floor: Callable[[], None], floor_n: int, rounds: int) -> dict[str, Timing]:
    """Run the candidates in turn, `rounds` times, each round in another order and with the floor measured before and after; a first round warms up."""
    timings = {name: Timing(name, n) for name, (_, n) in candidates.items()}
    timings["floor"] = Timing("floor", floor_n)
    for round_number in range(-1, rounds):
        names = list(candidates)
        shift = max(round_number, 0) % len(names)
        taken = {name: _time(candidates[name][0]) for name in names[shift:] + names[:shift]}
        floors = statistics.median(_time(floor) for _ in range(3))
        if round_number < 0:
            continue
        taken["floor"] = floors
        for name, seconds in taken.items():
            timing = timings[name]
            timing.seconds.append(seconds)
            timing.ratios.append((seconds / timing.n) / (floors / floor_n))
    return timings


def _time(candidate: Callable[[], float | None]) -> float:
    start = time.perf_counter()
    own = candidate()
    return time.perf_counter() - start if own is None else own
