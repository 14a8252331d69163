"""Random runs, and the same run through both engines."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

from programs import Follower, Pair, PairFollower, Quoter, Sleeper, Watcher
from random_markets import RandomMarket, random_venue, write_stream
from status_files import CLOSE, HALT, PRE_OPEN, TRADING, write_status
from streams import Stream

import tapeline as tl
from tapeline.verify import Comparison, compare

SINGLE = (Quoter, Watcher, Follower, Sleeper)
SEVERAL = (Pair, PairFollower)
SHRUNK_TO = (5, 8, 12, 20, 30, 45, 60, 90, 130, 200, 300, 450)


@dataclass(frozen=True)
class Case:
    """One random run: a market, rows at venues of their own, settings; all drawn from the seed. Every third has several instruments."""

    seed: int
    records: int = 0
    """0: drawn, too."""
    version: int = 3

    @property
    def is_several(self) -> bool:
        """Whether strategies index by instrument."""
        return self.seed % 3 == 0

    @property
    def settings(self) -> dict:
        """Keywords of Backtest."""
        rng = random.Random(self.seed)
        settings = {"multiplier": rng.choice((1.0, 50.0)), "equity_every": rng.choice((1, 100, 1000))}
        return {"tick_size": "1", "instruments": [1, 2] if self.is_several else [1], **settings}

    def stream(self) -> Stream:
        """The records."""
        rng = random.Random(self.seed)
        records = self.records or rng.choice((30, 100, 300, 600))
        stream = RandomMarket(self.seed, rng.choice((2, 2, 3)) if self.is_several else 1).grow(records)
        if self.records:
            stream.rows = stream.rows[:records]
        return stream

    def rows(self) -> list[tl.Row]:
        """One row of each class, and some more."""
        rng = random.Random(self.seed + 77)
        classes = SEVERAL if self.is_several else SINGLE
        classes += tuple(rng.choice(classes) for _ in range(rng.randrange(3)))
        return [tl.Row(random_strategy(c, rng), **random_venue(rng)) for c in classes]

    def status(self, path: Path) -> dict:
        """Every fourth run has phases of trading, which change at random times."""
        rng = random.Random(self.seed + 5)
        if self.seed % 4:
            return {}
        times = [row[4] for row in self.stream().rows]
        actions = (PRE_OPEN, TRADING, TRADING, HALT, CLOSE)
        changes = [(rng.choice(times) + rng.randrange(-1, 2), rng.choice((1, 2)), rng.choice(actions)) for _ in range(rng.randrange(1, 12))]
        return {"status": write_status(path.with_suffix(".status.dbn"), changes)}

    def run(self, path: Path, engine: str) -> tl.Result:
        """Through one engine."""
        return tl.Backtest(path, engine=engine, **self.settings, **self.status(path)).run(*self.rows())

    def compared(self, directory: Path) -> Comparison:
        """Through both engines."""
        path = write_stream(directory / "case.dbn", self.stream(), self.version)
        return compare(self.run(path, "compiled"), self.run(path, "reference"))

    def shrunk(self, directory: Path) -> "Case":
        """The shortest of some lengths with which the engines still differ."""
        full = len(self.stream().rows)
        shorter = (replace(self, records=n) for n in SHRUNK_TO if n < full)
        return next((case for case in shorter if not case.compared(directory).is_equal), self)


def random_strategy(cls: type, rng: random.Random) -> tl.Strategy:
    """An instance with parameters of its own."""
    return cls(seed=rng.randrange(1, 10**6), rate=rng.choice((20, 50, 90)), far=rng.choice((0, 20, 200, 900)), wild=rng.choice((0, 5, 20)))


def assert_agree(case: Case, directory: Path) -> Comparison:
    """The engines agree on a case; if not, a shorter case and the first difference are shown."""
    found = case.compared(directory)
    if not found.is_equal:
        less = case.shrunk(directory)
        raise AssertionError(f"{less}: {less.compared(directory)}")
    return found
