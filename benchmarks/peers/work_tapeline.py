"""Tapeline: the same maker, from the call to the end of the replay, and a replay with the BBO after every event that changed it.

Not timed, but for "whole call": the frames of the result, its checks, and the hash of the input.
"""

import sys
import time
from pathlib import Path
from typing import Any

from serve import serve

import tapeline as tl
from tapeline.load import load_strategy
from tapeline.mbp import DepthReader

DATA, TICK = Path(sys.argv[1]) / "stream.dbn", sys.argv[2]
TAPE = DATA.with_suffix(".tape")
MAKER = load_strategy(f"{Path(__file__).parents[1] / 'strategies.py'}:PlainMaker")
LATENCY = tl.Latency(entry="100us", response="100us")


def maker(data: Path = DATA, threads: int | None = None) -> dict[str, Any]:
    """One run, timed to the end of the replay."""
    start, cpu, took = time.perf_counter(), time.process_time(), {}

    def tell(_: Any) -> None:
        took.update(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu)

    result = tl.Backtest(data, tick_size=TICK, multiplier=50, latency=LATENCY, threads=threads).run(MAKER(), progress=tell)
    return {**took, "orders": result.orders.height, "fills": result.fills.height}


def whole() -> dict[str, Any]:
    """One run, timed to its result."""
    counted = maker()
    return {name: counted[name] for name in ("orders", "fills")}


def replay() -> dict[str, Any]:
    """Books; the last best prices."""
    reader, last = DepthReader(DATA, 1, tick_size=TICK), None
    for rows in reader.runs():
        last = rows[-1].copy() if len(rows) else last
    frame = reader.frame(last[None, :])
    return {"bid": frame["bid_px_00"][0] / 1e9, "ask": frame["ask_px_00"][0] / 1e9}


tl.write_tape(DATA, TAPE, tick_size=TICK, multiplier=50)
serve(
    ["tapeline", "numba", "polars"],
    {
        "market maker": maker,
        "market maker, one thread": lambda: maker(threads=1),
        "market maker, from a tape": lambda: maker(TAPE),
        "market maker, whole call": whole,
        "replay": replay,
    },
)
