"""The five benchmarks of the first plan: each fault of an engine of the old kind before and after, with what was expected of mending it."""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tapeline.bench import faults, kernels
from tapeline.bench.streams import Stream
from tapeline.order_table import SLOT, Table
from tapeline.schema import MBO

CAPACITY: Final = 1024
"""Of a batch of outputs."""
LOOK_UPS: Final = 2_000


@dataclass(frozen=True)
class Pair:
    """One fault: what it is, what mending it was expected to give, and both ways to do the same work. `make` gives a fresh pair of workers."""

    name: str
    before: str
    after: str
    expected: str
    n: int
    make: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]
    readers: bool = False
    """Whether another thread reads the snapshots meanwhile."""


def pairs(stream: Stream, n: int) -> list[Pair]:
    """All of them, over the first `n` records of a stream."""
    n = min(n, stream.n)
    place, stride = stream.data.ctypes.data, MBO.itemsize
    batch = np.zeros(CAPACITY, faults.OUT)

    def sizes() -> Any:
        return np.zeros(2 * int(faults.LEVELS), np.int64)

    def updates() -> Any:
        a, b = sizes(), sizes()
        return lambda: faults.updates_before(place, n, stride, a), lambda: faults.updates_after(place, n, stride, b)

    def features() -> Any:
        names, row = faults.new_map(), np.zeros(int(faults.FEATURES))
        return lambda: faults.features_before(place, n, stride, names), lambda: faults.features_after(place, n, stride, row)

    def strategies() -> Any:
        return lambda: faults.strategies_before(place, n, stride), lambda: faults.strategies_after(place, n, stride, batch.ctypes.data, CAPACITY)

    def pipeline() -> Any:
        shared = [faults.Shared.array(1) for _ in range(2)]
        a, b, names, row = sizes(), sizes(), faults.new_map(), np.zeros(int(faults.FEATURES))
        return (
            lambda: faults.pipeline_before(place, n, stride, a, shared[0].ctypes.data, names),
            lambda: faults.pipeline_after(place, n, stride, b, shared[1].ctypes.data, row, batch.ctypes.data, CAPACITY),
        )

    return [
        Pair("market updates", "a message object cloned per record", "views", "50 M/s, 2-3 x", n, updates),
        Pair("market snapshots", "read-write lock", "sequence lock", "1.5-2 x", n, lambda: _snapshots(place, n, stride), readers=True),
        Pair("features", "map with string keys", "indexed row", "5-10 x", n, features),
        Pair("strategy processing", "lists allocated per event", "preallocated batches", "10-15 M/s", n, strategies),
        Pair("full pipeline", "all four", "none of them", "10 M/s at least, 15 wanted", n, pipeline),
        Pair("order lookup", "linear search", "order table", "constant time", LOOK_UPS, lambda: _look_ups(LOOK_UPS)),
    ]


def _snapshots(place: int, n: int, stride: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    def worker(publish: Any, read: Any) -> Callable[[], Any]:
        shared, sizes = faults.Shared.array(1), np.zeros(2 * int(faults.LEVELS), np.int64)
        shared["words"] = np.arange(int(faults.WORDS))
        address = shared.ctypes.data

        def work() -> Any:
            seen: list[tuple[int, int]] = []
            shared["stop"] = 0
            reader = threading.Thread(target=lambda: seen.append(read(address, np.zeros(int(faults.WORDS), np.int64))))
            reader.start()
            start = time.perf_counter()
            total = publish(place, n, stride, sizes, address)
            seconds = time.perf_counter() - start
            shared["stop"] = 1
            reader.join()
            if seen[0][1]:
                raise AssertionError(f"{seen[0][1]} torn snapshots were read")
            return total, seconds, seen[0][0]

        return work

    return worker(faults.publish_before, faults.read_before), worker(faults.publish_after, faults.read_after)


def _look_ups(n: int, live: int = 10_000) -> tuple[Callable[[], Any], Callable[[], Any]]:
    rng = np.random.default_rng(1)
    ids = rng.permutation(np.arange(1, live + 1, dtype=np.uint64) * np.uint64(977))
    wanted = rng.choice(ids, n)
    table = Table.array(1)[0]
    slots = np.zeros(4 * (1 << live.bit_length()), SLOT)
    table.lay(slots.ctypes.data, len(slots).bit_length() - 1)
    kernels.fill_table(table, ids.ctypes.data, live)

    def hashed() -> Any:
        table.slots = slots.ctypes.data  # named here, they live as long as this function
        return kernels.look_up_hashed(table, wanted.ctypes.data, n)

    return lambda: kernels.look_up_linear(ids.ctypes.data, live, wanted.ctypes.data, n), hashed


def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """Both in turn, `rounds` times after one to warm up: medians, and whether all results are equal."""
    workers = pair.make()
    taken: tuple[list[float], list[float]] = ([], [])
    reads: tuple[list[float], list[float]] = ([], [])
    is_equal = True
    for _ in range(rounds + 1):
        results = []
        for worker, seconds, seen in zip(workers, taken, reads, strict=True):
            start = time.perf_counter()
            result = worker()
            elapsed = time.perf_counter() - start
            if pair.readers:
                result, elapsed, n_read = result
                seen.append(n_read / elapsed)
            seconds.append(elapsed)
            results.append(result)
        is_equal &= results[0] == results[1]
    before, after = (statistics.median(seconds[1:]) / pair.n * 1e9 for seconds in taken)
    line = {"name": pair.name, "before": pair.before, "after": pair.after, "before_ns": round(before, 2), "after_ns": round(after, 2)}
    line |= {"after_per_second": round(1e9 / after), "times_faster": round(before / after, 2), "expected": pair.expected, "equal": is_equal}
    if pair.readers:
        line |= {"before_reads_per_second": round(statistics.median(reads[0][1:])), "after_reads_per_second": round(statistics.median(reads[1][1:]))}
    return line
