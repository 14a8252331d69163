"""Where the time of a run goes, stage by stage, for `tapeline run --profile`.

Nothing is inserted into the engine, where a clock would cost more than what it measures: the stages are run. First the input alone is read, then it is
normalised as well, then books and views are kept besides, then a whole run is made with a strategy that looks at the same and does nothing, then the run.
Each stage's time is the difference to the one before, so a small one may come out below zero.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tapeline.backtest import Backtest
from tapeline.bench.kernels import floor
from tapeline.book_reader import BookReader
from tapeline.contract import CALLBACKS
from tapeline.errors import ConfigError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.inputs import Data, open_input, reader_of, registry
from tapeline.market.books import Looks
from tapeline.schema import MBO
from tapeline.strategy import Strategy

ROUNDS: Final = 3
_OF_BOOKS: Final = ("tick_size", "definitions", "instruments")


@dataclass(frozen=True)
class Stage:
    """A part of a run."""

    stage: str
    ns: float
    """Processor time per record of the input."""
    share: float
    """Of all stages."""
    what: str


class _Books(BookReader):
    """Keeps books and views, and writes rows of which nothing is given out."""

    is_direct = False  # a run makes tape events

    def __init__(self, data: Data, looks: Looks, **instruments: Any) -> None:
        super().__init__(data, looks, "event", **instruments)
        self._lay_out_levels(0, 0)


def idle_twin(cls: type[Any]) -> type[Any]:
    """A strategy class with the same callbacks and the same view that does nothing in any of them."""
    callbacks = {name: _of_market if arguments.startswith("market") else _of_news for name, arguments in CALLBACKS.items() if hasattr(cls, name)}
    return type(f"Idle{cls.__name__}", (Strategy,), {"depth": cls.depth, "features": cls.features, "wake_depth": cls.wake_depth, **callbacks})


def _of_market(self: Any, market: Any, orders: Any, account: Any) -> None:
    """A callback that does nothing."""


def _of_news(self: Any, news: Any, market: Any, orders: Any, account: Any) -> None:
    """One that is about something."""


def check_engine(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings of a run on the reference engine, which has no such stages, and of one that does not read all that the stages read."""
    if settings.get("engine", "compiled") != "compiled":
        raise ConfigError("a profile is of the compiled engine")
    if settings.get("end") is not None:
        raise ConfigError(f"end={settings['end']}: a profile is of the whole data: leave it out")


def profile(strategy: Any, data: Data, settings: Mapping[str, Any], rounds: int = ROUNDS) -> list[Stage]:
    """The stages of `Backtest(data, **settings).run(strategy)`, medians over the rounds, in which all passes take turns. One thread does everything.

    Raises what a run raises, and ConfigError for the reference engine.
    """
    check_engine(settings)
    backtest = Backtest(data, **{**settings, "threads": 1})
    passes = _passes(strategy, data, backtest, {name: settings[name] for name in _OF_BOOKS if name in settings})
    n = 0
    for work in passes.values():  # compiles
        n = max(n, work())
    taken: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(rounds):
        for name, work in passes.items():
            start = time.process_time()
            work()
            taken[name].append((time.process_time() - start) / max(n, 1) * 1e9)
    totals = {name: statistics.median(ns) for name, ns in taken.items()}
    stages, before = [], 0.0
    for name, total in totals.items():
        stages.append((name, total - before))
        before = total
    return [Stage(name, round(ns, 2), round(ns / before, 4), _WHAT[name]) for name, ns in stages]


_WHAT: Final = {
    "read": "the input's records, from the page cache or decompressed, four fields of each looked at",
    "normalise": "records to tape events: order ids to places, prices to levels",
    "read tape": "tape events, checksums included",
    "books and views": "books; the levels and features that the strategy declares, after every event that changed them",
    "idle run": "the event loop: both clocks, what the feed shows when, callbacks that do nothing; start and result of a run",
    "strategy": "what its callbacks do and cause: requests, queues, matching, answers, journals, more callbacks, frames of the result",
}


def _passes(strategy: Any, data: Data, backtest: Backtest, instruments: dict[str, Any]) -> dict[str, Callable[[], int]]:
    """What is run, each containing what is before it; they give the number of records."""
    cls = type(strategy)
    twin = idle_twin(cls)

    def read() -> int:
        n = 0
        for run, _ in records(DbnInput(backtest.paths)):
            floor(run.ctypes.data, len(run), run.strides[0] if len(run) else MBO.itemsize)
            n += len(run)
        return n

    def normalise() -> int:
        source = open_input(data)
        reader = reader_of(source, registry(source, multiplier=1.0, **instruments), lambda _: None)
        for _ in reader.chunks():
            pass
        return reader.records

    def books() -> int:
        for _ in _Books(data, Looks.of(cls), **instruments).runs():
            pass
        return 0

    def idle() -> int:
        backtest.run(twin())
        return 0

    def whole() -> int:
        backtest.run(strategy)
        return 0

    first: dict[str, Callable[[], int]] = {"read tape": normalise}
    if isinstance(open_input(data), DbnInput):
        first = {"read": read, "normalise": normalise}
    return {**first, "books and views": books, "idle run": idle, "strategy": whole}


def plain(stages: list[Stage]) -> list[dict[str, Any]]:
    """For JSON and tables, with their sum."""
    total = {"stage": "sum", "ns": round(sum(stage.ns for stage in stages), 2), "share": 1.0, "what": ""}
    return [*(asdict(stage) for stage in stages), total]
