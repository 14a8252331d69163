"""Peak memory of a run, by the length of its input: it must not grow with it.

    python benchmarks/memory.py                                 (10 and 100 million simulated records: 6 GB on the disk)
    python benchmarks/memory.py --records 1000000 --records 4000000 --kind tape

The strategy looks and does nothing: orders, fills, signals and samples of accounts are kept for the result, and grow with what is recorded. `peak` is the most
that the process ever had resident (VmHWM), pages of mapped files included; `anonymous` and `files` are its parts at the end of the replay.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from strategies import Idle

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth

WORDS = {"peak": "VmHWM", "anonymous": "RssAnon", "files": "RssFile"}


def resident() -> dict[str, float]:
    """MB of this process, now and at the most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[word].split()[0]) / 1024 for name, word in WORDS.items()}


def measure(path: Path) -> dict[str, Any]:
    """One run, in this process."""
    last: dict[str, float] = {}
    result = tl.Backtest(path, tick_size="0.25", multiplier=50).run(Idle(), progress=lambda _: last.update(resident()))
    return {"records": result.manifest["records"], "seconds": round(result.manifest["seconds"], 2), **last, "peak": resident()["peak"]}


def made(folder: Path, n: int, kind: str) -> Path:
    """A session of `n` records, as a file of a kind."""
    path = folder / f"{n}.dbn{'.zst' if kind == 'zst' else ''}"
    write_synth(path, SynthConfig(records=n, seed=7, gap_scale=0.0064))
    if kind != "tape":
        return path
    tl.write_tape(path, folder / f"{n}.tape", tick_size="0.25", multiplier=50)
    path.unlink()
    return folder / f"{n}.tape"


def main() -> None:
    """Measure, each length in a process of its own, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, action="append", help="may be repeated; the first is what the others are compared with")
    parser.add_argument("--kind", choices=("dbn", "zst", "tape"), default="dbn")
    parser.add_argument("--folder", type=Path, help="where the sessions are written, one at a time")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measure(given.measure)))
        return
    print("| records | seconds | peak, MB | anonymous | files | peak, of the first |\n|---|---|---|---|---|---|")
    first = 0.0
    for n in given.records or (10_000_000, 100_000_000):
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            path = made(Path(name), n, given.kind)
            for _ in range(1 if first else 2):  # the very first compiles
                done = subprocess.run([sys.executable, __file__, "--measure", path], check=True, capture_output=True, text=True)  # noqa: S603 - this script
            found = json.loads(done.stdout)
        first = first or found["peak"]
        numbers = " | ".join(f"{found[name]:.0f}" for name in ("peak", "anonymous", "files"))
        print(f"| {found['records']:,} | {found['seconds']} | {numbers} | {found['peak'] / first:.3f} |", flush=True)


if __name__ == "__main__":
    main()
