"""Strategies and parameters named on a command line."""

import sys
from pathlib import Path

import pytest

from tapeline.config import RowSpec, Venue
from tapeline.errors import ConfigError
from tapeline.frames import Row
from tapeline.load import load_strategy, parse_parameters

pytestmark = pytest.mark.nojit

SOURCE = """
import tapeline as tl
import beside_{name}

class Base:
    pass

class Maker(tl.Strategy):
    latency = tl.Latency(entry="100us", response="50us")
    size: tl.int64 = {size}
    skew: tl.float64 = 0.5
    is_shy: tl.bool_ = True
    small: tl.uint8 = 1
    side: tl.int64 = tl.Side.BID
    weights: (tl.float64, (3,)) = (1.0, 2.0, 3.0)
    grid: (tl.int64, (2, 3)) = 0
    bid_id: tl.int64

    def on_book(self, market, orders, account):
        pass

class Taker(tl.Strategy):
    size: tl.int64 = 1

    def on_book(self, market, orders, account):
        pass
"""


def write(folder: Path, name: str = "strategies", size: int = 1) -> Path:
    """A file with two strategies that imports the file beside it."""
    (folder / f"beside_{name}.py").write_text("X = 1\n")
    path = folder / f"{name}.py"
    path.write_text(SOURCE.format(name=name, size=size))
    return path


def test_a_class_is_loaded_from_a_file(tmp_path: Path) -> None:
    """`file.py:Class` gives that class, and the file may import what lies beside it."""
    strategy = load_strategy(f"{write(tmp_path)}:Maker")
    assert strategy.__name__ == "Maker"
    assert strategy(size=3).size == 3


def test_the_module_name_depends_on_the_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path is written, the module has one name, under which it is registered; another file has another."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    names = [load_strategy(f"{path}:Maker").__module__ for path in (first, "a/strategies.py", "b/../a/strategies.py", second)]
    assert names[0] == names[1] == names[2] != names[3]
    assert set(names) <= set(sys.modules)


def test_a_file_is_loaded_anew_only_if_it_changed(tmp_path: Path) -> None:
    """The same content gives the same class; an edited file gives its new code under the same name."""
    spec = f"{write(tmp_path)}:Maker"
    first = load_strategy(spec)
    assert load_strategy(spec) is first
    write(tmp_path, size=9)
    second = load_strategy(spec)
    assert (first().size, second().size) == (1, 9)
    assert first.__module__ == second.__module__


def test_a_class_is_loaded_from_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:Class` finds modules in the working directory."""
    write(tmp_path, "my_strategies")
    monkeypatch.chdir(tmp_path)
    assert load_strategy("my_strategies:Taker").__name__ == "Taker"


@pytest.mark.parametrize(("spec", "meant"), [("my_strategies", "my_strategies.py"), ("my_strategies.Taker", "my_strategies.py:Taker"), ("x.Taker", None)])
def test_what_is_no_module_but_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, meant: str | None) -> None:
    """A file named without its ending, and a class with a dot in place of the colon, are told as they would be right."""
    (tmp_path / "my_strategies.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    monkeypatch.setitem(sys.modules, "my_strategies", None)  # as if it were not found
    with pytest.raises(ConfigError, match=f"{spec}: no such module; is {meant} meant" if meant else f"{spec}: no such module$"):
        load_strategy(f"{spec}:Taker" if spec == "my_strategies" else spec)


def test_a_file_may_be_named_alone_if_it_has_one_strategy(tmp_path: Path) -> None:
    """Without `:Class` the only strategy of a file is meant; of two, none is."""
    path = tmp_path / "one.py"
    path.write_text("import tapeline as tl\nclass Only(tl.Strategy):\n    x: tl.int64\n    def on_book(self, market, orders, account):\n        pass\n")
    assert load_strategy(str(path)).__name__ == "Only"
    with pytest.raises(ConfigError, match=r"which class.*Maker, Taker"):
        load_strategy(str(write(tmp_path)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:Maker", r"nowhere.py: no such file"),
        ("no_such_module_x:Maker", "no_such_module_x: no such module"),
        (":Maker", "expected file.py:Class"),
        ("{path}:Mker", "did you mean 'Maker'"),
        ("{path}:Zzz", "strategies there: Maker, Taker"),
        ("{path}:Base", "no subclass of tapeline.Strategy"),
        ("{path}:tl", "no subclass of tapeline.Strategy"),
        ("tapeline:Strategy", "Strategy is no subclass of tapeline.Strategy"),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path: Path, spec: str, message: str) -> None:
    """A missing file, module or class, and a class that is no strategy, are ConfigErrors that say what there is."""
    with pytest.raises(ConfigError, match=message):
        load_strategy(spec.format(path=write(tmp_path)))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nclass A(:\n", r"line 2: SyntaxError: [^(]+\n    class A\(:$"),
        ("x = 1\n\ny = z\n", r"line 3: NameError"),
        ("import no_such_thing_x\n", r"line 1: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)\n", r"line 2: SystemExit: 3"),
    ],
)
def test_errors_in_the_file_name_its_line(tmp_path: Path, source: str, message: str) -> None:
    """A file that cannot be imported is a ConfigError with the line and the error, and leaves no half-made module."""
    path = tmp_path / "broken.py"
    path.write_text(source)
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=rf"broken\.py: {message}"):
        load_strategy(f"{path}:A")
    assert set(sys.modules) == before


def test_parameters_are_parsed_by_the_type_of_the_field(tmp_path: Path) -> None:
    """Integers (also 1_000 and hexadecimal), floats, booleans and arrays, those of two dimensions row by row; the instance has the values."""
    strategy = load_strategy(f"{write(tmp_path)}:Maker")
    values = parse_parameters(strategy, ["size=1_000", "skew=-1e-3", "is_shy=no", "small=0xff", "weights=1, 2.5,3", "grid=1,2,3,4,5,6"])
    assert values["size"] == 1000
    assert values["skew"] == -0.001
    assert values["is_shy"] is False
    assert values["small"] == 255
    instance = strategy(**values)
    assert (instance.size, instance.small, list(instance.weights)) == (1000, 255, [1.0, 2.5, 3.0])
    assert instance.grid.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_members_of_enumerations_have_their_names(tmp_path: Path) -> None:
    """Where the default is a member, others are set by name or number; the instance and its row in a result show the name, of no member the number."""
    strategy = load_strategy(f"{write(tmp_path)}:Maker")
    for setting, number, word in (("side=ask", 65, "ASK"), ("side=65", 65, "ASK"), ("side=7", 7, None)):
        instance = strategy(**parse_parameters(strategy, [setting]))
        row = Row.of(RowSpec(instance, Venue(), "maker"))
        assert instance.side == row.parameters["side"] == number
        assert row.words == ({"side": word} if word else {})
        assert f"side={word or number}, " in repr(instance)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sise=1", "no parameter 'sise'; did you mean 'size'"),
        ("qqq=1", "its parameters are: size, skew, is_shy, small, side, weights, grid"),
        ("bid_id=1", "no parameter 'bid_id'"),
        ("size", "expected name=value"),
        ("=1", "expected name=value"),
        ("size=1.5", "size=1.5: expected an integer"),
        ("skew=wide", "skew=wide: expected a number"),
        ("is_shy=maybe", "expected true or false"),
        ("side=up", "side=up: expected an integer or BID or ASK or NONE"),
        ("small=256", "expected an integer from 0 to 255"),
        ("weights=1,2", "expected 3 values"),
        ("grid=1,2", "expected 2 x 3 values, separated by commas"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, setting: str, message: str) -> None:
    """Unknown names get the nearest known one, state is no parameter, and values must fit the field."""
    strategy = load_strategy(f"{write(tmp_path)}:Maker")
    with pytest.raises(ConfigError, match=message):
        parse_parameters(strategy, [setting])


def test_rows_of_results_know_the_parameters(tmp_path: Path) -> None:
    """A row of a result has the class's name and the instance's parameters as plain values, without its state."""
    strategy = load_strategy(f"{write(tmp_path)}:Maker")
    made = Row.of(RowSpec(strategy(size=7), Venue(), "seven"))
    assert (made.label, made.strategy, made.signals) == ("seven", "Maker", ())
    assert made.parameters == {"size": 7, "skew": 0.5, "is_shy": True, "small": 1, "side": 66, "weights": [1.0, 2.0, 3.0], "grid": [[0, 0, 0], [0, 0, 0]]}
