"""What the hot loops are compiled to: no reference counting, no allocation, no bounds check or other raise, no division. Times vary; this does not."""

import ast
import re
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import tapeline
from tapeline.engine.core import core
from tapeline.engine.rules import meet_history
from tapeline.engine.state import Engine
from tapeline.jit import JIT, KERNEL_OPTIONS, USER_OPTIONS
from tapeline.market.activity import note_activity, update_activity
from tapeline.market.book import ViewPlan
from tapeline.market.direct import normalise_into_books, play_into_books
from tapeline.market.replay import Replay, keep_columns, replay
from tapeline.market.shape import update_shape
from tapeline.market.touch import replay_touch
from tapeline.market.trace import make_columns
from tapeline.market.traced import replay_traced
from tapeline.market.view import show_features, update_deep
from tapeline.market.walk import update_walked
from tapeline.tape.file_kernels import Play, checksum, play
from tapeline.tape.normalise import normalise
from tapeline.tape.records import Reader
from tapeline.tape.rules import do_record

pytestmark = pytest.mark.skipif(not JIT, reason="there is no machine code without the JIT")

ALLOWED_CALLS = ("_ZN8tapeline", "llvm.", "exp", "sqrt", "memcpy", "memmove", "memset")
"""Of our own functions, of LLVM's intrinsics, and of what copies memory or makes an exponential: nothing of Python's or of Numba's runtime."""
HOT = {
    "core": (core, Engine, 1, "the first event of a run finds the first sample's time"),
    "meet_history": (meet_history, Engine, 0, ""),
    "normalise": (normalise, Reader, 0, ""),
    "do_record": (do_record, Reader, 1, "a print's price to the tick below it, where it lies between two"),
    "replay": (replay, Replay, 1, "the end of an interval, once in each"),
    "replay_touch": (replay_touch, Replay, 1, "the same"),
    "normalise_into_books": (normalise_into_books, Reader, 0, ""),
    "keep_columns": (keep_columns, Replay, 0, ""),
    "replay_traced": (replay_traced, Replay, 1, "the same"),
    "make_columns": (make_columns, Replay, 0, ""),
    "update_deep": (update_deep, ViewPlan, 0, ""),
    "show_features": (show_features, ViewPlan, 0, ""),
    "update_shape": (update_shape, ViewPlan, 0, ""),
    "note_activity": (note_activity, ViewPlan, 0, ""),
    "update_activity": (update_activity, ViewPlan, 0, ""),
    "update_walked": (update_walked, ViewPlan, 0, ""),
}
"""Per event or record: the function, what it is called with, how many divisions by what is no constant it has, and why that many."""


def functions(function: Any, signature: tuple, options: dict[str, Any] = KERNEL_OPTIONS) -> dict[str, str]:
    """Optimised LLVM of a function, compiled anew (cached code cannot be looked at), and of what it calls; without its wrappers for Python and C."""
    dispatcher = numba.njit(function, **options)
    dispatcher.compile(signature)
    (text,) = dispatcher.inspect_llvm().values()
    bodies = re.findall(r'^define [^\n]*?@"?([^"(]+)"?\([^\n]*\{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    return {name: body for name, body in bodies if not name.startswith(("_ZN7cpython", "cfunc.", "NRT_"))}


def foreign_calls(bodies: dict[str, str]) -> set[str]:
    """Names of functions that are called and are not allowed."""
    called = {name for body in bodies.values() for name in re.findall(r'\bcall [^\n@]*@"?([\w.$]+)', body)}
    return {name for name in called if not name.startswith(ALLOWED_CALLS)}


def raises(bodies: dict[str, str]) -> int:
    """Places that make an exception, such as bounds checks do."""
    return sum(body.count("picklebuf") for body in bodies.values())


def divisions(bodies: dict[str, str]) -> set[tuple[str, str]]:
    """Integer divisions of 64 bits by what is no constant (those become multiplications): their operands."""
    return {(f"{name} {a}", b) for name, body in bodies.items() for a, b in re.findall(r"\b[su](?:div|rem) i64 (%\S+), (%\S+)", body)}


@pytest.mark.parametrize("name", HOT)
def test_hot_loops_are_bare(name: str) -> None:
    """A call of Python's or Numba's runtime (reference counting, allocation), a raise, or a division more than are known and explained, fails."""
    unit, record, divisions_known, _ = HOT[name]
    bodies = functions(getattr(unit, "twin", None) or unit.py_func, (record.type_,))
    assert any(name in body for body in bodies)
    assert foreign_calls(bodies) == set()
    assert raises(bodies) == 0
    assert len(divisions(bodies)) == divisions_known


def test_tapes_are_read_barely() -> None:
    """The same holds for what reads and checks tapes."""
    for kernel, signature in (
        (play, (Play.type_,)),
        (play_into_books, (Play.type_,)),
        (checksum, (numba.int64, numba.int64)),
    ):
        bodies = functions(kernel.py_func, signature)
        assert (foreign_calls(bodies), raises(bodies), divisions(bodies)) == (set(), 0, set())


def test_the_guard_sees_what_it_guards_against() -> None:
    """A function that does all of it is caught at all of it."""

    def guilty(numbers: Any, n: int) -> Any:
        made = np.zeros(n)
        for i in range(n):
            made[i] = numbers[i] // n
        return made.sum() + len([numbers[0] for _ in range(n)])

    bodies = functions(guilty, (numba.int64[::1], numba.int64), USER_OPTIONS)
    assert any("NRT" in name for name in foreign_calls(bodies))
    assert raises(bodies) > 0
    assert len(divisions(bodies)) > 0


def test_kernels_raise_nothing() -> None:
    """No kernel raises or asserts, but for one that strategies call: who calls a unit by its address does not look whether it did."""
    seen, raising = 0, []
    for path in Path(tapeline.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = {inner.id for one in getattr(node, "decorator_list", ()) for inner in ast.walk(one) if isinstance(inner, ast.Name)}
            if isinstance(node, ast.FunctionDef) and names & {"kernel", "leaf", "unit"}:
                seen += 1
                raising += [f"{path.name}: {node.name}" for inner in ast.walk(node) if isinstance(inner, (ast.Raise, ast.Assert))]
    assert seen > 100
    assert raising == ["gateway.py: choose_instrument"]
