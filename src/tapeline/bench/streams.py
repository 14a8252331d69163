"""The streams that are timed: simulated sessions, written once per run, and what is in them."""

import ctypes
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapeline.bench import kernels
from tapeline.constants import RecordFlag
from tapeline.conversion import write_tape
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.schema import MBO

TICK: Final = "0.25"
BUSY: Final = 0.0064
"""Of ESH4's gaps: half a millisecond in the mean."""
FEW_WAKES: Final = "few-wakes"
"""A mix as that of the stream that the targets were set on: 5 % M, and a fifth of the records wake who looks at the touch. ESH4's has 18 %, and half wake."""
PAGE: Final = mmap.PAGESIZE


@dataclass
class Stream:
    """One session, as DBN, compressed DBN and tape."""

    name: str
    folder: Path
    config: SynthConfig | None = None

    @property
    def dbn(self) -> Path:
        """The uncompressed file."""
        return self.folder / f"{self.name}.dbn"

    @property
    def zst(self) -> Path:
        """The compressed file."""
        return self.folder / f"{self.name}.dbn.zst"

    @property
    def tape(self) -> Path:
        """The tape."""
        return self.folder / f"{self.name}.tape"

    def make(self, *, all_kinds: bool) -> None:
        """Write it; as tape and compressed, too, if asked to."""
        if self.config is not None:
            write_synth(self.dbn, self.config)
            if all_kinds:
                write_synth(self.zst, self.config)
        if all_kinds:
            write_tape(self.dbn, self.tape, tick_size=TICK, multiplier=50)

    @cached_property
    def n(self) -> int:
        """Records."""
        return len(self.data) // MBO.itemsize

    @cached_property
    def data(self) -> "np.ndarray[Any, Any]":
        """The records, mapped."""
        return np.memmap(self.dbn, np.uint8, "r", offset=DbnInput([self.dbn]).files[0].header_bytes)

    def floor(self) -> None:
        """Read them."""
        kernels.floor(self.data.ctypes.data, self.n, MBO.itemsize)

    def prefix(self, n: int) -> Path:
        """A file of the first `n` records."""
        path = self.folder / f"{self.name}-first.dbn"
        source = DbnInput([self.dbn])

        def first() -> Iterator[Any]:
            left = n
            for run, _ in records(source):
                yield np.ascontiguousarray(run[:left])
                left -= len(run[:left])
                if left == 0:
                    return

        write_mbo(path, first(), dataset="TAPELINE.BENCH", symbols=source.symbols, start_ns=0)
        return path

    def describe(self) -> dict[str, Any]:
        """Its mix of actions, its pace, and how much of it lay in the page cache."""
        runs = [run for run, _ in records(DbnInput([self.dbn]))]
        actions = np.sum([np.bincount(run["action"], minlength=256) for run in runs], axis=0)
        times = np.concatenate([run["ts_event"] for run in runs])[-self.n // 2 :]
        mix = {chr(a): round(float(actions[a]) / self.n, 4) for a in np.flatnonzero(actions)}
        config = self.config
        shape = {} if config is None else {"live_orders": config.live_orders, "instruments": config.instruments}
        gap = float(np.mean(np.diff(times))) / 1e6 if len(times) > 1 else 0.0
        return {"name": self.name, "records": self.n, **shape, "mix": mix, "gap_ms_mean": round(gap, 4), "page_cache": cached_share(self.dbn)}


def streams(folder: Path, n: int, *, quick: bool) -> dict[str, Stream]:
    """Those of the suite, of `n` records each."""
    shapes: dict[str, dict[str, Any]] = {"live-10k": {"live_orders": 10_000, "gap_scale": BUSY}}
    if not quick:
        shapes |= {
            FEW_WAKES: {"live_orders": 10_000, "gap_scale": BUSY, "modify_share": 0.055, "trade_share": 0.045, "touch_share": 0.1},
            "live-100k": {"live_orders": 100_000, "gap_scale": BUSY},
            "live-1m": {"live_orders": 1_000_000, "gap_scale": BUSY},
            "instruments-50": {"live_orders": 10_000, "instruments": 50, "gap_scale": BUSY},
            "instruments-5000": {"live_orders": 100_000, "instruments": 5_000, "gap_scale": BUSY},
            "esh4-like": {"live_orders": 2_000},
        }
    return {name: Stream(name, folder, SynthConfig(records=n, seed=7, **shape)) for name, shape in shapes.items()}


def tiled(real: Path, folder: Path, n: int) -> Stream:
    """A real session end to end until there are `n` records: times go on, ids get a number of their own in each tile.

    A snapshot comes a second before what follows it, not a day: that would be twelve calls per record for a strategy that wakes ten times a second.
    """
    source = DbnInput([real])
    whole = np.concatenate([run.copy() for run, _ in records(source)])
    in_snapshot = (whole["flags"] & RecordFlag.SNAPSHOT) != 0
    for name in ("ts_event", "ts_recv") if not in_snapshot.all() else ():
        whole[name][in_snapshot] = np.maximum(whole[name][in_snapshot], whole["ts_recv"][~in_snapshot][0] - 1_000_000_000)
    length = int(whole["ts_recv"].max() - whole["ts_recv"][whole["ts_recv"] > 0].min()) + 1_000_000_000

    def tiles() -> Iterator[Any]:
        left, k = n, 0
        while left > 0:
            tile = whole[:left].copy()
            for name in ("ts_event", "ts_recv"):
                tile[name] += k * length
            tile["order_id"] += np.uint64(k) << np.uint64(48)
            yield tile
            left, k = left - len(tile), k + 1

    stream = Stream("esh4-tiled", folder)
    write_mbo(stream.dbn, tiles(), dataset="TAPELINE.BENCH", symbols=source.symbols, start_ns=0)
    return stream


def cached_share(path: Path) -> float | None:
    """Which part of a file lies in the page cache; None where that cannot be asked."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            pages = -(-len(mapped) // PAGE)
            seen = (ctypes.c_ubyte * pages)()
            address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(mapped)))
            status = libc.mincore(address, ctypes.c_size_t(len(mapped)), seen)
            return None if status != 0 else round(sum(page & 1 for page in bytes(seen)) / pages, 3)
    except (OSError, AttributeError, BufferError, ValueError):
        return None
