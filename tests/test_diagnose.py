"""Strategies that do not compile, or raise: what is said about them, and where it is said to be."""

import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from strategy_files import BOOK, strategy, tiny_session

import tapeline as tl
from tapeline import jit, terminal
from tapeline.errors import CompileError

compiled_only = pytest.mark.skipif(not jit.JIT, reason="what Numba says is said only with the JIT on")


def complaint(folder: Path, session: Path, body: str, before: str = "") -> str:
    """What compiling a strategy of this body says."""
    cls = strategy(folder, body, before)
    with pytest.raises(CompileError) as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50).run(cls())
    return str(error.value)


@compiled_only
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"{BOOK}self.n = market.bid_pric", "market has no attribute 'bid_pric'; did you mean bid_price?"),
        (f"{BOOK}orders.by(market.bid_price, 1)", "orders has no attribute 'by'; did you mean buy?"),
        (f"{BOOK}self.n = account.positon", "account has no attribute 'positon'; did you mean position?"),
        ("def on_fill(self, fill, market, orders, account):\n    self.n = fill.pric", "fill has no attribute 'pric'; did you mean price?"),
        (f"{BOOK}self.nn = 3", "S has no field 'nn'; did you mean n?"),
        (f"{BOOK}self.counter = 3", "S has no field 'counter': declare it in the class, such as counter: tl.int64"),
        (f"{BOOK}self.helper(3)", "S has no attribute 'helper': declare it in the class, such as helper: tl.int64, or write the method"),
        (f"{BOOK}self.count += 1", "S has no attribute 'count': declare it in the class, such as count: tl.int64"),
        (f"{BOOK}self.n = self.size", "S has no attribute 'size': declare it in the class"),
        (f"{BOOK}self.n = orders.ahead(np.zeros(4, np.int64))", "an array stands where one number belongs: take an element of it, ids[i]"),
        (f"{BOOK}self.signal(0, 1.0)", "declare the names of the series first"),
        (f"{BOOK}orders.buy(market.bid_price)", "orders.buy: missing a required argument: 'size'"),
        (f"{BOOK}orders.buy(1, 2, 3, 4, 5)", "too many positional arguments; it takes price, size, instruction, expires"),
        (f"{BOOK}orders.buy(1, 2, tif=1)", "orders.buy: got an unexpected keyword argument 'tif'; it takes price, size, instruction, expires"),
        (f"{BOOK}orders.sell_stop(1, 2, limit=3)", "a stop that becomes a limit order is sell_stop_limit(stop, price, size)"),
        (f"{BOOK}for one in orders: self.n = 1", "of orders keep the ids that buy and sell return, in an array, ids: (tl.int64, (32,))"),
        (f"{BOOK}self.n = len(orders)", "of orders keep the ids that buy and sell return, in an array"),
        (f"{BOOK}orders.buy(market.bid_price, 1.7)", "orders take whole numbers (prices in 1e-9, lots, times in nanoseconds), and this is a float"),
        (f"{BOOK}orders.sell(market.bid_price + 1e9, 1)", "orders take whole numbers"),
        (f"{BOOK}orders.modify(self.n, market.bid_price * 1.0, 1)", "orders take whole numbers"),
        ("def on_timer(self, market, orders, account):\n    orders.wake_at(orders.now + 1e9)", "orders take whole numbers"),
        (f"{BOOK}orders.sell_stop(market.bid_price, 1, tl.GTD, orders.now + 1e9)", "orders take whole numbers"),
        (f"{BOOK}open('x')", "'open' cannot be used in compiled code"),
        (f"{BOOK}self.n = np.lnspace(0, 1, 3)[0]", "module 'numpy' has no attribute 'lnspace'"),
        (f"{BOOK}x = 'a' + 1", "add(str, int) is not possible"),
        (f"{BOOK}x = [1] if market.has_bid else 3.0; self.n = x", "is of type"),
        (f"{BOOK}self.n = undefined_name", "name 'undefined_name' is not defined"),
        (f"{BOOK}self.n = 'text'", "a str cannot be used as int64"),
        (f"{BOOK}print(f'{{market.bid_price:.2f}}')", "compiled code knows no formats in f-strings"),
        (f"{BOOK}self.n = market.features.MID", "features are found by their number: market.features[tl.Feature.MID]"),
        (f"{BOOK}self.n = int(market.features[tl.Feature.MICROPRCE])", "Feature has no attribute 'MICROPRCE'; did you mean MICROPRICE?"),
        (f"{BOOK}import math", "a callback cannot import: import at the top of the file"),
        (f"{BOOK}self.n = 1 if orders.is_live else 0", "is_live is a method: call it, is_live(…)"),
        (f"{BOOK}self.n = market.features['mid']", "an array is indexed by numbers, not by text: features[tl.Feature.MID]"),
        (f"{BOOK}self.n = market['SYN1'].bid_price", "indexed by whole numbers, not by symbols: market[i] is the i-th of instruments=, from 0"),
        (f"{BOOK}self.n = account[self.n / 2].position", "indexed by whole numbers, not by symbols"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, session: Path, body: str, said: str) -> None:
    """Each kind of mistake is named in the user's words, with the user's file and line, and the line itself."""
    message = complaint(tmp_path, session, body)
    lines = body.splitlines()
    assert message.startswith(str(tmp_path))
    assert ".py:8: in S.on_" in message
    assert said in message
    assert message.splitlines()[-1].strip() == lines[-1].strip()
    assert "Record(" not in message


@compiled_only
@pytest.mark.parametrize(
    ("body", "before", "line"),
    [
        (f"{BOOK}self.help(market)\ndef help(self, market):\n    x = 1\n    return market.bid_pric + x", "", "return market.bid_pric + x"),
        (f"{BOOK}self.one(market)\ndef one(self, m):\n    return self.two(m)\ndef two(self, m):\n    return m.bid_pric", "", "return m.bid_pric"),
        (f"{BOOK}self.n = price(market)", "def price(market):\n    y = 2\n    return market.bid_pric + y\n", "return market.bid_pric + y"),
        (f"{BOOK}self.n = price(3)", "def price(x):\n    return x + nowhere\n", "return x + nowhere"),
    ],
)
def test_a_mistake_in_a_helper_names_the_helpers_line(tmp_path: Path, session: Path, body: str, before: str, line: str) -> None:
    """An error inside a helper method, a helper's helper or a function beside the class names that line, and the callback that led there."""
    message = complaint(tmp_path, session, body, before)
    place, shown = message.splitlines()
    assert shown.strip() == line
    file, number, *_ = place.split(":")
    assert Path(file).read_text().splitlines()[int(number) - 1].strip() == line
    assert "in S.on_book" in message


@compiled_only
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("self.n = market['SYN1'].bid_price", "indexed by whole numbers, not by symbols: market[i] is the i-th of instruments=, from 0"),
        ("orders['SYN1'].buy(1, 1)", "indexed by whole numbers, not by symbols"),
        ("self.n = market[self.n / 2].bid_price", "indexed by whole numbers, not by symbols"),
        ("for i in range(len(market)):\n        self.n = i", "market.n is the number of instruments, and range(market.n) are their indices"),
        ("self.n = market.bid_price", "write market[i].bid_price, or choose one with instruments=[…]"),
    ],
)
def test_how_instruments_are_indexed_is_told(tmp_path: Path, body: str, said: str) -> None:
    """In a run on several instruments symbols and floats are no index, how many there are is market.n, and who leaves the index out learns of both ways on."""
    assert said in complaint(tmp_path, tiny_session(tmp_path / "two.dbn", instruments=2), f"{BOOK}{body}")


@compiled_only
def test_modules_that_are_not_compiled_are_named(tmp_path: Path, session: Path) -> None:
    """What Numba knows nothing of is named with its module."""
    said = complaint(tmp_path, session, f"{BOOK}self.n = datetime.date(2024, 1, 2).day", "import datetime")
    assert "datetime.date cannot be used in compiled code: of Python's and NumPy's functions Numba knows" in said


@compiled_only
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "size = 2\ndef on_book(self, market, orders, account):\n    self.size += 1",
            "'size' is no field but a constant of the class: declare it, size: tl.int64 = 2\n    self.size += 1",
        ),
        (f"{BOOK}global np\n    np = 3", "a variable of the module cannot be set in compiled code: make it a field of the class"),
        (f"{BOOK}self.n = self.down(3)\ndef down(self, k):\n    return self.down(k - 1) if k > 0 else 0", "a method that calls itself cannot be compiled"),
        (f"{BOOK}try:\n        self.n = 1 // self.n\n    except ZeroDivisionError:\n        self.n = 2", "write `except Exception:`"),
        (f"@staticmethod\ndef half(x):\n    return x // 2\n{BOOK}self.n = self.half(4)", "no attribute 'half', but one that is not compiled: make it a method"),
        (f"ids = []\n{BOOK}self.ids.append(1)", "S has no attribute 'ids': it is a list, which compiled code cannot have; a constant is a number"),
        (f"MODE = 'fast'\n{BOOK}self.n = 1 if self.MODE == 'fast' else 0", "S has no attribute 'MODE': it is a str, which compiled code cannot have"),
        (f"w: (tl.float64, (4,))\n{BOOK}self.w = np.zeros(4)", "field 'w' of S is an array, which is written into and not replaced: self.w[:] = …"),
        (f"w: (tl.float64, (4,))\n{BOOK}self.w = 0.0", "field 'w' of S is an array, which is written into and not replaced"),
        (f"{BOOK}if (size := market.bid_size) > 3:\n        self.n = size", "compiled code cannot assign inside an expression: give := a line of its own"),
        (f"{BOOK}self.set(n=3)\ndef set(self, *, n):\n    self.n = n", "compiled code knows no arguments by keyword only: leave out the *"),
    ],
)
def test_python_that_is_not_compiled_is_named(tmp_path: Path, session: Path, body: str, said: str) -> None:
    """Globals that are set, recursion, exceptions by kind, static methods, lists and text of a class, arrays in a field's place are named, with a way on."""
    assert said in complaint(tmp_path, session, body)


@compiled_only
@pytest.mark.parametrize(
    ("body", "before", "said"),
    [
        (
            f"{BOOK}self.n = TABLE[1]",
            "TABLE = [1, 2, 3]",
            "'TABLE' is a list of the module, which compiled code cannot have: make it a tuple",
        ),
        (f"{BOOK}self.n = TABLE[1]", "TABLE = {1: 2}", "'TABLE' is a dict of the module, which compiled code cannot have: make it a tuple"),
        (f"{BOOK}self.n = TABLE.args[0]", "TABLE = ValueError(1)", "'TABLE' is a ValueError of the module, which compiled code cannot have: make it a tuple"),
        (f"{BOOK}self.n = sys.flags.debug", "import sys", "sys.flags is a flags of the module, which compiled code cannot have: make it a tuple or a field"),
        (f"{BOOK}self.signals.append(1)", "", "a tuple has no append: what changes is a field of the class; a value of a series is recorded by self.signal"),
        (f"{BOOK}self.n = market.mid_price", "", "market has no attribute 'mid_price': it is a feature, market.features[tl.Feature.MID]"),
        (f"{BOOK}self.n = 1 in TABLE", "TABLE = {1, 2}", "'TABLE' is a set of the module, which compiled code cannot have: make it a tuple"),
        (f"{BOOK}TABLE[1] = 2", "TABLE = np.arange(3)", "an array of the module is a constant in compiled code: make it a field of the class"),
        (f"{BOOK}super().on_book(market, orders, account)", "", "super() cannot be compiled: what a base's callback does goes into a helper"),
        (f"{BOOK}self.n = Mine().x", "class Mine(tl.Record):\n    x: tl.int64\n", "'Mine' is a class, which compiled code cannot use: records are fields"),
        (f"{BOOK}with open('x'):\n        self.n = 1", "", "`with` cannot be compiled"),
        (f"{BOOK}self.help(market)\ndef help(self, m):\n    self.n = m.sped", "", "market has no attribute 'sped'"),
        (
            "def on_fill(self, fill, market, orders, account):\n    self.help(fill)\ndef help(self, f):\n    self.n = f.pric",
            "",
            "fill has no attribute 'pric'; did you mean price?",
        ),
        (
            "def on_status(self, status, market, orders, account):\n    self.help(status)\ndef help(self, s):\n    self.n = s.phas",
            "",
            "status has no attribute 'phas'",
        ),
    ],
)
def test_what_helpers_and_modules_hold_is_named(tmp_path: Path, session: Path, body: str, before: str, said: str) -> None:
    """Lists and arrays of the module, `with`, and mistakes in what a helper is given are told in the user's words, in on_status, too."""
    assert said in complaint(tmp_path, session, body, before)


@compiled_only
@pytest.mark.parametrize("use", ["run", "features"])
def test_a_traceback_ends_in_the_users_words_and_has_no_others(tmp_path: Path, session: Path, capsys: pytest.CaptureFixture[str], use: str) -> None:
    """A program or notebook shows what is wrong without the pages of Numba's behind it; these are there for `--traceback`."""

    class Wrong(tl.CustomFeature):
        n: tl.int64

        def update(self, market: Any) -> Any:
            return self.n + open  # of which Numba knows nothing

    wrong = strategy(tmp_path, f"{BOOK}self.nn = 3")()
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: tl.Backtest(session, tick_size="0.25", multiplier=50).run(wrong),
        "features": lambda: tl.features(session, [Wrong()], tick_size="0.25"),
    }
    with pytest.raises(CompileError) as error:
        calls[use]()
    shown = "".join(traceback.format_exception(error.value))
    assert "direct cause" not in shown
    assert "site-packages" not in shown
    with pytest.raises(typer.Exit):
        terminal.fail(error.value, with_traceback=True)
    assert "numba" in capsys.readouterr().err


@compiled_only
def test_a_value_that_does_not_fit_is_named(tmp_path: Path, session: Path) -> None:
    """A structure assigned to a number is named; Numba knows only the callback, not the line."""
    assert "S.on_book: a Market cannot be used as int64" in complaint(tmp_path, session, f"{BOOK}self.n = market")


@compiled_only
def test_several_instruments_are_indexed(tmp_path: Path) -> None:
    """In a run with several instruments, `market.bid_price` is answered with `market[i].bid_price`."""
    message = complaint(tmp_path, tiny_session(tmp_path / "two.dbn", instruments=2), f"{BOOK}self.n = market.bid_price")
    assert "write market[i].bid_price" in message


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("depth = 2\n" + BOOK + "self.n = market.bid(7).price", IndexError, "outside the strategy's declared depth"),
        ("window: (tl.float64, (3,))\n" + BOOK + "self.window[self.n + 7] = 1.0", IndexError, "out of bounds"),
        (BOOK + "if market.has_bid:\n        raise ValueError('I do not like this')", ValueError, "I do not like this"),
        (BOOK + "market[1].bid_price", IndexError, "one instrument"),
        ("def on_timer(self, market, orders, account):\n    self.n = 1\n" + BOOK + "orders.wake_at(orders.now)", ValueError, "wake_at"),
        ("def on_end(self, market, orders, account):\n    raise ValueError('not at the end')", ValueError, "not at the end"),
    ],
)
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_what_a_strategy_raises_is_raised(tmp_path: Path, session: Path, body: str, kind: type, said: str, engine: str) -> None:
    """A strategy that raises ends the run in either engine with the same kind of error; compiled, a note says who it was, and where to see more."""
    cls = strategy(tmp_path, body)
    with pytest.raises(kind) as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(tl.Row(cls(), label="the first"), tl.Row(cls(), label="the second"))
    if engine == "compiled":
        assert said in str(error.value)
        assert error.value.__notes__[0].startswith("the first raised it in a callback, among the first ")
        assert ("engine='reference'" in error.value.__notes__[0]) == jit.JIT
    else:
        assert str(tmp_path) in terminal.place(error.value)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("window: (tl.float64, (3,))\n" + BOOK + "self.n += 7\n    self.window[self.n] = 1.0", 10),
        (BOOK + "seen = [1, 2]\n    self.n = seen[self.n + 2]", 9),
        (BOOK + "self.at(orders)\ndef at(self, orders):\n    ends = (1, 2)\n    self.n = ends[self.n + 3]", 11),
    ],
)
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_an_index_out_of_range_has_its_line(tmp_path: Path, session: Path, body: str, line: int, engine: str) -> None:
    """Of an array, a list and a tuple, in callbacks and in helpers, either engine tells the line that looked behind the end."""
    with pytest.raises(IndexError) as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(strategy(tmp_path, body)())
    assert re.search(rf"\.py:{line}: $", terminal.place(error.value))


@compiled_only
def test_a_level_that_is_too_deep_has_its_line(tmp_path: Path, session: Path) -> None:
    """Compiled code knows the line of this package's that raised; the note names those of the strategy's, helpers' among them, that ask for levels."""
    body = f"depth = 2\n{BOOK}self.n = market.ask(1).size\n    self.n = self.at(market)\ndef at(self, market):\n    return market.bid(self.n - self.n + 7).size"
    cls = strategy(tmp_path, body)
    with pytest.raises(IndexError) as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50).run(cls())
    (note,) = error.value.__notes__
    assert re.search(r" bid\(i\) is called at \S+\.py:12; depth = 2\.", note)


@compiled_only
def test_a_strategy_prints_while_it_is_debugged(tmp_path: Path, session: Path) -> None:
    """`print` of text and numbers works in the run that compiles the strategy, as in later ones, which load it: both say the same, and end."""
    new = time.time_ns()  # so that nobody has compiled it before
    body = f"if self.n == 0:\n        print('price', market.bid_price, {new})\n    self.n += 1"
    strategy(tmp_path, BOOK + body, name="printing")
    command = [sys.executable, "-m", "tapeline", "run", "printing.py:S", str(session), "--tick-size", "0.25", "--multiplier", "50", "--no-save"]
    said = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()[0] for _ in range(2)]
    assert said[0].startswith("price 4")
    assert said[0].endswith(str(new))
    assert said[0] == said[1]
