"""FIFO consistency against a plain count, and where it is told."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import invoke
from fifo_counts import count_fills
from streams import SNAPSHOT, Stream

from tapeline.check import check
from tapeline.constants import Kind, TapeFlag
from tapeline.fifo import FifoCount
from tapeline.inputs import open_input, reader_of, registry


def counted(path: Path) -> tuple[int, int]:
    """What FifoCount counts."""
    count = count_fills(path, tick_size="1")
    return count.fills, count.first


def tape_events(path: Path) -> Iterator[np.void]:
    """Those of a file."""
    source = open_input(path)
    known = registry(source, tick_size="1", multiplier=1.0)
    known.several = True
    reader = reader_of(source, known, lambda _: None)
    for n, _ in reader.chunks():
        yield from reader.events[:n].copy()


def plainly(path: Path) -> tuple[int, int]:
    """The same, event by event, with a dict of orders: a fill is first if all that was ahead of it was executed in full by the end of the event."""
    queue_of: dict[int, tuple[int, int, int]] = {}
    queues: dict[tuple[int, int, int], dict[int, int]] = {}
    executed: dict[int, dict[int, int]] = {}
    waiting: dict[int, list[list[tuple[int, int]]]] = {}
    fills = first = 0
    for e in tape_events(path):
        book, stamp, kind = int(e["instrument"]), int(e["priority"]), int(e["kind"])
        key = (book, int(e["side"]), int(e["level"]))
        done, pending = executed.setdefault(book, {}), waiting.setdefault(book, [])
        if kind == Kind.ADD:
            queues.setdefault(key, {})[stamp] = int(e["delta"])
            queue_of[stamp] = key
        elif kind == Kind.REMOVE and stamp in queue_of:
            queues[queue_of[stamp]][stamp] += int(e["delta"])
            if e["flags"] & TapeFlag.GONE:
                del queues[queue_of.pop(stamp)][stamp]
        elif kind == Kind.FILL and stamp in queue_of and not e["flags"] & TapeFlag.EXCESS:
            fills += 1
            pending.append([(s, size) for s, size in queues[queue_of[stamp]].items() if s < stamp])
            done[stamp] = done.get(stamp, 0) - int(e["delta"])
        elif kind == Kind.CLEAR:
            for stamp_ in [s for s, k in queue_of.items() if k[0] == book]:
                del queues[queue_of.pop(stamp_)][stamp_]
        if e["flags"] & TapeFlag.LAST:
            first += sum(all(done.get(s, 0) >= size for s, size in ahead) for ahead in pending)
            done.clear()
            pending.clear()
    return fills, first


def execute_some(stream: Stream, rng: np.random.Generator, book: int, ids: list[list]) -> None:
    """One event in which a few orders of a queue are executed in full, in any order; not always from the front."""
    side, price = ids[int(rng.integers(len(ids)))][1:3]
    queue = [order for order in ids if order[1:3] == [side, price]][: int(rng.integers(1, 4))]
    if rng.random() < 0.4:
        queue.reverse()
    if rng.random() < 0.3:
        queue = queue[:1]
    for order in queue:
        stream.record("F", order[0], side, price, order[3], instrument=book, last=False)
    for k, order in enumerate(queue):
        ids.remove(order)
        stream.cancel(order[0], order[3], instrument=book, last=k == len(queue) - 1)


def random_stream(seed: int, n: int = 3_000) -> Stream:
    """Orders at few prices, executed at the front, behind it and out of order, one or several to an event; partial cancels, modifies, snapshots, clears."""
    rng = np.random.default_rng(seed)
    stream, live, next_id = Stream(), {1: [], 2: []}, 1
    for _ in range(n):
        book = int(rng.integers(1, 3))
        ids, more = live[book], {"instrument": book, "last": bool(rng.random() < 0.6)}
        what = rng.random()
        if what < 0.004:
            stream.clear(instrument=book, flags=SNAPSHOT)
            for order_id, side, price, size in ids:
                stream.add(order_id, side, price, size, instrument=book, last=False, flags=SNAPSHOT)
        elif what < 0.5 or not ids:
            order = [next_id, "BA"[int(rng.integers(2))], int(rng.integers(1, 4)), int(rng.integers(1, 6))]
            next_id += 1
            ids.append(order)
            stream.add(*order, **more)
        elif what < 0.6:
            order = ids.pop(int(rng.integers(len(ids))))
            stream.cancel(order[0], order[3], **more)
        elif what < 0.7:
            order = ids[int(rng.integers(len(ids)))]
            order[2:] = int(rng.integers(1, 4)), int(rng.integers(1, 6))
            ids.append(ids.pop(ids.index(order)))
            stream.modify(*order, **more)
        else:
            execute_some(stream, rng, book, ids)
    return stream


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_the_plain_ones(tmp_path: Path, seed: int) -> None:
    """Fills at the front, behind it, and listed in any order within an event; partly executed orders, snapshots that bring old orders back, clears."""
    path = random_stream(seed).write(tmp_path / "random.dbn")
    fills, first = counted(path)
    assert (fills, first) == plainly(path)
    assert 0 < first < fills
    assert fills > 300


@pytest.mark.nojit
def test_counts_are_the_plain_ones_without_the_jit(tmp_path: Path) -> None:
    """The same kernels as plain Python."""
    path = random_stream(50, 300).write(tmp_path / "random.dbn")
    assert counted(path) == plainly(path)


def test_tables_grow(tmp_path: Path) -> None:
    """Thousands of orders at hundreds of levels: all tables grow, and the count stays right."""
    stream = Stream()
    for i in range(1, 20_001):
        stream.add(i, "B", 1 + i % 500, 2)
    for i in range(1, 20_001, 7):
        stream.execute(i, 2)
    path = stream.write(tmp_path / "large.dbn")
    assert counted(path) == plainly(path)


def test_counting_ends_when_it_has_enough(tmp_path: Path) -> None:
    """A count that is to have two fills takes no more chunks once it has them, and what it has is a count of what came before."""
    stream = Stream().add(1, "B", 100, 9).add(2, "B", 100, 9).add(3, "A", 102, 5)
    for order in (2, 1, 1, 1, 1):
        stream.execute(order, 1)
    events = np.array(list(tape_events(stream.write(tmp_path / "x.dbn"))))
    few, all_of_them = FifoCount(enough=2), FifoCount()
    seen = []
    for i in range(len(events)):
        few.take(events[i:].ctypes.data, 1, 1)
        all_of_them.take(events[i:].ctypes.data, 1, 1)
        seen.append((all_of_them.fills, all_of_them.first))
    assert all_of_them.fills == 5
    assert few.fills == 2
    assert (few.fills, few.first) in seen


def test_the_check_tells_it(tmp_path: Path) -> None:
    """Two of three fills hit the front: `tapeline check` says so in words, and as numbers."""
    stream = Stream().add(1, "B", 100, 5).add(2, "B", 100, 5).add(3, "A", 102, 5)
    stream.execute(1, 1).execute(2, 1).execute(3, 1)
    path = stream.write(tmp_path / "x.dbn")
    assert check([path], tick_size="1").to_dict()["fifo"] == {"fills": 3, "first": 2, "share": 2 / 3}
    done = invoke("check", path, "--tick-size", "1")
    assert "executions of resting orders: 3, of which 66.7% hit the front of their queue" in done.output
