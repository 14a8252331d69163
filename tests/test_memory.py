"""Memory does not grow with the input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth

if sys.platform != "linux":
    pytest.skip("peak memory is read from /proc", allow_module_level=True)

MEMORY = Path(__file__).parents[1] / "benchmarks" / "memory.py"
SHORT, LONG = 700_000, 3_500_000
"""39 and 196 MB: the first is more than a span of a mapped file, and what the second has more is half of what a process needs besides."""


@pytest.mark.parametrize("kind", ["dbn", "tape"])
def test_peak_memory_does_not_grow_with_the_input(tmp_path: Path, kind: str) -> None:
    """Five times as many records take at most a tenth more memory at the peak, all of it counted: heap, tables, pages of mapped files."""
    peaks = []
    for n in (SHORT, LONG):
        path = tmp_path / "session.dbn"
        write_synth(path, SynthConfig(records=n, seed=7, gap_scale=0.0064))
        if kind == "tape":
            path = Path(tl.write_tape(path, tmp_path / "session.tape", tick_size="0.25", multiplier=50)["output"])
        if not peaks:
            subprocess.run([sys.executable, MEMORY, "--measure", path], check=True, capture_output=True)  # compiles
        done = subprocess.run([sys.executable, MEMORY, "--measure", path], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        assert found["records"] >= n
        peaks.append(found["peak"])
    assert peaks[1] < 1.1 * peaks[0]
