"""ITCH 5.0 as Nasdaq's specification has it, written message by message; and what a plain dict of orders makes of such a file."""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

BODIES = {
    "S": "c", "R": "8s2sIc13s", "H": "8s2s4s", "A": "QcI8sI", "F": "QcI8sI4s", "E": "QIQ", "C": "QIQcI", "X": "QI", "D": "Q", "U": "QQII", "P": "QcI8sIQ",
    "Q": "Q8sIQc", "B": "Q",
}  # fmt: skip


def message(kind: str, locate: int, now: int, *values: Any) -> bytes:
    """A message behind its length; text is filled up with spaces."""
    body = struct.pack(">cHH6s", kind.encode(), locate, 0, now.to_bytes(6, "big"))
    for code, value in zip(_codes(BODIES[kind]), values, strict=True):
        size = struct.calcsize(">" + code)
        body += value.encode().ljust(size) if isinstance(value, str) else struct.pack(">" + code, value)
    return len(body).to_bytes(2, "big") + body


def listed(locate: int, symbol: str, now: int = 0) -> bytes:
    """An instrument of the directory."""
    return message("R", locate, now, symbol, "Q", 100, "N", "")


def _codes(layout: str) -> list[str]:
    """Of `8scI` 8s, c and I."""
    codes, count = [], ""
    for letter in layout:
        if letter.isdigit():
            count += letter
        else:
            codes.append(count + letter)
            count = ""
    return codes


class Told(NamedTuple):
    """A message of a file, unpacked."""

    kind: str
    locate: int
    now: int
    values: tuple[Any, ...]


def told(content: bytes) -> Iterator[Told]:
    """The messages of a file, of the types above."""
    place = 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 2], "big")
        body = content[place + 2 : place + 2 + size]
        kind, locate, _, now = struct.unpack(">cHH6s", body[:11])
        values = struct.unpack(">" + BODIES[kind.decode()], body[11:])
        yield Told(kind.decode(), locate, int.from_bytes(now, "big"), values)
        place += 2 + size


class Books:
    """The orders of all instruments, in a dict, and the levels that they make."""

    def __init__(self) -> None:
        """Nothing rests."""
        self.orders: dict[int, tuple[int, str, int, int]] = {}
        """By reference: locate, side, price and size."""
        self.levels: dict[tuple[int, str], dict[int, tuple[int, int]]] = {}
        """By locate and side: size and number of orders, by price."""

    def take(self, one: Told) -> None:
        """Do what a message says."""
        reference, *rest = one.values
        if one.kind in "AF":
            side, size, _, price, *_ = rest
            self.put(reference, (one.locate, side.decode(), price, size))
        elif one.kind in "ECXDU" and reference in self.orders:
            locate, side, price, size = order = self.orders.pop(reference)
            self.count(order, -1)
            if one.kind == "U":
                new, size, price = rest
                self.put(new, (locate, side, price, size))
            elif one.kind != "D" and size > rest[0]:
                self.put(reference, (locate, side, price, size - rest[0]))

    def put(self, reference: int, order: tuple[int, str, int, int]) -> None:
        """An order rests."""
        self.orders[reference] = order
        self.count(order, 1)

    def count(self, order: tuple[int, str, int, int], sign: int) -> None:
        """An order is one of its level, or no more."""
        locate, side, price, size = order
        levels = self.levels.setdefault((locate, side), {})
        before = levels.pop(price, (0, 0))
        if before[1] + sign:
            levels[price] = before[0] + sign * size, before[1] + sign

    def shown(self, locate: int, depth: int) -> list[list[tuple[int, int, int]]]:
        """Price, size and count of the best levels of bids and asks."""
        sides = [self.levels.get((locate, side), {}) for side in "BS"]
        return [[(price * 100_000, *levels[price]) for price in sorted(levels, reverse=levels is sides[0])[:depth]] for levels in sides]
