"""A book that LOBSTER tells of in part: messages about the orders near the touch, and the levels there after each of them.

What the messages do not explain is made of orders that stand for others. Those of which a later message tells that they were there have its id, and stand in
order of ids, which are given out in order of arrival. What is left of a level are orders that nobody hears of again: one order of no known id, behind them.
Executions of GOOG's on 21 June 2012, whose files show five levels, hit the front of the queue that is made so in 99.9 % of cases.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tapeline.constants import Action, Side

UNKNOWN_IDS: Final = 1 << 63
"""Ids from here on are of orders that LOBSTER does not name."""
ADDED, REDUCED, DELETED, EXECUTED = 1, 2, 3, 4
"""LOBSTER's types of messages about orders that are seen."""
ORDERS: Final = frozenset((ADDED, REDUCED, DELETED, EXECUTED))
ADD, CANCEL, BID, ASK = int(Action.ADD), int(Action.CANCEL), int(Side.BID), int(Side.ASK)
"""As plain numbers: an enum's members take as long to look up as a dict's to find."""


class Message(NamedTuple):
    """A row of a message file; prices in 1e-4."""

    ts: int
    kind: int
    order_id: int
    size: int
    price: int
    side: int
    """Of the order; of an execution, of the one that was hit."""


class Change(NamedTuple):
    """What happens to an order that rests, or in the market, as a record says it."""

    action: int
    side: int
    order_id: int
    price: int
    size: int


Levels = tuple[list[int], list[int]]
"""What a book shows of a side: levels, of bids upside down, and their sizes, best first."""


class Later:
    """What the messages tell of orders before the books do."""

    def __init__(self, messages: Iterable[Message]) -> None:
        """Look at all of them once."""
        self._last: dict[int, int] = {}
        """By order id, the number of its last message, from 0."""
        self._unseen: dict[tuple[int, int], dict[int, int]] = {}
        """By place, sizes of orders that are never added, those that are heard of first before others."""
        self.newest = 0
        """No order has come yet whose id is greater: they are given out in order of arrival."""
        added: set[int] = set()
        for number, message in enumerate(messages):
            if message.kind not in ORDERS:
                continue
            self._last[message.order_id] = number
            if message.kind == ADDED:
                self.newest = self.newest or message.order_id
                added.add(message.order_id)
            elif message.order_id not in added:
                orders = self._unseen.setdefault((message.side, message.price), {})
                orders[message.order_id] = orders.get(message.order_id, 0) + message.size

    def tells_of(self, order_id: int, number: int) -> bool:
        """Whether a message after the first `number` is about an order."""
        return self._last.get(order_id, -1) >= number

    def take(self, side: int, price: int, size: int) -> list[tuple[int, int]]:
        """Ids and sizes, by id, of orders that may be at a place already, where nobody saw them come, and together have `size` at most."""
        orders = self._unseen.get((side, price), {})
        taken = []
        for order_id, own in list(orders.items()):
            if order_id <= self.newest and own <= size:
                taken.append((order_id, own))
                size -= own
                del orders[order_id]
        return sorted(taken)


class OneSide:
    """The orders of a side: levels best first, of bids upside down; each a queue of ids and sizes."""

    def __init__(self, side: int, later: Later, unknown: Iterator[int], depth: int) -> None:
        """Nothing rests. `depth`: how many levels the books show; `unknown` gives ids to orders that have none."""
        self.side = side
        self.depth = depth
        self._sign = -1 if side == BID else 1
        self._later = later
        self._unknown = unknown
        self.levels: list[int] = []
        self.sizes: dict[int, int] = {}
        self._before: Levels = ([], [])
        self._queues: dict[int, dict[int, int]] = {}

    def level_of(self, price: int) -> int:
        """The level of a price, and the price of a level."""
        return self._sign * price

    def add(self, order_id: int, price: int, size: int) -> Change:
        """An order comes, behind all at its price."""
        level = self.level_of(price)
        if order_id < UNKNOWN_IDS:
            self._later.newest = max(self._later.newest, order_id)
        if level not in self.sizes:
            insort(self.levels, level)
            self.sizes[level], self._queues[level] = 0, {}
        self._queues[level][order_id] = self._queues[level].get(order_id, 0) + size
        self.sizes[level] += size
        return Change(ADD, self.side, order_id, price, size)

    def has(self, order_id: int, price: int) -> bool:
        """Whether an order rests at a price."""
        return order_id in self._queues.get(self.level_of(price), ())

    def take(self, order_id: int, price: int, size: int) -> Change:
        """An order that rests there loses some of its size, or all."""
        level = self.level_of(price)
        queue = self._queues[level]
        size = min(size, queue[order_id])
        queue[order_id] -= size
        self.sizes[level] -= size
        if queue[order_id] == 0:
            del queue[order_id]
        if not queue:
            del self._queues[level], self.sizes[level], self.levels[bisect_left(self.levels, level)]
        return Change(CANCEL, self.side, order_id, price, size)

    def take_any(self, price: int, size: int, number: int) -> list[Change]:
        """Orders lose `size` together, as far as there is so much: those without a name first, then those of which no message after `number` tells."""
        queue = self._queues.get(self.level_of(price), {})
        changes = []
        for order_id in sorted(queue, key=lambda one: -1 if one >= UNKNOWN_IDS else int(self._later.tells_of(one, number))):
            if size == 0:
                break
            changes.append(self.take(order_id, price, size))
            size -= changes[-1].size
        return changes

    def settle(self, level: int, size: int, number: int) -> list[Change]:
        """A level has this size after `number` messages: orders that are heard of later are there, as far as they fit, and then those there were before."""
        price = self.level_of(level)
        heard = sum(own for one, own in self._queues.get(level, {}).items() if self._later.tells_of(one, number))
        changes = [self.add(order_id, price, own) for order_id, own in self._later.take(self.side, price, size - heard)]
        more = size - self.sizes.get(level, 0)
        if more > 0:
            changes.append(self.add(next(self._unknown), price, more))
        return changes + self.take_any(price, -more, number) if more < 0 else changes

    def follow(self, now: Levels, message: Message, number: int) -> list[Change]:
        """The book shows these levels after a message, the `number`-th, and what it did: what else has happened."""
        before, self._before = self._before, now
        is_told = message.side == self.side and message.kind in ORDERS
        if now == before and not is_told:
            return []
        (levels, sizes), changes = now, []
        if levels != before[0]:
            own = {self.level_of(message.price)} if is_told and message.kind == ADDED else set()
            for level in set(levels).difference(before[0], own):  # it has come into sight
                changes += self.settle(level, sizes[levels.index(level)], number)
        n, is_whole = len(levels), len(levels) < self.depth
        if self.levels[:n] == levels and [self.sizes[level] for level in levels] == sizes and not (is_whole and len(self.levels) > n):
            return changes
        seen = len(self.levels) if is_whole else bisect_left(self.levels, levels[-1])
        for level in set(self.levels[:seen]).difference(levels):  # it has gone while nobody saw it
            changes += self.settle(level, 0, number)
        for level, size in zip(levels, sizes, strict=True):
            if size != self.sizes.get(level):
                changes += self.settle(level, size, number)
        return changes

    def start(self, shown: Levels, message: Message) -> list[Change]:
        """The orders before the first message: of the levels behind it, without what it did."""
        sizes = dict(zip(*shown, strict=True))
        if message.side == self.side and message.kind in ORDERS:
            level = self.level_of(message.price)
            sizes[level] = sizes.get(level, 0) + (-message.size if message.kind == ADDED else message.size)
        there = sorted(level for level, size in sizes.items() if size > 0)
        self._before = there, [sizes[level] for level in there]
        return [change for level in there for change in self.settle(level, sizes[level], 0)]
