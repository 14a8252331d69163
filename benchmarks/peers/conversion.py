"""The same stream for those who do not read DBN: as hftbacktest's events and as ITCH 5.0 messages.

Both are exact: what a partial cancel leaves is written as such (hftbacktest has it as a modify, ITCH as an X), and an F of an order that does not rest, the
aggressor's own, is left out, because it says nothing about a book (and hftbacktest stops at it). One instrument.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from tapeline.constants import Action, Side

Array = np.ndarray[Any, Any]
DAY_NS: Final = 86_400_000_000_000
SYMBOL: Final = b"PEERS   "
LOCATE: Final = 1
EVENT: Final = np.dtype(
    [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")],
)
"""hftbacktest's event_dtype, 64 bytes."""
ADD, MODIFY = 10, 12
JOIN, LEAVE = frozenset({int(Action.ADD), int(Action.MODIFY)}), frozenset({int(Action.CANCEL), int(Action.FILL)})
BOOK: Final = JOIN | {int(Action.CANCEL)}
KINDS: Final = {Action.TRADE: 2, Action.CLEAR: 3, Action.CANCEL: 11, Action.FILL: 13}
SIDE_FLAGS: Final = {Side.BID: 1 << 29, Side.ASK: 1 << 28, Side.NONE: 0}


class Record(NamedTuple):
    """What is looked at of a DBN record, as Python's integers."""

    action: int
    order_id: int
    price: int
    size: int
    side: int
    flags: int
    ts_event: int
    ts_recv: int


class Order(NamedTuple):
    """A resting order."""

    price: int
    size: int
    side: int


class Step(NamedTuple):
    """One record, and what it does to the order that it names: before and after, None where it does not rest."""

    record: Record
    before: Order | None
    after: Order | None
    is_executed: bool
    """An F of the same event named the order: what the record takes away was traded."""

    @property
    def is_of_nothing(self) -> bool:
        """Whether it says nothing about a book: an N, or a cancel or fill of an order that does not rest."""
        return self.record.action == Action.NONE or (self.before is None and self.record.action in LEAVE)


def steps(stream: Array) -> Iterator[Step]:
    """Follow the orders of a stream, record by record."""
    live: dict[int, Order] = {}
    filled: set[int] = set()
    for record in map(Record._make, zip(*(stream[name].tolist() for name in Record._fields), strict=True)):
        action, order_id = record.action, record.order_id
        before = after = live.get(order_id)
        if action in JOIN:
            after = Order(record.price, record.size, record.side)
        elif action == Action.CANCEL and before is not None:
            left = before.size - record.size
            after = before._replace(size=left) if left > 0 else None
        elif action == Action.FILL:
            filled.add(order_id)
        yield Step(record, before, after, is_executed=order_id in filled)
        if action == Action.CLEAR:
            live.clear()
        elif after is not None:
            live[order_id] = after
        else:
            live.pop(order_id, None)
        if record.flags & 128:  # RecordFlag.LAST: an enum's own & takes ten times as long
            filled.clear()


def to_hftbacktest(stream: Array) -> Array:
    """Rows of EVENT, without the flags of the two clocks, which hftbacktest's own correct_event_order sets."""
    rows = []
    for record, before, after, _ in (step for step in steps(stream) if not step.is_of_nothing):
        price, size, side = record.price, record.size, record.side
        if record.action in JOIN:
            kind = ADD if before is None else MODIFY
        elif record.action == Action.CANCEL and after is not None:
            kind = MODIFY
            price, size, side = after
        else:
            kind = KINDS[record.action]
        sent = record.ts_recv if record.flags & 32 else record.ts_event  # RecordFlag.SNAPSHOT
        shown = 0.0 if record.action == Action.CLEAR else price / 1e9
        rows.append((kind | SIDE_FLAGS[side], sent, record.ts_recv, shown, size, record.order_id, 0, 0.0))
    return np.array(rows, EVENT)


def to_itch(stream: Array, midnight_ns: int) -> tuple[bytes, int]:
    """A file of ITCH 5.0 messages, each behind its length, and their number.

    ITCH's reference numbers are dense, and readers index by them, so orders are numbered anew. A modify that loses its place is a U, what keeps it an X; an
    F and the cancel or modify behind it are an E; a T, which moves no book, is a P. ITCH's clock ends at midnight: what is later has the day's last nanosecond.
    """
    messages = [_message(b"R", 0, (SYMBOL, b"", 100, b"N", b""), "8s2sIc13s")]
    references: dict[int, int] = {}
    now = 0
    for step in steps(stream):
        record, number = step.record, len(messages)
        action, order_id = record.action, record.order_id
        now = min(max(now, record.ts_event - midnight_ns), DAY_NS - 1)
        if action == Action.TRADE:
            messages.append(_message(b"P", now, (0, b"B", record.size, SYMBOL, _price(record.price), number), "QcI8sIQ"))
        elif action == Action.CLEAR:
            messages += [_message(b"D", now, (reference,), "Q") for reference in references.values()]
            references.clear()
        elif action in BOOK and not step.is_of_nothing:
            messages.append(_of_order(step, now, references.get(order_id, 0), number))
            if step.after is None:
                references.pop(order_id, None)
            elif messages[-1][2:3] in {b"A", b"U"}:
                references[order_id] = number
    return b"".join(messages), len(messages)


def _of_order(step: Step, now: int, reference: int, number: int) -> bytes:
    """What an ADD, MODIFY or CANCEL is. `reference`: the order's present one; `number`: its new one, if it gets any."""
    before, after = step.before, step.after
    if before is None:
        side = b"B" if after.side == Side.BID else b"S"
        return _message(b"A", now, (number, side, after.size, SYMBOL, _price(after.price)), "QcI8sI")
    if after is not None and (after.price != before.price or after.size >= before.size):
        return _message(b"U", now, (reference, number, after.size, _price(after.price)), "QQII")
    gone = before.size - (0 if after is None else after.size)
    if step.is_executed:
        return _message(b"E", now, (reference, gone, number), "QIQ")
    return _message(b"D", now, (reference,), "Q") if after is None else _message(b"X", now, (reference, gone), "QI")


def _message(kind: bytes, now: int, values: tuple[Any, ...], layout: str) -> bytes:
    body = struct.pack(">cHH6s" + layout, kind, LOCATE, 0, now.to_bytes(6, "big"), *values)
    return len(body).to_bytes(2, "big") + body


def _price(units: int) -> int:
    """1e-9 to ITCH's 1e-4."""
    price, rest = divmod(units, 100_000)
    if rest or not 0 < price < 1 << 32:
        raise ValueError(f"a price of {units / 1e9} cannot be said in ITCH")
    return price
