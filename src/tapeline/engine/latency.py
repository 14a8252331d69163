"""Rule 8 where it is more than a constant: delays that are drawn, looked up or follow the feed's, and what the exchange's gateway lets pass.

`travel` is a unit of its own: runs with constant latencies neither call nor compile it.
"""

import math
from typing import Any, Final

import numpy as np

from tapeline.config import LEGS, UNLIMITED, Latency
from tapeline.delays import DELAY_MAX_NS, Delay
from tapeline.engine.lists import row_at
from tapeline.jit import kernel
from tapeline.market.book import count_until
from tapeline.memory import record_at, unit
from tapeline.record import Record, float64, int64, uint8, uint64
from tapeline.tape.records import COUNTER

RESPONSE_LEG: Final = LEGS.index("response")
CONSTANT, LOG_NORMAL, GAMMA, FEED, TABLE = range(5)
COUNTER_SIZE: Final = np.int64(COUNTER.itemsize)
MODELS: Final = {"log_normal": LOG_NORMAL, "gamma": GAMMA, "feed": FEED, "table": TABLE}
GOLDEN, SHIFT_30, SHIFT_27, SHIFT_31, SHIFT_12 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 30, 27, 31, 12))
FIRST_FACTOR, SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
EXPONENT_MAX: Final = 100.0
"""exp() of more is cut off in any case."""


class Way(Record):
    """One leg of a row's connection, as `Delay` describes it; the first of a row's also counts messages and holds what its gateway remembers."""

    scale: float64  # of a constant: nanoseconds
    shape: float64
    shift: int64
    seed: int64
    points: int64  # number of points
    times: int64  # addresses of them
    delays: int64
    state: uint64  # of the generator
    sent: int64  # messages so far: of the first leg all requests, of the response the answers
    key: int64  # the row's place in the run
    passed: int64  # address of the last times at which the gateway let something pass: a ring of `passed_max`
    passed_max: int64  # 0: no limit
    passed_n: int64
    passed_per: int64
    passed_rejects: uint8
    model: uint8


WAY: Final = Way.dtype_


@kernel
def mix(x):
    """The finaliser of splitmix64: every bit of the answer depends on every bit of x."""
    x = (x ^ (x >> SHIFT_30)) * FIRST_FACTOR
    x = (x ^ (x >> SHIFT_27)) * SECOND_FACTOR
    return x ^ (x >> SHIFT_31)


@kernel
def seed_draws(way, key, message):
    """Start the draws of one message of a row: `message` is twice its number, plus one for answers."""
    state = mix(np.uint64(way.seed) + GOLDEN)
    way.state = mix(mix(state ^ np.uint64(key)) ^ np.uint64(message))


@kernel
def uniform(way):
    """Between 0 and 1, without both."""
    way.state += GOLDEN
    return (np.float64(mix(way.state) >> SHIFT_12) + 0.5) * 2.0**-52


@kernel
def normal(way):
    """Standard normal (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(uniform(way)))
    return radius * math.cos(2.0 * math.pi * uniform(way))


@kernel
def gamma(way):
    """Of scale 1 (Marsaglia and Tsang 2000)."""
    shape = way.shape
    boost = math.exp(math.log(uniform(way)) / shape) if shape < 1.0 else 1.0
    d = (shape + 1.0 if shape < 1.0 else shape) - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        z = normal(way)
        root = 1.0 + c * z
        if root > 0.0:
            v = root * root * root
            if math.log(uniform(way)) < 0.5 * z * z + d - d * v + d * math.log(v):
                return boost * d * v


@kernel
def looked_up(way, now):
    """Linear between measured points, constant outside them."""
    low = count_until(way.times, way.points, COUNTER_SIZE, now)
    if low == 0 or low == way.points:
        return record_at(way.delays, max(low - 1, 0), COUNTER).n
    before, after = record_at(way.times, low - 1, COUNTER).n, record_at(way.times, low, COUNTER).n
    share = np.float64(now - before) / np.float64(after - before)
    first, second = record_at(way.delays, low - 1, COUNTER).n, record_at(way.delays, low, COUNTER).n
    return first + np.int64(math.floor(np.float64(second - first) * share))


@kernel
def delay_of(engine, way, key, message):
    """Nanoseconds on one leg, of a message that sets out at engine.travel_from."""
    if way.model == CONSTANT:
        return way.shift
    if way.model == FEED:
        return max(engine.feed_delay + way.shift, 0)
    if way.model == TABLE:
        return looked_up(way, engine.travel_from)
    seed_draws(way, key, message)
    drawn = way.scale * (math.exp(min(way.shape * normal(way), EXPONENT_MAX)) if way.model == LOG_NORMAL else gamma(way))
    return np.int64(min(drawn, np.float64(DELAY_MAX_NS))) + way.shift


@kernel
def pass_gateway(engine, gateway, arrival):
    """When a request that reaches the exchange's gateway at `arrival` passes it; engine.travel_refused, if it does not."""
    engine.travel_refused = 0
    if gateway.passed_max == 0 or engine.travel_exempt:
        return arrival
    slot = record_at(gateway.passed, gateway.passed_n % gateway.passed_max, COUNTER)
    if gateway.passed_n >= gateway.passed_max:
        free = slot.n + gateway.passed_per
        if gateway.passed_rejects and arrival < free:
            engine.travel_refused = 1
            return arrival
        arrival = max(arrival, free)
    slot.n = arrival
    gateway.passed_n += 1
    return arrival


@unit("travel")
def travel(engine):
    """When a message of engine.travel_row, on leg engine.travel_leg, that sets out at engine.travel_from is there."""
    row = row_at(engine, engine.travel_row)
    leg = engine.travel_leg
    way, first = record_at(row.ways, leg, WAY), record_at(row.ways, 0, WAY)
    is_answer = np.int64(leg == RESPONSE_LEG)
    counted = way if is_answer else first
    counted.sent += 1
    there = engine.travel_from + delay_of(engine, way, first.key, 2 * counted.sent + is_answer)
    if is_answer:
        return max(there, row.last_response)
    return pass_gateway(engine, first, max(there, row.last_arrival))


@kernel
def set_out(engine, row, leg, now):
    """When a message that sets out now is at the other end; for rows with ways."""
    engine.travel_row = row.index
    engine.travel_leg = leg
    engine.travel_from = now
    return travel(engine)


@kernel
def takes_constant_time(row):
    """Whether each answer to a row is as long on its way as the others."""
    return row.ways == 0 or record_at(row.ways, np.int64(RESPONSE_LEG), WAY).model == CONSTANT


@kernel
def response_time(engine, row, ts_event):
    """When an answer given at an exchange time reaches its row; answers of a row never overtake each other."""
    if row.ways != 0:
        return set_out(engine, row, np.int64(RESPONSE_LEG), ts_event)
    return max(row.last_response, ts_event + row.latency_response)


def new_ways(row: int, latency: Latency) -> tuple[Any, list[Any]]:
    """The legs of a row's connection (`row`: its place in the run), and the arrays they point to, for the owner to keep."""
    ways, kept = Way.array(len(LEGS)), []
    for way, leg in zip(ways, latency.legs, strict=True):
        if not isinstance(leg, Delay):
            way.shift = int(leg)
            continue
        way.model = MODELS[leg.model]
        way.scale, way.shape, way.shift, way.seed = leg.scale_ns, leg.shape, leg.shift_ns, leg.seed
        if leg.points is not None:
            times, delays = np.array(leg.points.times, np.int64), np.array(leg.points.delays, np.int64)
            kept += [times, delays]
            way.points, way.times, way.delays = len(times), times.ctypes.data, delays.ctypes.data
    gateway = ways[0]
    gateway.key = row
    if latency.messages_max < UNLIMITED:
        passed = np.zeros(latency.messages_max, np.int64)
        kept.append(passed)
        gateway.passed, gateway.passed_max, gateway.passed_per = passed.ctypes.data, len(passed), latency.messages_per_ns
        gateway.passed_rejects = latency.messages_excess == "reject"
    return ways, kept
