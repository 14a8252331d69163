"""Timing: candidates in turn, so that what slows the machine slows all of them; medians, and ratios within a round."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FLOOR_SECONDS: Final = 0.2
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
    walls: list[float] = field(default_factory=list)
    """Seconds of the whole call: of a run with its frames, checks, and the digest of its input."""
    cpu: list[float] = field(default_factory=list)
    """Processor time over wall time: less than 1 where others had the core, more with threads."""
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
        numbers = {
            "cpu_share": statistics.median(self.cpu),
            "ns": self.ns,
            "whole_ns": statistics.median(self.walls) / self.n * 1e9,
            "per_second": self.per_second,
            "floor_multiple": self.floor_multiple,
            "spread": self.spread,
        }
        return {"name": self.name, "n": self.n, **{key: round(value, 4) for key, value in numbers.items()}, **self.extra}


def alternate(candidates: Mapping[str, tuple[Candidate, int]], floor: Callable[[], None], floor_n: int, rounds: int) -> dict[str, Timing]:
    """Run the candidates in turn, `rounds` times, each round in another order and with the floor measured before and after; a first round warms up."""
    timings = {name: Timing(name, n) for name, (_, n) in candidates.items()}
    timings["floor"] = Timing("floor", floor_n)
    for round_number in range(-1, rounds):
        names = list(candidates)
        shift = max(round_number, 0) % len(names)
        taken = {name: _time(candidates[name][0]) for name in names[shift:] + names[:shift]}
        taken["floor"] = _time_floor(floor)
        if round_number < 0:
            continue
        for name, (seconds, wall, cpu) in taken.items():
            timing = timings[name]
            timing.seconds.append(seconds)
            timing.walls.append(wall)
            timing.cpu.append(cpu)
            timing.ratios.append((seconds / timing.n) / (taken["floor"][0] / floor_n))
    return timings


def _time(candidate: Callable[[], float | None]) -> tuple[float, float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    own = candidate()
    wall = time.perf_counter() - start
    return wall if own is None else own, wall, (time.process_time() - cpu) / wall


def _time_floor(floor: Callable[[], None]) -> tuple[float, float, float]:
    """One pass, of as many as take FLOOR_SECONDS: a few milliseconds alone would pass between two turns of others on the core, and the candidates do not."""
    passes = 0
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < FLOOR_SECONDS:
        floor()
        passes += 1
    wall = time.perf_counter() - start
    return wall / passes, wall / passes, (time.process_time() - cpu) / wall
