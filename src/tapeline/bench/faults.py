"""Five faults of an engine of the old kind, each beside what Tapeline does instead: the same work, the same results, one difference.

They share one small engine: records go into sizes per level, the touch into a snapshot, that into eight features, those into four strategies that write orders.
`before` clones a message object per record, keeps snapshots behind a read-write lock, features in a map with string keys, and allocates lists of outputs;
`after` takes views, a sequence lock, an indexed row, and preallocated batches.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.typed import Dict

from tapeline.jit import JIT, counting, entry, leaf
from tapeline.memory import compiled_as, load_u64, record_at, view
from tapeline.record import Record, int64
from tapeline.tape.records import ASK, MBO_RECORD, A

LEVELS = np.int64(4096)
WORDS = np.int64(16)
"""Of a snapshot."""
FEATURES = np.int64(8)
STRATEGIES = np.int64(4)
NO_SIGNAL = -1e300

if JIT:
    lock_to_write = types.ExternalFunction("pthread_rwlock_wrlock", types.int32(types.int64))
    lock_to_read = types.ExternalFunction("pthread_rwlock_rdlock", types.int32(types.int64))
    unlock = types.ExternalFunction("pthread_rwlock_unlock", types.int32(types.int64))
    _I64 = ir.IntType(64)


def _fence(_context: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("acq_rel")
        return context.get_dummy_value()

    return types.void(), codegen


def _load(_context: Any, _address: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), codegen


def _store(_context: Any, _address: Any, _value: Any) -> Any:
    def codegen(context: Any, builder: Any, _s: Any, args: Any) -> Any:
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@compiled_as(_fence)
def fence() -> None:
    """What stands before it happens before what stands after it."""


@compiled_as(_load)
def load(address: int) -> int:
    """An atomic load."""
    return int(np.int64(load_u64(address)))


@compiled_as(_store)
def store(address: int, value: int) -> None:
    """An atomic store."""
    view(address, 1, np.int64)[0] = value


class Shared(Record):
    """A snapshot that several threads look at: sequence number or lock, then words that belong together."""

    stop: int64
    sequence: int64
    lock: (int64, (8,))  # type: ignore[syntax]  # pthread_rwlock_t has 56 bytes, 0 at the start
    words: (int64, (16,))  # type: ignore[syntax]


class Out(Record):
    """One order that a strategy wants."""

    price: int64
    size: int64


SHARED, OUT = Shared.dtype_, Out.dtype_
SEQUENCE = np.int64(SHARED.fields["sequence"][1])
LOCK = np.int64(SHARED.fields["lock"][1])
SNAPSHOT = np.int64(SHARED.fields["words"][1])


@leaf
def update(record, sizes):
    """A record into the size of its level; what that is now."""
    place = (record.price // 250_000_000) & (LEVELS - 1)
    place += LEVELS if record.side == ASK else 0
    sizes[place] += np.int64(record.size) if record.action == A else -(np.int64(record.size) >> 1)
    return sizes[place]


@leaf
def write_words(shared, number):
    """Write a snapshot: words that all follow from its number, so that a torn one can be told."""
    words = view(shared + SNAPSHOT, WORDS, np.int64)
    for i in range(WORDS):
        words[i] = number + i


@leaf
def copy_words(shared, into):
    """Copy a snapshot; whether its words do not belong together."""
    words = view(shared + SNAPSHOT, WORDS, np.int64)
    for i in range(WORDS):
        into[i] = words[i]
    torn = False
    for i in range(WORDS):
        torn |= into[i] != into[0] + i
    return torn


@counting
def clone(address, i, stride):
    """Before: a record as a message object of its own."""
    message = np.empty(1, MBO_RECORD)
    message[0] = record_at(address + i * stride, 0, MBO_RECORD)
    return message


@leaf
def publish_locked(shared, number):
    """Before: a snapshot behind a read-write lock."""
    lock_to_write(shared + LOCK)
    write_words(shared, number)
    unlock(shared + LOCK)


@leaf
def publish_numbered(shared, number):
    """After: by a sequence number, odd while it is written."""
    sequence = load(shared + SEQUENCE)
    store(shared + SEQUENCE, sequence + 1)
    fence()
    write_words(shared, number)
    store(shared + SEQUENCE, sequence + 2)


@leaf
def feature(k, level, size):
    """Some number of the kind that features are."""
    return (np.float64(size) + 1.0) / (np.float64(level) + np.float64(k) + 2.0)


@counting
def put_named(features, level, size):
    """Before: eight features by name."""
    features["spread"] = feature(0, level, size)
    features["relative_spread"] = feature(1, level, size)
    features["mid"] = feature(2, level, size)
    features["microprice"] = feature(3, level, size)
    features["imbalance"] = feature(4, level, size)
    features["depth_bid"] = feature(5, level, size)
    features["depth_ask"] = feature(6, level, size)
    features["volatility"] = feature(7, level, size)


@leaf
def put_indexed(features, level, size):
    """After: by index."""
    for k in range(FEATURES):
        features[k] = feature(k, level, size)


@leaf
def decide(k, price, size):
    """Whether strategy `k` wants something."""
    return ((price >> 20) + size * (k + 3)) & 7 == 0


@counting
def answer_in_lists(price, size, signal):
    """Before: each of four strategies answers an event with lists made for it; what became of them."""
    total = np.int64(0)
    outputs = [(np.int64(0), np.int64(0)) for _ in range(0)]
    for k in range(STRATEGIES):
        signals = [signal]
        if decide(k, price, size) and signals[0] > NO_SIGNAL:
            outputs.append((price + k, size))
    for wanted, lots in outputs:
        total += wanted ^ lots
    return total


@leaf
def answer_in_batch(batch, held, price, size, signal):
    """After: they write into a batch that is there; how many it holds then."""
    for k in range(STRATEGIES):
        if decide(k, price, size) and signal > NO_SIGNAL:
            out = record_at(batch, held, OUT)
            out.price = price + k
            out.size = size
            held += 1
    return held


@leaf
def work_off(batch, n):
    """What becomes of a batch."""
    total = np.int64(0)
    for i in range(n):
        out = record_at(batch, i, OUT)
        total += out.price ^ out.size
    return total


# ---------------------------------------------------------------------- one difference each


@counting
def updates_before(address, n, stride, sizes):
    """Each record is cloned into a message object of its own."""
    total = np.int64(0)
    for i in range(n):
        total += update(clone(address, i, stride)[0], sizes)
    return total


@entry
def updates_after(address, n, stride, sizes):
    """Each record is looked at where it lies."""
    total = np.int64(0)
    for i in range(n):
        total += update(record_at(address + i * stride, 0, MBO_RECORD), sizes)
    return total


@entry
def publish_before(address, n, stride, sizes, shared):
    """Every eighth record is followed by a snapshot, behind a read-write lock."""
    total = np.int64(0)
    for i in range(n):
        total += update(record_at(address + i * stride, 0, MBO_RECORD), sizes)
        if i & 7 == 0:
            publish_locked(shared, i)
    return total


@entry
def publish_after(address, n, stride, sizes, shared):
    """By one with a sequence number."""
    total = np.int64(0)
    for i in range(n):
        total += update(record_at(address + i * stride, 0, MBO_RECORD), sizes)
        if i & 7 == 0:
            publish_numbered(shared, i)
    return total


@entry
def read_before(shared, into):
    """Read until told to stop; snapshots read, and torn ones."""
    n, torn = np.int64(0), np.int64(0)
    while load(shared) == 0:
        lock_to_read(shared + LOCK)
        torn += copy_words(shared, into)
        unlock(shared + LOCK)
        n += 1
    return n, torn


@entry
def read_after(shared, into):
    """The same; what was overwritten meanwhile does not count as read."""
    n, torn = np.int64(0), np.int64(0)
    while load(shared) == 0:
        sequence = load(shared + SEQUENCE)
        broken = copy_words(shared, into)
        fence()
        if sequence & 1 == 0 and load(shared + SEQUENCE) == sequence:
            torn += broken
            n += 1
    return n, torn


@counting
def new_map():
    """A map from names to values."""
    return Dict.empty(types.unicode_type, types.float64)


@counting
def features_before(address, n, stride, features):
    """Eight features by name."""
    total = 0.0
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        put_named(features, np.int64(record.sequence & 1023), np.int64(record.size))
        total += features["microprice"] - features["mid"]
    return total


@entry
def features_after(address, n, stride, features):
    """Eight features by index."""
    total = 0.0
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        put_indexed(features, np.int64(record.sequence & 1023), np.int64(record.size))
        total += features[3] - features[2]
    return total


@counting
def strategies_before(address, n, stride):
    """Four strategies that answer in lists."""
    total = np.int64(0)
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        total += answer_in_lists(record.price, np.int64(record.size), np.float64(record.size))
    return total


@entry
def strategies_after(address, n, stride, batch, capacity):
    """Four that write into a batch, which is worked off when it is full."""
    total, held = np.int64(0), np.int64(0)
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        held = answer_in_batch(batch, held, record.price, np.int64(record.size), np.float64(record.size))
        if held + STRATEGIES > capacity:
            total += work_off(batch, held)
            held = 0
    return total + work_off(batch, held)


# ---------------------------------------------------------------------- all at once


@counting
def pipeline_before(address, n, stride, sizes, shared, features):  # noqa: PLR0913, PLR0917 - everything at once is the point
    """All four faults in one loop."""
    total = np.int64(0)
    for i in range(n):
        message = clone(address, i, stride)
        record = message[0]
        size = update(record, sizes)
        publish_locked(shared, size)
        put_named(features, np.int64(record.sequence & 1023), size)
        total += answer_in_lists(record.price, size, features["microprice"])
    return total


@entry
def pipeline_after(address, n, stride, sizes, shared, features, batch, capacity):  # noqa: PLR0913, PLR0917 - same
    """None of them."""
    total, held = np.int64(0), np.int64(0)
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        size = update(record, sizes)
        publish_numbered(shared, size)
        put_indexed(features, np.int64(record.sequence & 1023), size)
        held = answer_in_batch(batch, held, record.price, size, features[3])
        if held + STRATEGIES > capacity:
            total += work_off(batch, held)
            held = 0
    return total + work_off(batch, held)
