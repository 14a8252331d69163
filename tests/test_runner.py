"""Compiled strategies kept on disk: what is found again, what is noticed, and what happens where nothing can be kept."""

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import pytest
from strategy_files import HEAD, strategy, tiny_session
from streams import Stream

import tapeline as tl
from tapeline import jit, precompile
from tapeline.engine import callbacks
from tapeline.engine.due import next_news
from tapeline.load import load_strategy
from tapeline.runner import Fingerprint, source, uses

MAKER = (
    HEAD
    + """
import beside


def price(market):
    return market.bid_price - {offset}


class Maker(tl.Strategy):
    size: tl.int64 = 1
    bid_id: tl.int64

    def on_book(self, market, orders, account):
        if market.has_bid and not orders.is_live(self.bid_id):
            self.bid_id = orders.buy(price(market) - beside.offset(), self.size, tl.GTC)
"""
)
PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import tapeline as tl
from tapeline.load import load_strategy
result = tl.Backtest("tiny.dbn", tick_size="0.25", multiplier=50).run(load_strategy("maker.py:Maker")())
print(result.orders["price"][0])
"""


class Folder:
    """A directory with a strategy, a module that it imports, data, and a cache of its own, which starts as a copy of what this process has."""

    def __init__(self, path: Path) -> None:
        """Write the files, copy the cache without runners."""
        self.path, self.cache = path, path / "cache"
        have = jit.cache_directory()
        if have is not None:
            shutil.copytree(have, self.cache / "tapeline" / have.name, ignore=shutil.ignore_patterns("tapeline_run_*", "*tmp*"))
        tiny_session(path / "tiny.dbn")
        self.write(0, 0)
        (path / "program.py").write_text(PROGRAM)

    def write(self, offset: int, beside: int) -> None:
        """The strategy, whose helper and imported module take these off the price."""
        (self.path / "maker.py").write_text(MAKER.format(offset=offset))
        (self.path / "beside.py").write_text(f"def offset():\n    return {beside}\n")

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program in a process of its own."""
        env = os.environ | {"TAPELINE_CACHE": str(self.cache)} | environment
        return subprocess.run([sys.executable, "program.py"], cwd=self.path, env=env, capture_output=True, text=True, check=True)

    def price(self) -> int:
        """Price of the first order, run in a process of its own, relative to the one without offsets."""
        return round(float(self.run().stdout) * 1e9)

    def kept(self) -> set[Path]:
        """What is compiled and on disk."""
        return set(self.cache.rglob("*.nb?"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """One folder for all tests here: the first run in it compiles the strategy, and what the engine's cache lacks."""
    made = Folder(tmp_path_factory.mktemp("runner"))
    yield made
    shutil.rmtree(made.cache, ignore_errors=True)


def test_a_second_process_compiles_nothing(folder: Folder) -> None:
    """The first process says that it compiles; the second writes no code, says nothing and computes the same."""
    before = folder.kept()
    first = folder.run()
    kept = folder.kept()
    assert any(path.name.startswith("tapeline_run_") for path in kept - before)
    assert "compiling" in first.stderr
    second = folder.run()
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert folder.kept() == kept


def test_edited_helpers_are_noticed(folder: Folder) -> None:
    """An edited function in the strategy's file, or in a module that it imports, is compiled anew; going back finds the old code again."""
    tick = 250_000_000
    folder.write(0, 0)
    before = folder.price()
    folder.write(tick, 0)
    assert folder.price() == before - tick
    folder.write(tick, 2 * tick)
    assert folder.price() == before - 3 * tick
    kept = folder.kept()
    folder.write(0, 0)
    assert folder.price() == before
    assert folder.kept() == kept


def test_what_runners_call_is_kept() -> None:
    """Another strategy does not compile it again, but for what takes the strategy itself."""
    called = {name: getattr(callbacks, name) for name in callbacks.__all__ if name.islower() and name != "record_at"} | {"next_news": next_news}
    assert {name for name, function in called.items() if function._cache.cache_path is None} == {"keep_signals"}


def signalled(path: Path, *strategies: tl.Strategy) -> list[float]:
    """What rows signal in a run of a few records."""
    return tl.Backtest(path, tick_size="1", multiplier=1.0, instruments=[1]).run(*strategies).signals["value"].to_list()


def test_a_class_that_is_defined_again_is_compiled_again(tmp_path: Path) -> None:
    """As a cell of a notebook that was edited: the new methods run, those of its records too, with the constants of now. What it was can still be run."""
    path = Stream().add(1, "B", 100, 5, ts=100).quiet(300).write(tmp_path / "x.dbn")
    cell = types.ModuleType("cell")
    sys.modules["cell"] = cell

    def defined(text: str) -> type:
        exec(text, cell.__dict__)  # noqa: S102 - as a notebook does
        return cell.S

    first = defined(CELL)
    assert signalled(path, first()) == [111]
    second = defined(CELL.replace("100 + ", "200 + ").replace("return 10", "return 20").replace("K = 1", "K = 2"))
    assert signalled(path, second()) == [222]
    assert signalled(path, first()) == [112]
    with pytest.raises(tl.ConfigError, match=r"cell\.S is the name of two classes"):
        signalled(path, first(), second())


CELL = """
import tapeline as tl
K = 1
class Part(tl.Record):
    n: tl.int64
    def value(self):
        return 10
class S(tl.Strategy):
    signals = ("value",)
    part: Part
    def on_start(self, market, orders, account):
        self.signal(0, 100 + self.part.value() + K)
"""


def test_a_class_that_came_by_value_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of a notebook reaches joblib's workers attribute by attribute: compiled code, which was never told of it or its parts, learns of them."""
    data = tiny_session(tmp_path / "tiny.dbn")
    with monkeypatch.context() as patch:
        patch.setattr("tapeline.record.bind", lambda cls: setattr(cls, "type_", numba.from_dtype(cls.dtype_)))

        class Carried(tl.Record):
            size: tl.int64 = 2

            def lots(self):
                return self.size

        class Worker(tl.Strategy):
            carried: Carried
            order_id: tl.int64

            def on_book(self, market, orders, account):
                if self.order_id == 0 and market.has_bid:
                    self.order_id = orders.buy(market.bid_price, self.carried.lots())

    assert tl.Backtest(data, tick_size="0.25", multiplier=50).run(Worker()).orders["size"].to_list() == [2]


def test_a_cache_that_cannot_be_written_is_said_and_works(folder: Folder, tmp_path: Path) -> None:
    """Where nothing can be kept the run works, says so, and says what to do."""
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    folder.write(0, 0)
    before = folder.run().stdout
    done = folder.run(TAPELINE_CACHE=str(blocked))
    assert done.stdout == before
    assert "cannot be written" in done.stderr
    assert "TAPELINE_CACHE" in done.stderr
    assert "the next start" not in done.stderr


ENTRIES = """
import errno, os, resource, sys


def read_only(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR) and str(args[0]).startswith(os.environ["TAPELINE_CACHE"]):
        raise OSError(errno.EROFS, "Read-only file system", args[0])


if sys.argv[1:] == ["full"]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
elif sys.argv[1:] == ["read only"]:
    sys.addaudithook(read_only)
    os.access = lambda path, mode: not mode & os.W_OK

from tapeline import jit, runner


@jit.entry
def doubled(x):
    return 2 * x


generated = runner.import_generated("tapeline_generated", "from tapeline.jit import entry\\n\\n\\n@entry\\ndef tripled(x):\\n    return 3 * x\\n")
print(doubled(7), generated.tripled(7))
print(*[] if jit.keeps() else ["not kept"])
"""


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_a_cache_that_is_full_or_damaged_ends_nothing(tmp_path: Path) -> None:
    """What finds no room on the disk is not kept, which is said once; what was cut or overwritten there is compiled again, and is whole from then on."""
    run = entries_in(tmp_path)
    full = run("full")
    assert full.stdout == "14 21\n\n"
    assert full.stderr.count("tapeline: compiled code is not kept") == 1
    assert "(File too large); set TAPELINE_CACHE to a directory that can" in full.stderr
    first = run()
    kept = sorted((tmp_path / "cache").rglob("*.nb?"))
    assert (first.stdout, first.stderr, len(kept)) == ("14 21\n\n", "", 4)
    for damage in (b"", b"no pickle", kept[0].read_bytes()[:-9]):
        for place in (slice(0, 4), slice(0, 4, 2), slice(1, 4, 2)):
            for path in kept[place]:
                path.write_bytes(damage)
            again = run()
            assert (again.stdout, again.stderr) == ("14 21\n\n", "")
            assert all(path.read_bytes() != damage for path in kept)


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_a_cache_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    """As in a container whose image brings it: what is there is not compiled again, and nothing is said; the rest is compiled, and that is said once."""
    run = entries_in(tmp_path)
    run()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb?")}
    found = run("read only")
    assert (found.stdout, found.stderr) == ("14 21\nnot kept\n", "")
    next(path for path in kept if path.suffix == ".nbc").unlink()
    compiled = run("read only")
    assert compiled.stdout == "14 21\nnot kept\n"
    assert compiled.stderr.count("tapeline: compiled code is not kept") == compiled.stderr.count("\n") == 1
    assert "(Read-only file system); set TAPELINE_CACHE to a directory that can" in compiled.stderr
    assert {path: kept[path] for path in (tmp_path / "cache").rglob("*.nb?")}.items() < kept.items()


def entries_in(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """What runs ENTRIES in a process of its own, with a cache of its own."""
    (folder / "entries.py").write_text(ENTRIES)
    env = os.environ | {"TAPELINE_CACHE": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "entries.py", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True)

    return run


def fingerprint(folder: Path, text: str) -> str:
    """That of class S in a file with this text."""
    path = folder / "strategy.py"
    path.write_text(HEAD + text)
    made = Fingerprint()
    made.add(load_strategy(f"{path}:S"))
    return made.hexdigest()


BASE = """
import types
package, module = types.ModuleType("package"), types.ModuleType("package.module")
package.module, module.SETTING = module, 11
ONE, OTHER, THIRD = 1, 2, 1
TABLES = (np.zeros(2000), np.full(2000, 1.0))
K = 3
TABLE = np.array([1.0, 2.0])
def far(x):
    return x + K
def near(x):
    return far(x)
class Inner(tl.Record):
    z: tl.int64
    def deep(self):
        return 8
class Part(tl.Record):
    inner: (Inner, (2,))
    def more(self, x):
        return x + 9
class Settings(tl.Record):
    sizes: (tl.int64, (20,)) = 1
    def last(self):
        return self.sizes[19]
SETTINGS = Settings()
SETTINGS.sizes[10] = 3
class Mixin:
    def mixed(self):
        return 12
    @property
    def mean(self):
        return 14
class S(Mixin, tl.Strategy):
    n: tl.int64 = 1
    part: Part
    limit = 7
    def on_book(self, market, orders, account):
        self.n = near(3) + self.limit + int(TABLE[0]) + self.help() + ONE + OTHER + THIRD + int(TABLES[1][1000]) + SETTINGS.sizes[10] + SETTINGS.last()
        self.n += package.module.SETTING
    def help(self):
        return 5
"""


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("K = 3", "K = 4"),
        ("x + K", "x - K"),
        ("near(3)", "near(4)"),
        ("limit = 7", "limit = 8"),
        ("2.0]", "2.5]"),
        ("return 5", "return 6"),
        ("x + 9", "x - 9"),
        ("return 8", "return 9"),
        ("n: tl.int64 = 1", "n: tl.int32 = 1"),
        ("on_book", "on_fill"),
        ("1, 2, 1", "1, 2, 2"),
        ("2000, 1.0)", "2000, 1.5)"),
        ("sizes[10] = 3", "sizes[10] = 4"),
        ("sizes[19]", "sizes[18]"),
        ("module, 11", "module, 12"),
        ("return 12", "return 13"),
        ("return 14", "return 15"),
    ],
)
def test_whatever_code_depends_on_is_in_its_name(tmp_path: Path, old: str, new: str) -> None:
    """A change of a constant, a helper's helper, a class attribute, an array, a method or a field's type is another name; a comment is none.

    So is that of a method of a record that a field is, or of one that is a field of that; and of a constant that becomes equal to another one.
    """
    before = fingerprint(tmp_path, BASE)
    assert fingerprint(tmp_path, BASE.replace(old, new)) != before
    assert fingerprint(tmp_path, BASE.replace("    def help", "    # a comment\n    def help")) == before


@pytest.mark.nojit
def test_the_runner_is_as_large_as_its_classes(tmp_path: Path) -> None:
    """A runner makes the callbacks that its classes have, and no others; helpers count when it is asked what a class uses."""
    fingerprint(tmp_path, BASE)
    cls = load_strategy(f"{tmp_path / 'strategy.py'}:S")
    text = source([cls], several=False)
    assert "ON_BOOK" in text
    assert "ON_FILL" not in text
    assert uses(cls, "help")
    assert not uses(cls, "ahead")
    fingerprint(tmp_path, BASE.replace("def near(x):", "def near(x):\n    x.ahead"))  # in a function beside the class
    assert uses(load_strategy(f"{tmp_path / 'strategy.py'}:S"), "ahead")
    fingerprint(tmp_path, BASE.replace("return x + 9", "return x.ahead"))  # in a record that it has
    assert uses(load_strategy(f"{tmp_path / 'strategy.py'}:S"), "ahead")


def test_the_cache_is_named_after_all_sources() -> None:
    """The directory of compiled code is named after the package's own sources and the versions of what compiles them."""
    directory = jit.cache_directory()
    assert directory is None or directory.name == jit.sources_key()


@pytest.mark.skipif(not jit.JIT, reason="only compiled code is kept")
def test_code_that_cannot_be_kept_is_told_of(tmp_path: Path) -> None:
    """Code with a large array of the module runs, and a warning says in plain words that it is not kept, and what would be; of a small one nothing is said."""
    body = "def on_trade(self, trade, market, orders, account):\n    self.n += TABLE[trade.size % 8]"
    backtest = tl.Backtest(tiny_session(tmp_path / "tiny.dbn"), tick_size="0.25", multiplier=50)
    backtest.run(strategy(tmp_path, body, "TABLE = np.arange(8)")())
    with pytest.warns(UserWarning, match=r"a large array of the module \(TABLE\) is not kept: .* as a parameter, an array with a default, it would be kept"):
        backtest.run(strategy(tmp_path, body, "TABLE = np.arange(200_000)")())


def test_who_has_no_home_compiles_all_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a user whom the system does not know, as in a container with any number for one, nothing is kept, and that is said with what to do."""
    for name in ("TAPELINE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)
    assert jit.cache_directory.__wrapped__() is None
    assert "~/.cache cannot be written (Could not determine home directory.); set TAPELINE_CACHE" in capsys.readouterr().err


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_a_second_process_that_cannot_be_had_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system starts no helper, for want of memory or of a program, this process compiles all by itself."""
    monkeypatch.setattr(jit, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no such program"))
    assert precompile.start() is None
