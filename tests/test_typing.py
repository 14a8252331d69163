"""What editors and type checkers are told of a callback's arguments is what there is."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from mypy import api

import tapeline as tl
from tapeline import constants, contract, extraction, record, typing
from tapeline import strategy as strategy_module
from tapeline.engine.gateway import Orders

TYPES: dict[str, type] = {
    "market": typing.Market,
    "orders": typing.Orders,
    "account": typing.Account,
    "trade": typing.Trade,
    "event": typing.Event,
    "update": typing.OrderUpdate,
    "fill": typing.Fill,
    "status": typing.PhaseNews,
    "level": typing.Level,
}
"""Argument of a callback, or what gives a level → its type."""
HELPER = """
from tapeline.typing import Account, Fill, Market, Orders

def quote(market: Market, orders: Orders, account: Account, order_id: int) -> int:
    if not orders.is_live(order_id) and market.has_bid and account[0].position + market[1].bid(0).size < 5:
        return orders.buy(market.bid_price, 1, expires=orders.now)
    return order_id

def value(fill: Fill, account: Account) -> float:
    return fill.price * 1e-9 * fill.size + account.pnl
"""
STRATEGY = """
from typing import Annotated
from typing import Any as Array

import tapeline as tl
from tapeline.typing import Account, Market, Orders


class Held(tl.Record):
    ids: Annotated[Array, (tl.int64, (4,))]

    def last(self) -> int:
        return int(self.ids[3])


class Maker(tl.Strategy):
    features = (tl.Feature.MID,)
    signals = ("mid",)
    size: tl.int64 = 1
    held: Held

    def on_book(self, market: Market, orders: Orders, account: Account) -> None:
        self.signal(0, market.features[tl.Feature.MID])
        self.size += self.held.last()


print(Maker(size=2).size + Maker(size=3).copy().size)
"""


def methods(cls: type) -> dict[str, Any]:
    """The methods that a class itself declares, but for the index."""
    return {name: member for name, member in vars(cls).items() if inspect.isfunction(member) and not name.startswith("_")}


@pytest.mark.parametrize("argument", contract.MEMBERS)
def test_types_have_what_the_contract_has(argument: str) -> None:
    """Each argument's type has all that strategies may use of it, and nothing else; each attribute says what it is."""
    cls = TYPES[argument]
    assert sorted([*inspect.get_annotations(cls), *methods(cls)]) == sorted(contract.MEMBERS[argument])
    body = next(node for node in ast.parse(inspect.getsource(typing)).body if isinstance(node, ast.ClassDef) and node.name == cls.__name__).body
    for before, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(before, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(before)


def test_requests_take_what_the_gateway_takes() -> None:
    """The parameters of each method of `orders`, and which may be left out, are the engine's."""
    for name, declared in methods(typing.Orders).items():
        ours, theirs = (inspect.signature(method).parameters.values() for method in (declared, getattr(Orders, name)))
        assert [(p.name, p.default is p.empty) for p in ours] == [(p.name, p.default is p.empty) for p in theirs], name


def test_callbacks_are_declared_for_editors() -> None:
    """To an editor `tl.Strategy` has all callbacks, with the types of their arguments; at run time it has none, for one that is there is called."""
    tree = next(node for node in ast.parse(inspect.getsource(strategy_module)).body if isinstance(node, ast.ClassDef))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        one.name: [(arg.arg, ast.unparse(arg.annotation)) for arg in one.args.args if arg.annotation] for one in block.body if isinstance(one, ast.FunctionDef)
    }
    assert declared == {name: [(argument, TYPES[argument].__name__) for argument in arguments.split(", ")] for name, arguments in contract.CALLBACKS.items()}
    assert not [name for name in contract.CALLBACKS if hasattr(tl.Strategy, name)]


def test_the_update_of_a_feature_is_declared_for_editors() -> None:
    """To an editor `tl.CustomFeature` has `update`, with what it is given; at run time it has none, for a class without it is refused."""
    tree = next(node for node in ast.parse(inspect.getsource(extraction)).body if isinstance(node, ast.ClassDef) and node.name == "CustomFeature")
    (update,) = next(node for node in tree.body if isinstance(node, ast.If)).body
    assert isinstance(update, ast.FunctionDef)
    assert ast.unparse(update.args) == "self, market: Market"
    assert not hasattr(tl.CustomFeature, update.name)


def test_a_strategy_with_types_passes_strict_mypy(tmp_path: Path) -> None:
    """Fields, arrays with what NumPy's are to type checkers, parts, signals and instances are accepted; what a class does not have is found."""
    path = tmp_path / "maker.py"
    path.write_text(STRATEGY + STRATEGY.replace("self.held.last", "self.kept.last").replace("Maker", "Miskeeper").replace("Held", "Miss"), encoding="utf-8")
    ours = [inspect.getfile(module) for module in (tl, record, strategy_module, typing, constants)]
    options = ("--strict", "--no-incremental", "--no-error-summary", "--config-file=", "--follow-imports=skip")
    said = [line for line in api.run([*options, *ours, str(path)])[0].splitlines() if line.startswith(str(path))]
    assert [line.partition(": ")[2] for line in said] == ['error: "Miskeeper" has no attribute "kept"  [attr-defined]']


def test_code_with_types_passes_strict_mypy(tmp_path: Path) -> None:
    """Helpers whose arguments have their types are accepted by mypy's strict rules, and a name that is not there is found."""
    path = tmp_path / "helpers.py"
    path.write_text(HELPER + HELPER.replace("quote", "misquote").replace("value", "misvalue").replace("market.has_bid", "market.bids"), encoding="utf-8")
    options = ("--strict", "--no-incremental", "--no-error-summary", "--config-file=", "--follow-imports=skip")  # what the package imports takes 20 s
    said = api.run([*options, inspect.getfile(typing), str(path)])[0]
    assert [line.partition(": ")[2] for line in said.splitlines()] == ['error: "Market" has no attribute "bids"; maybe "bid"?  [attr-defined]']
