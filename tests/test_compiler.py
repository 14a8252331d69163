"""Functions are compiled by passes of our own, to the same effect as Numba's."""

import subprocess
import sys
from pathlib import Path

import numba
import pytest
from strategy_files import strategy, tiny_session

import tapeline
from tapeline.jit import COMPILER_TESTED_WITH, JIT

if not JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

PROGRAM = """
import sys
import numba
import numpy as np
if len(sys.argv) > 1:
    numba.__version__ = sys.argv[1]
from tapeline.jit import entry, kernel, leaf
from tapeline.record import Record, float64, int64


class Pair(Record):
    left: int64
    right: int64

    @property
    def both(self):
        return self.left + self.right

    def swap(self, by=1):
        self.left, self.right = self.right * by, self.left


@leaf
def rotate(word, by):
    return (word << np.uint64(by)) | (word >> np.uint64(64 - by))


@kernel
def steps(pair, n):
    last = np.uint64(0)
    for i in range(n):
        if i % 3 == 0:
            pair.swap(by=2)
        elif pair.both > 1 << 40:
            raise OverflowError("too far")
        last = rotate(np.uint64(pair.both), 7)
    return last


@entry
def of_record(pair):
    return steps(pair, 9)


@entry
def of_array(values):
    out = np.empty_like(values)
    for i in range(values.shape[0]):
        out[i] = max(values[i], 2.0) ** 0.5
    return out


@numba.njit
def from_outside(pair):
    return steps(pair, 4)


pair = Pair(left=3, right=5)
print(of_record(pair), from_outside(pair), int(pair.both), of_array(np.arange(4.0)).tolist())
pair.left = 1 << 60
try:
    of_record(pair)
except OverflowError as error:
    print(error)
print("tapeline.compiler" in sys.modules, file=sys.stderr)
"""


def test_functions_do_the_same_however_they_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods, properties, exceptions, arrays and callers: by our compiler, by Numba's (as where ours was not tested), and as plain Python."""
    monkeypatch.setenv("TAPELINE_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    ours, numbas = (subprocess.run([sys.executable, program, *version], capture_output=True, text=True, check=True) for version in ([], ["0.99.0"]))
    assert (ours.stderr, numbas.stderr) == ("True\n", "False\n")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    plain = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert ours.stdout == numbas.stdout == plain.stdout
    assert ours.stdout.endswith("too far\n")


CALLERS = """
import sys
from tapeline.jit import entry
from tapeline.record import Record, int64


class Number(Record):
    n: int64


@entry
def inner(number):
    print("inside", number.n)
    number.n += 1
    return number.n


@entry
def outer(number):
    return inner(number) * inner(number)


print((outer if len(sys.argv) > 1 else inner)(Number(n=6)))
print(sum(inner.stats.cache_hits.values()))
"""


def test_what_is_kept_is_taken_into_what_is_compiled_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is found in the cache is called by one that is compiled now, by one that was, and by Python, and finds what `print` needs."""
    monkeypatch.setenv("TAPELINE_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "program.py"
    program.write_text(CALLERS, encoding="utf-8")
    told = [subprocess.run([sys.executable, program, *by], capture_output=True, text=True, check=True).stdout for by in ([], ["outer"], ["outer"], [])]
    assert told == ["inside 6\n7\n0\n", "inside 6\ninside 7\n56\n1\n", "inside 6\ninside 7\n56\n0\n", "inside 6\n7\n1\n"]


CALLERS_OF_KERNELS = """
import sys
from tapeline.jit import entry, kept, kernel, leaf
from tapeline.record import Record, int64


class Number(Record):
    n: int64


@kernel
def count(number):
    print("inside", number.n)
    number.n += 1


@kept(leaf)
def inner(number):
    count(number)
    return number.n


@entry
def product(number):
    return inner(number) * inner(number)


@entry
def total(number):
    count(number)
    return inner(number) + inner(number)


print((total if len(sys.argv) > 1 else product)(Number(n=6)))
print(sum(inner.stats.cache_hits.values()))
"""


def test_kernels_that_are_kept_are_taken_into_what_is_compiled_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is found in the cache, with the one that it calls, is taken in by another entry, beside that other compiled once more, and they print."""
    monkeypatch.setenv("TAPELINE_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "program.py"
    program.write_text(CALLERS_OF_KERNELS, encoding="utf-8")
    told = [subprocess.run([sys.executable, program, *by], capture_output=True, text=True, check=True).stdout for by in ([], ["total"], ["total"], [])]
    of_total = "inside 6\ninside 7\ninside 8\n17\n"
    assert told == ["inside 6\ninside 7\n56\n0\n", f"{of_total}1\n", f"{of_total}0\n", "inside 6\ninside 7\n56\n0\n"]


OF_TWO_TYPES = """
import sys
from tapeline.jit import entry, kept, kernel


@kept(kernel)
def half(number):
    return number / 2


@entry
def first(whole, part):
    return half(whole) + half(part)


@entry
def second(whole, part):
    return half(part) * half(whole)


print([first, second][int(sys.argv[1])](6, 2.5), sum(half.stats.cache_hits.values()))
"""


def test_code_of_other_types_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file of the cache holds a function for other types than its index says (two processes wrote it at once), it is compiled again, and mended."""
    monkeypatch.setenv("TAPELINE_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "program.py"
    program.write_text(OF_TWO_TYPES, encoding="utf-8")

    def run(which: str) -> str:
        return subprocess.run([sys.executable, program, which], capture_output=True, text=True, check=True).stdout

    assert run("0") == "4.25 0\n"
    one, other = (tmp_path / "cache").rglob("*.half-*.nbc")
    one.rename(tmp_path / "one")
    other.rename(one)
    (tmp_path / "one").rename(other)
    assert run("1") == "3.75 0\n"
    for kept in (tmp_path / "cache").rglob("*.second-*.nbc"):
        kept.unlink()
    assert run("1") == "3.75 2\n"


def test_the_installed_numba_is_one_that_the_compiler_was_tested_with() -> None:
    """Whoever moves to another version tries the compiler with it, and says so in jit.py."""
    assert numba.__version__.startswith(COMPILER_TESTED_WITH)


@pytest.mark.parametrize("value", ["2 ** self.n", "int(np.median(self.window))", "int(np.percentile(self.window, 50))", "int(max(self.window))"])
def test_what_numba_guards_against_division_by_zero_compiles(tmp_path: Path, value: str) -> None:
    """Powers of whole numbers, medians and quantiles divide within Numba's own code, which names the line of such an error in its own way."""
    body = f"window: (tl.float64, (8,))\ndef on_trade(self, trade, market, orders, account):\n    self.n = {value}"
    result = tapeline.Backtest(tiny_session(tmp_path / "x.dbn"), tick_size="0.25", multiplier=50).run(strategy(tmp_path, body)())
    assert result.manifest["records"] > 2_000
