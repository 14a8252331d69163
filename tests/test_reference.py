"""docs/reference.md names what there is: each of its tables has the names, defaults and units that the code has, no more and no fewer."""

import dataclasses
import inspect
import re
from enum import Enum
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer.main
from documents import Document, codes, names
from strategy_files import strategy, tiny_session

import tapeline as tl
from tapeline import cli, constants, contract, errors
from tapeline.config import UNLIMITED
from tapeline.constants import FEATURE_ACTIVITY_FIRST, TapeFlag
from tapeline.engine.account import Account
from tapeline.engine.gateway import Orders
from tapeline.engine.records import Message, PhaseNews, Print
from tapeline.market.book import Market
from tapeline.reference import account, market, messages, orders
from tapeline.result import Result
from tapeline.stats import METRICS

REFERENCE = Document("docs/reference.md")
TABLES = REFERENCE.tables()
ABOUT = "trade, event, update, fill, status"
FEATURES = ("Features: of the book: a change wakes on_book", "Features: of what happened: wakes nobody")
ENGINES: dict[str, tuple[Any, Any]] = {
    "market": (Market, market.Market),
    "orders": (Orders, orders.Orders),
    "account": (Account, account.Account),
    "trade": (Print, messages.TradePrint),
    "event": (Print, messages.EventNotice),
    "update": (Message, messages.OrderUpdate),
    "fill": (Message, messages.FillReport),
    "status": (PhaseNews, messages.StatusNotice),
}
"""Argument of a callback → its class in either engine."""
KINDS = ("limit", "market", "stop", "stop-limit")
"""Of orders, as the table of instructions names them."""


def table_of(argument: str) -> list[list[str]]:
    """The table that says what an argument has."""
    return TABLES[f"{argument}: name"] if argument in ("market", "orders", "account") else TABLES[f"{ABOUT}: {argument}"]


def test_callbacks_are_those_of_the_contract() -> None:
    """All callbacks, in their order, with their arguments."""
    assert {row[0].strip("`"): row[1].strip("`") for row in TABLES["Callbacks: callback"]} == contract.CALLBACKS


def test_help_lists_the_callbacks() -> None:
    """help(tl.Strategy) has every callback, with its parameters."""
    assert all(f"{name}(self, {parameters})" in (tl.Strategy.__doc__ or "") for name, parameters in contract.CALLBACKS.items())


def test_the_body_of_a_strategy_is_as_said(tmp_path: Path) -> None:
    """What is said to stand in a class makes one, with all that `tl.Strategy` knows."""
    lines = [codes(row[0])[0] for row in TABLES["Strategy: in the class"]]
    made = strategy(tmp_path, "\n".join(lines), "class Pressure(tl.Record):\n    x: tl.int64\n")
    assert {"size", "order_id", "window", "pressure"} <= set(made.fields_)
    assert (made().size, made.LOTS) == (1, 5)
    assert [name for name in inspect.get_annotations(tl.Strategy) if getattr(made, name) == getattr(tl.Strategy, name)] == []


def test_types_of_fields_are_as_said(tmp_path: Path) -> None:
    """Each type that is named makes a field of that type, those of Python the 64-bit ones."""
    line = next(line for line in REFERENCE.text.splitlines() if line.startswith("Types of fields: "))
    kinds = [code for code in codes(line) if code in {"int", "float", "bool"} or code.removeprefix("tl.") in tl.__all__]
    fields = strategy(tmp_path, "\n".join(f"f{k}: {kind}" for k, kind in enumerate(kinds))).dtype_.fields
    said = {"int": "int64", "float": "float64", "tl.bool_": "bool"}
    assert [str(fields[f"f{k}"][0]) for k in range(len(kinds))] == [said.get(kind, kind.removeprefix("tl.")) for kind in kinds]


@pytest.mark.parametrize("argument", ENGINES)
def test_arguments_have_what_is_said(argument: str) -> None:
    """What is said of a callback's argument is all that strategies may use of it, and both engines have it."""
    said = names(table_of(argument))
    assert sorted(said) == sorted(set(said)) == sorted(contract.MEMBERS[argument])
    for engine in ENGINES[argument]:
        set_at_start = engine.__init__.__code__.co_names if inspect.isfunction(engine.__init__) else ()
        assert [name for name in said if not hasattr(engine, name) and name not in set_at_start] == []


@pytest.mark.parametrize("engine", [0, 1])
def test_orders_take_what_is_said(engine: int) -> None:
    """The parameters of each method of `orders`, and their defaults, are those of both engines."""
    for code in (code for row in TABLES["orders: name"] for code in codes(row[0]) if "(" in code):
        name, _, said = code.rstrip(")").partition("(")
        parameters = list(inspect.signature(getattr(ENGINES["orders"][engine], name)).parameters.values())[1:]
        taken = [p.name if p.default is p.empty else f"{p.name}={'GTC' if p.name == 'instruction' else p.default}" for p in parameters]
        assert said == ", ".join(taken), name


def test_instructions_are_all() -> None:
    """All bits and times in force that users may give."""
    given = ("GTC", "IOC", "FOK", "DAY", "GTD", "POST_ONLY", "REDUCE_ONLY", "ON_QUOTE")
    assert names(TABLES["Instructions: instruction"]) == list(given)
    assert all(name in tl.__all__ and hasattr(constants, name) for name in given)


class OneOrder(tl.Strategy):
    """Sends an order of a kind, with an instruction, before the market begins."""

    kind: tl.int64 = 0  # its place in KINDS
    instruction: tl.int64 = 0

    def on_start(self, market, orders, account):
        """At any price: whether the gateway takes such an order is asked, and no more."""
        price, expires = 4800 * constants.PRICE_SCALE, orders.now + 1 if self.instruction == tl.GTD else 0
        if self.kind == 0:
            orders.buy(price, 1, self.instruction, expires)
        elif self.kind == 1:
            orders.buy_market(1, self.instruction)
        elif self.kind == 2:
            orders.buy_stop(price, 1, self.instruction, expires)
        else:
            orders.buy_stop_limit(price, price, 1, self.instruction, expires)


def test_instructions_are_for_the_orders_that_are_named(tmp_path: Path) -> None:
    """The gateway takes an instruction with those kinds of orders that the table names, and refuses it with all others."""
    table = TABLES["Instructions: instruction"]
    said = {(name, kind): row[1] == "all" or kind in row[1].split(", ") for row in table for name in names([row]) for kind in KINDS}
    rows = [OneOrder(kind=KINDS.index(kind), instruction=getattr(tl, name)) for name, kind in said]
    path = tiny_session(tmp_path / "x.dbn")
    orders = tl.Backtest(path, tick_size="0.25", multiplier=50, engine="reference").run(*rows).orders
    refused = set(orders.filter(pl.col("reason") == "instruction")["row"])
    assert {pair: row not in refused for row, pair in enumerate(said)} == said


@pytest.mark.parametrize("kind", ["Side", "Update", "Reason", "FillRule", "Status", "Phase", "Kind"])
def test_enumerations_have_all_members(kind: str) -> None:
    """Each member of an enumeration is told once."""
    members: type[Enum] = getattr(tl, kind)
    assert sorted(names(TABLES[f"Enumerations: tl.{kind}"])) == sorted(members.__members__)


def test_the_number_of_features_is_right() -> None:
    """README and guide say how many features there are."""
    assert all(f"{len(tl.Feature)} features" in Document(name).text for name in ("README.md", "docs/guide.md"))


def test_flags_of_events_have_their_bits() -> None:
    """The bits of `event.flags`."""
    row = next(row for row in TABLES[f"{ABOUT}: event"] if "flags" in row[0])
    assert all(f"`{flag.name}` {flag.value}" in row[1] for flag in TapeFlag)


def test_features_are_all_and_wake_as_said() -> None:
    """Every feature stands in the table of those that wake a strategy, or of those that do not."""
    for said, wakes in zip(FEATURES, (True, False), strict=True):
        assert sorted(names(TABLES[said])) == sorted(f.name for f in tl.Feature if (f < FEATURE_ACTIVITY_FIRST) == wakes)


def test_features_have_the_units_of_their_formulas() -> None:
    """The unit of each feature is that of ARCHITECTURE.md, which has the formulas."""
    formulas = Document("docs/ARCHITECTURE.md").tables()["Features: feature"]
    units: dict[str, str] = {}
    for features, _, unit in formulas:
        named, each = features.replace(";", ",").split(", "), unit.split(", ")
        units |= dict(zip(named, each if len(named) == len(each) else each[:1] * len(named), strict=True))
    said = {name: row[1] for part in FEATURES for row in TABLES[part] for name in names([row])}
    assert said == units


@pytest.mark.parametrize("settings", [tl.Latency, tl.Fees, tl.FillRules, tl.Limits, tl.Backtest])
def test_settings_have_their_fields_and_defaults(settings: Any) -> None:
    """Every field of a setting, in order, with its default."""
    if dataclasses.is_dataclass(settings):
        known = {field.name: field.default for field in dataclasses.fields(settings)}
    else:
        known = {name: p.default for name, p in list(inspect.signature(settings).parameters.items())}
    said: dict[str, str] = {}
    for row in TABLES[f"Settings: tl.{settings.__name__}"]:
        defaults = [part.strip("` ") for part in row[1].split(",")]
        said |= dict(zip(names([row]), defaults if len(defaults) > 1 else defaults * len(names([row])), strict=True))
    assert list(said) == sorted(known, key=list(said).index)
    shown = {name: "" if value is inspect.Parameter.empty else "unlimited" if value == UNLIMITED else repr(value) for name, value in known.items()}
    assert said == shown


def test_delays_are_made_as_said() -> None:
    """The makers of `tl.Delay`, and their parameters."""
    for code in (code for row in TABLES["Settings: tl.Delay"] for code in codes(row[0])):
        name, _, said = code.rstrip(")").partition("(")
        parameters = inspect.signature(getattr(tl.Delay, name)).parameters.values()
        assert [part.partition("=")[0] for part in said.split(", ")] == [p.name for p in parameters]


class Idle(tl.Strategy):
    """Does nothing, and signals so."""

    signals = ("nothing",)

    def on_start(self, market, orders, account):
        """Say 0."""
        self.signal(0, 0.0)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One with all frames."""
    path = tiny_session(tmp_path_factory.mktemp("reference") / "x.dbn")
    made: Result = tl.Backtest(path, tick_size="0.25", multiplier=50, engine="reference").run(Idle())
    return made


@pytest.mark.parametrize("frame", ["fills", "orders", "equity", "signals", "stops", "steps", "accounts"])
def test_frames_have_their_columns(result: Result, frame: str) -> None:
    """Every column of a frame, and times are called times."""
    table = TABLES[f"Results: result.{frame}"]
    schema = getattr(result, frame).schema
    assert sorted(names(table)) == sorted(schema)
    times = {name for row in table for name in names([row]) if row[1] == "time"}
    assert times == {name for name, kind in schema.items() if kind == pl.Datetime("ns", "UTC")}


def test_results_have_what_is_said(result: Result) -> None:
    """All public attributes of a result."""
    public = {name for name in dir(result) if not name.startswith("_")} - {"from_journals", "kept"}
    assert set(names(TABLES["Results: of result"])) == public


def test_parts_of_results_are_all_named(result: Result) -> None:
    """Every key of a manifest, and every column of the bars, stands where its row of the table says what it is; so does each part of a progress."""
    told = {name: codes(row[1]) for row in TABLES["Results: of result"] for name in names([row])}
    assert sorted(told["manifest"]) == sorted(result.manifest)
    assert set(result.observed.bars.columns) - {"symbol", "ts"} <= set(told["observed"])
    line = next(line for line in REFERENCE.text.splitlines() if "with a `tl.Progress`: " in line)
    assert codes(line.split("with a `tl.Progress`: ")[1]) == [field.name for field in dataclasses.fields(tl.Progress)]


def test_statistics_are_the_metrics() -> None:
    """Every metric, in its section, with its unit and its meaning word for word."""
    sections = dict.fromkeys(metric.section for metric in METRICS.values())
    said = [(section, *row) for section in sections for row in TABLES[f"Statistics: {section}"]]
    assert said == [(metric.section, f"`{name}`", metric.unit, metric.meaning) for name, metric in METRICS.items()]


def test_research_takes_what_is_said() -> None:
    """The functions take the parameters that are told, with these defaults."""
    for code in (code for row in TABLES["Research: function"] for code in codes(row[0])):
        name, _, said = code.removeprefix("tl.").rstrip(")").partition("(")
        parameters = inspect.signature(getattr(tl, name)).parameters
        for part in (part for part in said.split(", ") if part):
            parameter, _, default = part.partition("=")
            assert parameter in parameters
            assert not default or default.strip('"') == str(parameters[parameter].default)


def test_errors_and_commands_are_all() -> None:
    """Every error class, and every command of the command line."""
    kinds = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.TapelineError)}
    assert {code.removeprefix("tl.") for code in names(TABLES["Errors: error"])} == kinds - {"TapelineError"}
    assert sorted(names(TABLES["Commands: command"])) == sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]  # a group


def test_every_public_name_is_told() -> None:
    """Whatever `tapeline` exports stands in the reference."""
    told = set(re.findall(r"tl\.\w+|`\w+`", REFERENCE.text))
    assert [name for name in tl.__all__ if not {f"tl.{name}", f"`{name}`"} & told and name != "__version__"] == []


def test_it_has_no_code_and_its_links_lead_somewhere() -> None:
    """The reference is tables alone, and what it links to exists."""
    assert REFERENCE.blocks == []
    REFERENCE.check_links()
