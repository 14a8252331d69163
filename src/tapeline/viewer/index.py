"""A pass over data that makes any moment of it quick to reach: tape events into a temporary file, and a checkpoint of the books every so often.

Memory does not grow with the input's length: where there are too many checkpoints, every second one is dropped, and they are made half as often from then on.
What has been indexed can be looked at while the rest is still being read.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tapeline.errors import TapelineError
from tapeline.inputs import Data, cores_used, open_input, reader_of, registry
from tapeline.instruments import Instrument
from tapeline.tape.file import TapeInput
from tapeline.viewer.follower import Follower, Rows, Saved
from tapeline.viewer.spill import Spill

CHECKPOINT_EVENTS: Final = 1 << 15
"""Tape events between checkpoints, at first. To replay so many takes some milliseconds."""
CHECKPOINTS_MAX: Final = 512
CHECKPOINT_BYTES_MAX: Final = 1 << 28
"""Of all checkpoints."""
SAMPLE_EVENTS: Final = 1 << 6
SAMPLES_MAX: Final = 1 << 12
SAMPLE_LINES_MAX: Final = 1 << 18
"""Samples of all instruments."""
_PATIENCE_S: Final = 2.0
"""How long a viewer that ends waits for the thread that reads."""
_EXPANSION: Final = 5
"""What zstd makes of DBN, about: for progress only."""


class Sample(NamedTuple):
    """The market at one place of the tape, for an overview: arrays with an item per instrument."""

    clock: Rows
    bid: Rows
    ask: Rows
    events: Rows
    volume: Rows
    """Lots traded up to there."""


@dataclass(frozen=True)
class Checkpoint:
    """All books after the first `x` tape events; those that were not open yet are missing."""

    x: int
    books: tuple[Saved, ...]


@dataclass(frozen=True)
class Reach:
    """How far the index goes."""

    tape_n: int = 0
    events: tuple[int, ...] = ()
    """Ordinary events per instrument."""
    trades: tuple[int, ...] = ()
    starts: tuple[tuple[int, int, int], ...] = ()
    """Per instrument that has events, the time of the first, and the best prices after it."""


class Index:
    """Reads the data once, on a thread of its own."""

    def __init__(self, data: Data, own: Mapping[int, Rows], **instruments: Any) -> None:
        """Open the data. `own`: see Follower; `instruments`: tick_size, definitions, instruments, exclude_orders, status of Backtest. Raises TapelineError."""
        self._source = open_input(data)
        self._registry = registry(self._source, multiplier=1.0, **instruments)  # no money is counted
        self._registry.several = True
        self._follower = Follower(own)
        self.own = own
        self.spill = Spill()
        self.instruments: tuple[Instrument, ...] = ()
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.samples: tuple[Sample, ...] = ()
        self.reach = Reach()
        self.problem: str | None = None
        """Why it ended before the data did, if so."""
        self.is_finished = False
        self.share = 0.0
        """Of the data that was read."""
        self._spacing, self._sample_spacing = CHECKPOINT_EVENTS, SAMPLE_EVENTS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="index", daemon=True)

    def start(self) -> None:
        """Begin to read, on another thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading, and give the temporary file back. A thread that is compiling cannot be stopped; it ends with the process, and so does its file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():
            self.spill.close()

    def run(self) -> None:
        """Read the data; damage ends the index, which is then of everything before it."""
        try:
            self._read()
        except TapelineError as error:
            self.problem = str(error)
        except Exception as error:  # a page that waits for ever would be worse
            self.problem = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._publish()
            self.is_finished = True

    def _read(self) -> None:
        reader = reader_of(self._source, self._registry, self._open, threads=cores_used())
        total = self._bytes_total()
        for n, _ in reader.chunks():
            begin = self.spill.n
            self.spill.append(reader.events[:n])
            self._follower.give(reader.events_address)
            done = 0
            while done < n:
                self._follower.go(min(n, done + self._sample_spacing - (begin + done) % self._sample_spacing))
                done = int(self._follower.state.x)
                self._look(begin + done)
            self._publish()
            self.share = min(reader.bytes_done / total, 1.0)
            if self._stop.is_set():
                return
        self._sample()
        self.share = 1.0

    def _bytes_total(self) -> int:
        """About as many as the reader will say it has done."""
        if isinstance(self._source, TapeInput):
            return max(self._source.events * 48, 1)
        sizes = [file.path.stat().st_size * (_EXPANSION if file.is_compressed else 1) for file in self._source.files]
        return max(sum(sizes), 1)

    def _open(self, instrument: Instrument) -> None:
        self._follower.open(instrument)
        self.instruments = (*self.instruments, instrument)

    def _publish(self) -> None:
        """Let the others know how far it has come."""
        seen = self._follower.seen[: len(self.instruments)]
        starts = tuple(zip(*(seen[f"first_{name}"].tolist() for name in ("ts", "bid", "ask")), strict=True))
        self.reach = Reach(self.spill.n, tuple(seen["events"].tolist()), tuple(seen["trades"].tolist()), starts)

    def _look(self, x: int) -> None:
        """After the first `x` tape events: a sample and a checkpoint, if it is time for them."""
        if x % self._sample_spacing == 0:
            self._sample()
        if x // self._spacing > (self.checkpoints[-1].x // self._spacing if self.checkpoints else 0):
            self._checkpoint(x)

    def _sample(self) -> None:
        n = len(self.instruments)
        seen, markets = self._follower.seen[:n], self._follower.books.array[:n]["market"]
        sample = Sample(seen["clock"].copy(), markets["bid_price"].copy(), markets["ask_price"].copy(), seen["events"].copy(), seen["volume"].copy())
        kept = self.samples
        if len(kept) >= min(SAMPLES_MAX, max(SAMPLE_LINES_MAX // max(n, 1), 64)):
            kept = kept[1::2]
            self._sample_spacing *= 2
        self.samples = (*kept, sample)

    def _checkpoint(self, x: int) -> None:
        before = self.checkpoints[-1].books if self.checkpoints else ()
        books = []
        for index in range(len(self.instruments)):
            idle = index < len(before) and before[index].tape_n == int(self._follower.seen[index]["tape_n"])
            books.append(before[index] if idle else self._follower.save(index))  # what has not changed is shared
        self.checkpoints = (*self.checkpoints, Checkpoint(x, tuple(books)))
        while len(self.checkpoints) > 1 and (len(self.checkpoints) > CHECKPOINTS_MAX or self._nbytes() > CHECKPOINT_BYTES_MAX):
            self.checkpoints = self.checkpoints[1::2]
            self._spacing *= 2

    def _nbytes(self) -> int:
        return sum({id(book): book.nbytes for checkpoint in self.checkpoints for book in checkpoint.books}.values())
