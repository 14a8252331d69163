"""A market that is seen as LOBSTER shows one: messages about the best levels, and those levels after each."""

import random
from collections import defaultdict
from pathlib import Path

NAME = "TEST_2012-06-21_34200000_57600000_message_{}.csv"
Book = list[tuple[int, int, int, int]]
"""Ask price, ask size, bid price, bid size of each level."""


class Market:
    """Orders on many levels, of which `depth` are shown."""

    def __init__(self, seed: int, depth: int, start: int) -> None:
        """Begin with `start` orders that nobody saw come."""
        self.random = random.Random(seed)
        self.depth = depth
        self.orders: dict[int, list[int]] = {}
        """By id, in order of arrival: direction, price, size."""
        self.order_id = 1000
        self.messages: list[tuple[str, int, int, int, int, int]] = []
        self.rows: list[Book] = []
        self.executed: list[int] = []
        for _ in range(start):
            self.add()

    def levels(self, direction: int) -> dict[int, int]:
        """Size by price, best first."""
        sizes: dict[int, int] = defaultdict(int)
        for one, price, size in self.orders.values():
            if one == direction:
                sizes[price] += size
        return dict(sorted(sizes.items(), reverse=direction > 0))

    def shown(self) -> Book:
        """What the order-book file has."""
        asks, bids = ([*self.levels(direction).items()][: self.depth] for direction in (-1, 1))
        asks += [(9999999999, 0)] * (self.depth - len(asks))
        bids += [(-9999999999, 0)] * (self.depth - len(bids))
        return [(*ask, *bid) for ask, bid in zip(asks, bids, strict=True)]

    def add(self) -> tuple[int, int, int, int, int]:
        """An order comes."""
        self.order_id += self.random.randrange(1, 9)
        direction = self.random.choice((-1, 1))
        price = 5_000_000 - direction * 100 * (1 + int(self.random.expovariate(0.25)))
        self.orders[self.order_id] = [direction, price, size] = [direction, price, 100 * self.random.randrange(1, 5)]
        return 1, self.order_id, size, price, direction

    def lose(self, kind: int, order_id: int) -> tuple[int, int, int, int, int]:
        """An order loses some of its size, or all."""
        order = self.orders[order_id]
        direction, price, before = order
        size = before if kind == 3 or (kind == 4 and self.random.random() < 0.6) else self.random.randrange(1, before) if before > 1 else before
        order[2] -= size
        if order[2] == 0:
            del self.orders[order_id]
        return kind, order_id, size, price, direction

    def first(self, direction: int) -> int:
        """The id of the order that is executed next."""
        return max(self.orders, key=lambda one: (self.orders[one][0] == direction, direction * self.orders[one][1], -one))

    def go_on(self, n: int) -> "Market":
        """Let `n` things happen, and write down what is seen of them."""
        for number in range(n):
            before, draw = self.shown(), self.random.random()
            if draw < 0.05:
                told = (5, 0, 7, 5_000_050, 1)
            elif draw < 0.42 or len(self.orders) < 6:
                told = self.add()
            elif draw < 0.6 and len({direction for direction, _, _ in self.orders.values()}) == 2:
                told = self.lose(4, self.first(self.random.choice((-1, 1))))
            else:
                told = self.lose(self.random.choice((2, 3, 3)), self.random.choice(list(self.orders)))
            if told[0] == 5 or self.shown() != before:
                self.messages.append((f"{34200 + number}.{number:09}", *told))
                self.rows.append(self.shown())
        return self

    def write(self, folder: Path, *, with_books: bool = True) -> Path:
        """Write its files, and return the path of the messages."""
        path = folder / NAME.format(self.depth)
        path.write_text("".join(",".join(map(str, message)) + "\n" for message in self.messages))
        if with_books:
            books = path.with_name(path.name.replace("message", "orderbook"))
            books.write_text("".join(",".join(str(n) for level in row for n in level) + "\n" for row in self.rows))
        return path
