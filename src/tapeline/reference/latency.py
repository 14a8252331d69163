"""Rule 8: how long requests and answers are on their way, and what the exchange's gateway lets pass."""

import bisect
import contextlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from tapeline.config import UNLIMITED, Latency
from tapeline.delays import DELAY_MAX_NS, Delay, least_ns
from tapeline.reference.messages import Ask
from tapeline.reference.schedule import Clock

U64: Final = 2**64 - 1
GOLDEN: Final = 0x9E3779B97F4A7C15
"""2⁶⁴ / golden ratio: the step of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014)."""
EXPONENT_MAX: Final = 100.0
"""exp() of more is cut off in any case, and might overflow."""
OUT, BACK = 0, 1
"""Requests and answers draw apart."""


def mix(x: int) -> int:
    """The finaliser of splitmix64: every bit of the answer depends on every bit of x."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & U64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & U64
    return x ^ (x >> 31)


class Draws:
    """Random numbers that belong to one message of one row: they depend on nothing else."""

    def __init__(self, seed: int, row: int, way: int, number: int) -> None:
        """`way`: OUT or BACK; `number`: of the message, in the order of the row's."""
        self._state = mix(mix(mix((seed + GOLDEN) & U64) ^ row) ^ (2 * number + way))

    def uniform(self) -> float:
        """Between 0 and 1, without both."""
        self._state = (self._state + GOLDEN) & U64
        return ((mix(self._state) >> 12) + 0.5) * 2.0**-52

    def normal(self) -> float:
        """Standard normal (Box and Muller 1958)."""
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def gamma(self, shape: float) -> float:
        """Of scale 1 (Marsaglia and Tsang 2000); below shape 1 from shape + 1, times U^(1/shape)."""
        boost = math.exp(math.log(self.uniform()) / shape) if shape < 1.0 else 1.0
        d = (shape + 1.0 if shape < 1.0 else shape) - 1.0 / 3.0
        c = 1.0 / math.sqrt(9.0 * d)
        while True:
            z = self.normal()
            root = 1.0 + c * z
            if root > 0.0:
                v = root * root * root
                if math.log(self.uniform()) < 0.5 * z * z + d - d * v + d * math.log(v):
                    return boost * d * v


class Connection:
    """A row's line to the exchange and back."""

    def __init__(self, row: int, latency: Latency, clock: Clock) -> None:
        """`row`: its place in the run."""
        self._row = row
        self._clock = clock
        entry, modify, cancel, self._response = latency.legs
        self._ways = {Ask.NEW: entry, Ask.MODIFY: modify, Ask.CANCEL: cancel, Ask.CANCEL_ALL: cancel}
        self._latency = latency
        self._passed: deque[int] = deque(maxlen=latency.messages_max if latency.messages_max < UNLIMITED else 1)
        """When the gateway let the latest requests pass."""
        self._requests = 0
        self._answers = 0
        self._arrival_previous = 0
        self._response_previous = 0

    def arrival(self, ask: Ask, now: int, *, is_exempt: bool) -> tuple[int, bool]:
        """When a request sent now reaches the exchange, never before the one sent before; and whether its gateway refuses it there.

        `is_exempt`: the gateway's limit is not for it.
        """
        self._requests += 1
        arrival = max(now + self._delay_ns(self._ways[ask], OUT, self._requests, now), self._arrival_previous)
        refused = False
        if not is_exempt and len(self._passed) == self._latency.messages_max:
            free = self._passed[0] + self._latency.messages_per_ns
            refused = self._latency.messages_excess == "reject" and arrival < free
            arrival = arrival if refused else max(arrival, free)
        if not refused and not is_exempt:
            self._passed.append(arrival)
        self._arrival_previous = arrival
        return arrival, refused

    def response(self, ts_event: int) -> int:
        """When an answer given at an exchange time reaches the row, never before the answer before."""
        self._answers += 1
        self._response_previous = max(ts_event + self._delay_ns(self._response, BACK, self._answers, ts_event), self._response_previous)
        return self._response_previous

    @contextlib.contextmanager
    def answering_late(self) -> Iterator[None]:
        """What is answered meanwhile, of a quiet book, does not wait for what other books answered before it for later times, if all answers take as long."""
        latest = self._response_previous
        if not isinstance(self._response, Delay):
            self._response_previous = 0
        yield
        self._response_previous = max(latest, self._response_previous)

    @property
    def response_least_ns(self) -> int:
        """No answer is faster."""
        return least_ns(self._response)

    def _delay_ns(self, delay: int | Delay, way: int, number: int, now: int) -> int:
        if not isinstance(delay, Delay):
            return delay
        if delay.points is not None:
            return interpolated(delay.points.times, delay.points.delays, now)
        if delay.model == "feed":
            return max(self._clock.feed_delay + delay.shift_ns, 0)
        draws = Draws(delay.seed, self._row, way, number)
        if delay.model == "log_normal":
            drawn = delay.scale_ns * math.exp(min(delay.shape * draws.normal(), EXPONENT_MAX))
        else:
            drawn = delay.scale_ns * draws.gamma(delay.shape)
        return int(min(drawn, float(DELAY_MAX_NS))) + delay.shift_ns


def interpolated(times: Sequence[int], delays: Sequence[int], now: int) -> int:
    """Linear between points, constant outside them."""
    i = bisect.bisect_right(times, now)
    if i in (0, len(times)):
        return delays[max(i - 1, 0)]
    share = float(now - times[i - 1]) / float(times[i] - times[i - 1])  # whole numbers of Python divide more exactly than float64
    return delays[i - 1] + math.floor(float(delays[i] - delays[i - 1]) * share)
