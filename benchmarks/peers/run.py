"""Tapeline side by side with others that read the same market-by-order stream: one market maker, and replays.

    python benchmarks/peers/run.py                                            (a simulated session of two million records)
    python benchmarks/peers/run.py esh4-20231225.mbo.dbn.zst                  (a real one, end to end until there are as many)
    python benchmarks/peers/run.py --only hftbacktest --json

Each peer works in a process and a virtual environment of its own (versions in environments.py, made on first use); all take turns, so that what slows the
machine slows all of them. What each times, and what it leaves out, its work_*.py says. Event: a DBN record, whatever a peer makes of it.
"""

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from conversion import to_hftbacktest, to_itch
from environments import PINNED, python_of

from tapeline.bench.streams import BUSY, tiled
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.synth import SynthConfig, write_synth

HERE: Final = Path(__file__).parent
ITCH_ZONE: Final = ZoneInfo("America/New_York")
"""ITCH counts its nanoseconds from midnight there."""


FIRST: Final = 200_000
"""Records that NautilusTrader gets."""


class Worker:
    """A process that does what it is told."""

    def __init__(self, name: str, python: Path, folder: Path, arguments: list[str]) -> None:
        """Start it, and wait until it has compiled what it will do. Raises RuntimeError with the end of its log where it fails."""
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            command = [python, HERE / f"work_{name}.py", folder, *arguments]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - our own scripts
        announced = self._answer()
        self.versions: dict[str, str] = announced["versions"]
        self.works: list[str] = announced["works"]

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.process.wait()
            raise RuntimeError(f"{self.name} ended: {self.log.read_text()[-2000:]}")
        return dict(json.loads(line))

    def work(self, what: str) -> dict[str, Any]:
        """Do it once."""
        print(what, file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """Tell it that there is nothing more to do."""
        self.process.communicate()


def prepare(data: Path | None, n: int, folder: Path) -> tuple[int, str]:
    """The stream in all the forms that are wanted: records, and its day in New York."""
    if data is None:
        path = folder / "simulated.dbn"
        write_synth(path, SynthConfig(records=n, seed=7, live_orders=10_000, gap_scale=BUSY, partial_cancel_share=0.0))
    else:
        path = tiled(data, folder, n).dbn
    source = DbnInput([path])
    stream = np.concatenate([run.copy() for run, _ in records(source)])
    for name, part in (("stream.dbn", stream), ("first.dbn.zst", stream[:FIRST])):
        write_mbo(folder / name, [part], dataset="TAPELINE.PEERS", symbols=source.symbols, start_ns=0)
    np.save(folder / "hftbacktest.npy", to_hftbacktest(stream))
    day = dt.datetime.fromtimestamp(int(stream["ts_recv"][0]) / 1e9, ITCH_ZONE).date()
    midnight = int(dt.datetime(day.year, day.month, day.day, tzinfo=ITCH_ZONE).timestamp()) * 1_000_000_000
    (folder / "stream.itch").write_bytes(to_itch(stream, midnight)[0])
    return len(stream), day.isoformat()


def start(names: list[str], folder: Path, environments: Path, arguments: list[str]) -> tuple[list[Worker], dict[str, str]]:
    """Tapeline's worker and those of the peers; and why there is none of some."""
    workers = [Worker("tapeline", Path(sys.executable), folder, arguments)]
    missing = {}
    for name in names:
        tell(f"{name}: starting")
        try:
            workers.append(Worker(name, python_of(name, environments), folder, arguments))
        except subprocess.CalledProcessError as error:
            missing[name] = f"cannot be installed: {(error.stderr or '').strip()[-500:]}"
        except RuntimeError as error:
            missing[name] = str(error)
    return workers, missing


def measure(workers: list[Worker], n: int, rounds: int) -> list[dict[str, Any]]:
    """All works in turn, each round in another order: medians, and ratios to Tapeline's maker or replay on one thread in the same round, in processor time."""
    turns = [(worker, what) for worker in workers for what in worker.works]
    taken: dict[tuple[str, str], list[dict[str, Any]]] = {(worker.name, what): [] for worker, what in turns}
    for k in range(rounds):
        tell(f"round {k + 1} of {rounds}")
        shift = k * 3 % len(turns)
        for worker, what in turns[shift:] + turns[:shift]:
            taken[worker.name, what].append(worker.work(what))
    lines = []
    for (name, what), rows in taken.items():
        like = taken["tapeline", "market maker, one thread" if what.startswith("market maker") else "replay"]
        own_n = rows[0].get("records", n)
        ratios = [row["cpu_seconds"] / own_n / (ours["cpu_seconds"] / n) for row, ours in zip(rows, like, strict=True)]
        ns, cpu_ns = (statistics.median(row[key] for row in rows) / own_n * 1e9 for key in ("seconds", "cpu_seconds"))
        numbers = {"ns_per_event": round(ns, 2), "events_per_second": round(1e9 / ns), "cpu_ns_per_event": round(cpu_ns, 2)}
        counted = {key: value for key, value in rows[-1].items() if key not in {"seconds", "cpu_seconds"}}
        lines.append({"who": name, "what": what, **numbers, "times_tapeline": round(statistics.median(ratios), 2), **counted})
    return lines


def tell(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)


def show(report: dict[str, Any]) -> None:
    """The table, as Markdown."""
    names = ("", "work", "ns per event", "events/s", "processor ns per event", "× Tapeline's", "orders", "fills", "last best prices")
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for line in report["results"]:
        version = next(iter(report["versions"][line["who"]].values()))
        counts = [f"{line[key]:,}" if key in line else "" for key in ("orders", "fills")]
        touch = f"{line['bid']:.2f} / {line['ask']:.2f}" if "bid" in line else ""
        cells = [
            f"{line['ns_per_event']:.1f}",
            f"{line['events_per_second']:,}",
            f"{line['cpu_ns_per_event']:.1f}",
            f"{line['times_tapeline']:.2f}",
            *counts,
            touch,
        ]
        print(f"| {line['who']} {version} | {line['what']} | {' | '.join(cells)} |")
    for name, why in report["missing"].items():
        print(f"\n{name} is missing: {why}")


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="a DBN file of one instrument")
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=PINNED, metavar="PEER", help=f"one of {', '.join(PINNED)}; may be repeated")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "tapeline-peers", help="where virtual environments are kept")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tapeline-peers-") as name:
        tell("making the stream")
        n, day = prepare(given.data, given.records, Path(name))
        workers, missing = start(given.only or list(PINNED), Path(name), given.environments, [given.tick_size, day, str(min(n, FIRST))])
        results = measure(workers, n, given.rounds)
        for worker in workers:
            worker.end()
    report = {
        "records": n,
        "rounds": given.rounds,
        "load_average": os.getloadavg()[0],
        "versions": {worker.name: worker.versions for worker in workers},
        "results": results,
        "missing": missing,
    }
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)


if __name__ == "__main__":
    main()
