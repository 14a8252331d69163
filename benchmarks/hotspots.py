"""Where the time of a whole call goes, by sampling: units of compiled code, Python, libraries, the system. Linux; needs perf, and objdump for instructions.

    python benchmarks/hotspots.py                                              (a maker over a simulated session of a million records)
    python benchmarks/hotspots.py --strategy benchmarks/strategies.py:Maker --rows 64 session.dbn.zst
    python benchmarks/hotspots.py --unit core                                  (besides, the instructions of a unit that most samples met)

`instructions.py` counts what is executed; this shows what is waited for, and what a run's own clock leaves out: results, their checks, memory that is touched
for the first time. Sampling slows a virtual machine: take shares from it, not times. An instruction is charged with what it had to wait for, so look at the one
before it as well.
"""

import argparse
import bisect
import collections
import ctypes
import gc
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.dispatcher import Dispatcher

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy

HERE = Path(__file__).resolve().parent
UNIT_BYTES_MAX = 40_000
LINES_MAX = 25


class Unit(NamedTuple):
    """A compiled function, and where it lies."""

    first: int
    end: int
    name: str


def compiled_units() -> list[Unit]:
    """All that Numba has compiled in this process, in order of address."""
    names = {}
    for one in gc.get_objects():
        if issubclass(type(one), Dispatcher):
            for result in one.overloads.values():
                address = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
                if address:
                    names[address] = one.py_func.__name__
    ends = [int(line.split()[0].split("-")[1], 16) for line in Path("/proc/self/maps").read_text().splitlines()]
    firsts = sorted(names)
    nexts = [*firsts[1:], 2**63]
    return [Unit(a, min(following, a + UNIT_BYTES_MAX, *(end for end in ends if end > a)), names[a]) for a, following in zip(firsts, nexts, strict=True)]


def sampled(work: Any, seconds: float, frequency: int) -> tuple[list[tuple[int, str]], int]:
    """Address and library of each sample while `work` is repeated, and how often it was."""
    with tempfile.TemporaryDirectory() as folder:
        file, times = f"{folder}/perf.data", 0
        command = ["perf", "record", "-e", "cpu-clock", "-F", str(frequency), "-o", file, "-p", str(os.getpid())]
        perf = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            work()
            times += 1
        perf.send_signal(signal.SIGINT)
        perf.wait()
        lines = subprocess.run(["perf", "script", "-i", file, "-F", "ip,dso"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [(int(ip, 16), Path(dso.strip("()")).name) for ip, dso in (line.split(maxsplit=1) for line in lines if line.strip())], times


def instructions(unit: Unit, at: collections.Counter[int]) -> list[str]:
    """The instructions of a unit that had most samples, each with the two before it."""
    with tempfile.NamedTemporaryFile() as code:
        Path(code.name).write_bytes(ctypes.string_at(unit.first, unit.end - unit.first))
        command = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", code.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t(?:[0-9a-f]{2} )+ *\t(.*)$", text, re.MULTILINE)
    places = {int(offset, 16): i for i, (offset, _) in enumerate(found)}
    total = sum(at.values())
    lines = []
    for offset, n in at.most_common(LINES_MAX):
        i = places.get(offset)
        if i is not None:
            lines.append(f"{n / total:6.1%}  {offset:5x}  " + " ; ".join(re.sub(r"\s+", " ", what) for _, what in found[max(i - 2, 0) : i + 1]))
    return lines


def main() -> None:
    """Sample, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--strategy", default=f"{HERE / 'strategies.py'}:PlainMaker")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--frequency", type=int, default=5000, help="samples per second")
    parser.add_argument("--unit", help="the compiled function whose instructions are shown")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = given.data
        if data is None:
            data = Path(folder) / "simulated.dbn"
            write_synth(data, SynthConfig(records=1_000_000))
        cls = load_strategy(given.strategy)
        backtest = tl.Backtest(data, tick_size=given.tick_size, multiplier=1.0, latency=tl.Latency(entry="100us", response="100us"), threads=1)

        def work() -> Any:
            return backtest.run(*(cls() for _ in range(given.rows)))

        records = work().counters["records"]
        samples, times = sampled(work, given.seconds, given.frequency)
    units = compiled_units()
    firsts = [unit.first for unit in units]
    by_name: collections.Counter[str] = collections.Counter()
    at: dict[Unit, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for address, library in samples:
        unit = units[bisect.bisect_right(firsts, address) - 1]
        is_inside = unit.first <= address < unit.end
        by_name[unit.name if is_inside else library] += 1
        if is_inside:
            at[unit][address - unit.first] += 1
    print(f"{times} calls of {records:,} records, {len(samples):,} samples")
    for name, n in by_name.most_common(LINES_MAX):
        print(f"{n / len(samples):6.1%}  {name}")
    for unit, found in at.items():
        if unit.name == given.unit:
            print(f"\n{unit.name}, {sum(found.values()):,} samples", *instructions(unit, found), sep="\n")


if __name__ == "__main__":
    main()
