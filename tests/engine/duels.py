"""Random runs, drawn from a seed or by hypothesis, and the same run through both engines."""

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors import PROGRAM_MAX
from hypothesis import strategies as st
from programs import (
    Follower,
    Glancer,
    Listener,
    Maker,
    Pair,
    PairFollower,
    PairGlancer,
    PairMaker,
    PairToucher,
    Quoter,
    Sleeper,
    Toucher,
    Watcher,
)
from random_markets import RandomMarket, random_venue
from status_files import CLOSE, HALT, PRE_OPEN, TRADING, write_status
from streams import Stream

import tapeline as tl
from tapeline.verify import Comparison, compare

SINGLE = (Quoter, Watcher, Follower, Sleeper, Glancer, Toucher, Maker, Listener)
SEVERAL = (Pair, PairFollower, PairGlancer, PairToucher, PairMaker)
NUMBERS_END = 2**24
Numbers = Callable[[int], list[int]]
"""Makes at least one number, and so many at most; as many are negative as not."""


@dataclass(frozen=True)
class Player:
    """A row to be: a strategy's class, its program and other parameters of its hand, and the venue that it meets, as keywords of `tl.Row`."""

    strategy: type
    program: Sequence[int]
    parameters: dict[str, int]
    venue: dict[str, Any]

    def row(self, slow: int = 1) -> tl.Row:
        """A row with an instance of its own."""
        return tl.Row(with_program(self.strategy(), self.program, slow=slow, **self.parameters), **self.venue)


@dataclass(frozen=True)
class Case:
    """One run, all of it: it can be run again, and changed."""

    market: int
    """Which kind."""
    books: int
    """One, or several: then strategies index by instrument."""
    events: Sequence[int]
    """A number per event of the market; 0: no event."""
    players: Sequence[Player]
    settings: dict[str, Any]
    """Keywords of Backtest."""
    phases: Sequence[tuple[int, int, Any]] = ()
    """Changes of the phase of trading: after which event, of which instrument, what."""
    version: int = 3
    """Of the DBN format."""
    slow: int = 1
    """So many times as much time passes between events, and while strategies sleep: windows of seconds are filled, and left."""
    window: tuple[int | None, int | None] = (None, None)
    """The numbers of the records at whose times the run starts, and ends; None: with the data."""

    @classmethod
    def seeded(cls, seed: int, events_max: int = 200) -> "Case":
        """All of it drawn from a seed. Every third has several instruments, every fourth phases of trading."""
        rng = random.Random(seed)

        def numbers(most: int) -> list[int]:
            return [rng.randrange(-NUMBERS_END, NUMBERS_END) for _ in range(rng.choice((most // 4, most)))]

        return drawn(rng, numbers, (1, rng.choice((2, 2, 3)))[seed % 3 == 0], (0, 12)[seed % 4 == 0], events_max)

    def stream(self) -> Stream:
        """The records."""
        return RandomMarket(self.market, self.books, self.slow).follow(self.events)

    def rows(self) -> list[tl.Row]:
        """One row per player, with instances of their own."""
        return [player.row(self.slow) for player in self.players]

    def status(self, path: Path) -> dict:
        """The status file, as a keyword of Backtest. Of one that has nothing of the run's instruments a run would say so."""
        times = [row[4] for row in self.stream().rows]
        changes = [(times[min(place, len(times) - 1)], instrument, action) for place, instrument, action in self.phases]
        is_of_run = any(instrument in self.settings["instruments"] for _, instrument, _ in changes)
        return {"status": write_status(path.with_suffix(".status.dbn"), changes)} if is_of_run else {}

    def within(self) -> dict[str, int]:
        """Start and end, as keywords of Backtest. The end is left out where it is not after the start."""
        times = [row[4] for row in self.stream().rows]
        found = {name: times[place % len(times)] for name, place in zip(("start", "end"), self.window, strict=True) if place is not None}
        return {"start": found["start"]} if len(found) == 2 and found["start"] >= found["end"] else found

    def run(self, path: Path, engine: str, **more: Any) -> tl.Result:
        """Through one engine; `more`: keywords of Backtest."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(start|end)=.*nothing has happened", UserWarning)
            return tl.Backtest(path, engine=engine, **self.settings, **self.within(), **self.status(path), **more).run(*self.rows())

    def compared(self, directory: Path) -> Comparison:
        """Through both engines."""
        path = self.stream().write(directory / "case.dbn", version=self.version)
        return compare(self.run(path, "compiled"), self.run(path, "reference"))


def drawn(rng: random.Random, numbers: Numbers, books: int, phases: int, events_max: int) -> Case:
    """A case. `rng` may be hypothesis' own: what it chooses then shrinks to the first of the choices."""
    classes = SINGLE if books == 1 else SEVERAL
    classes += tuple(rng.choice(classes) for _ in range(rng.randrange(3)))
    settings = {"tick_size": "1", "instruments": [1] if books == 1 else [1, 2], "multiplier": rng.choice((1.0, 50.0))}
    settings["explain"] = rng.choice((False, True))
    settings |= {"equity_every": rng.choice((1, 100, 1000)), "feed_time": rng.choice(("received", "received", "sent"))}
    return Case(
        market=rng.randrange(2**31),
        books=books,
        events=numbers(events_max),
        players=[Player(c, numbers(PROGRAM_MAX), random_parameters(rng), random_venue(rng, settings["instruments"])) for c in classes],
        settings=settings,
        phases=[
            (rng.randrange(2 * events_max), rng.choice((1, 2)), rng.choice((TRADING, TRADING, PRE_OPEN, HALT, CLOSE)))
            for _ in range(rng.randrange(phases) if phases else 0)
        ],
        version=rng.choice((3, 3, 1, 2)),
        slow=rng.choice((1, 1, 1, 4_000_000, 50_000_000)),
    )


@st.composite
def cases(draw: Any, events_max: int = 100) -> Case:
    """Cases that hypothesis draws, and makes smaller: events of the market and acts of programs are left out, settings become the first of their choices."""
    rng = draw(st.randoms(use_true_random=False))

    some = st.lists(st.integers(-NUMBERS_END, NUMBERS_END), min_size=8, max_size=32)

    def numbers(most: int) -> list[int]:
        return [number for part in draw(st.lists(some, min_size=1, max_size=most // 8)) for number in part][:most]  # one list alone would be short

    case = drawn(rng, numbers, draw(st.sampled_from((1, 1, 2, 3))), draw(st.sampled_from((0, 0, 12))), events_max)
    return replace(case, window=draw(st.tuples(*2 * [st.none() | st.integers(0, 2 * events_max)])))


def with_program(strategy: Any, program: Sequence[int], **parameters: int) -> Any:
    """A strategy that follows a program; `parameters` are those of its hand."""
    hand = strategy.hand
    hand.program[: len(program)], hand.length = program, len(program)
    for name, value in parameters.items():
        setattr(hand, name, value)
    return strategy


def random_parameters(rng: random.Random) -> dict[str, int]:
    """Parameters of a hand but its program."""
    return {"far": rng.choice((0, 20, 200, 900)), "wild": rng.choice((0, 5, 20))}


def random_strategy(cls: type, rng: random.Random, rate: int) -> tl.Strategy:
    """An instance that acts at `rate` percent of its opportunities."""
    program = [rng.randrange(1, NUMBERS_END) if rng.randrange(100) < rate else 0 for _ in range(PROGRAM_MAX)]
    parameters = random_parameters(rng)
    return with_program(cls(), program, **parameters)
