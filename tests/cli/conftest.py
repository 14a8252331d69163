"""A stand-in for the engine, where a test is of what surrounds it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from journals import one_fill

import tapeline
from tapeline.result import Result


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for Backtest: `engine.answer` is what `run` returns or raises, `engine.settings` what it was given."""
    stand_in = SimpleNamespace(answer=one_fill(), settings={})

    class Backtest:
        def __init__(self, data: list[Path], **settings: Any) -> None:
            stand_in.settings = {"data": data, **settings}

        def run(self, *strategies: Any, progress: Any) -> Result:
            stand_in.strategies = strategies
            progress(SimpleNamespace(records=0, bytes_done=0, bytes_total=None, seconds=0.0, compiling=True))
            progress(SimpleNamespace(records=10, bytes_done=5, bytes_total=10, seconds=0.5, compiling=False))
            if isinstance(stand_in.answer, BaseException):
                raise stand_in.answer
            return stand_in.answer

    module = SimpleNamespace(Backtest=Backtest)
    monkeypatch.setitem(sys.modules, "tapeline.backtest", module)
    monkeypatch.setattr(tapeline, "backtest", module, raising=False)
    return stand_in
