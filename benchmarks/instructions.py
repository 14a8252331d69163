"""Instructions and mispredicted branches per record, counted by valgrind: figures that do not depend on who else uses the machine.

    python benchmarks/instructions.py                       (all stages; about a quarter of an hour, needs valgrind on the PATH)
    python benchmarks/instructions.py normalise --records 2000000

Each stage is run on a short and on a long simulated session, one thread; the difference by that of their records is what a record takes, Python's part of each
chunk included. What `maker` takes more than `idle` is what its orders take in all (sent, answered, cancelled or filled, recorded), and its looking at them
at each call. Mispredictions are those of valgrind's simple predictor: good for comparing two versions of a loop, not for counting cycles. Code is compiled
for a processor that valgrind knows (Haswell).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from strategies import Idle, PlainMaker

import tapeline as tl
from tapeline.extraction import FeatureReader
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import open_input, reader_of, registry
from tapeline.mbp import DepthReader

TICK = "0.25"
SHORT = 100_000
ORDERS = re.compile(r"^(\d+) orders$", re.MULTILINE)
COUNTED = {"instructions": "Ir", "branches": "Bc", "mispredicted": "Bcm", "jumps mispredicted": "Bim"}
HASWELL = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+fma,+popcnt,+lzcnt", "PYTHONHASHSEED": "0"}


def normalise(path: Path) -> None:
    """DBN to tape events."""
    source = open_input(path)
    for _ in reader_of(source, registry(source, tick_size=TICK, multiplier=1.0), lambda _: None).chunks():
        pass


def replay(path: Path) -> None:
    """The book, and its BBO after every event that changed it."""
    for _ in DepthReader(path, 1, tick_size=TICK).runs():
        pass


def features(path: Path) -> None:
    """All features of every event, in columns."""
    reader = FeatureReader(path, tick_size=TICK)
    reader.threads = 1
    for _ in reader.runs():
        pass


def idle(path: Path) -> None:
    """A strategy that is called when the touch changes, and does nothing."""
    run(path, Idle())


def maker(path: Path) -> None:
    """One that quotes both sides of the touch."""
    run(path, PlainMaker())


def run(path: Path, strategy: tl.Strategy) -> None:
    """A whole run, from file to result."""
    result = tl.Backtest(path, tick_size=TICK, multiplier=50, latency=tl.Latency(entry="100us", response="100us"), threads=1).run(strategy)
    if result.orders.height:
        print(f"{result.orders.height} orders", flush=True)


STAGES = {"normalise": normalise, "replay": replay, "features": features, "idle": idle, "maker": maker}


def counted(stage: str, path: Path) -> dict[str, int]:
    """Events of a process that does a stage, by valgrind's names."""
    work = [sys.executable, __file__, stage, "--measure", str(path)]
    environment = os.environ | HASWELL
    subprocess.run(work, check=True, env=environment)  # noqa: S603 - this script; compiles
    valgrind = ["valgrind", "--tool=callgrind", "--branch-sim=yes", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *work], check=True, env=environment, capture_output=True, text=True)  # noqa: S603 - same
    names, numbers = (re.search(rf"{word}\s*: (.*)", done.stderr) for word in ("Events", "Collected"))
    if names is None or numbers is None:
        raise SystemExit(done.stderr)
    orders = ORDERS.search(done.stdout)
    return dict(zip(names[1].split(), map(int, numbers[1].split()), strict=False)) | {"orders": int(orders[1]) if orders else 0}


def main() -> None:
    """Count, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", choices=(*STAGES, []), help="all, if none is named")
    parser.add_argument("--records", type=int, default=1_000_000, help="of the long session, beyond those of the short one")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        STAGES[given.stages[0]](given.measure)
        return
    print(f"| stage | {' | '.join(COUNTED)} | orders |\n|---|{'---|' * len(COUNTED)}---|")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.dbn" for n in (SHORT, SHORT + given.records)]
        for path, n in zip(paths, (SHORT, SHORT + given.records), strict=True):
            write_synth(path, SynthConfig(records=n, seed=7, gap_scale=0.0064))
        for stage in given.stages or STAGES:
            short, long = (counted(stage, path) for path in paths)
            each = {name: (long[event] - short[event]) / given.records for name, event in COUNTED.items()}
            orders = (long["orders"] - short["orders"]) / given.records
            print(f"| {stage} | {' | '.join(f'{x:.2f}' for x in each.values())} | {orders:.4f} |", flush=True)


if __name__ == "__main__":
    main()
