"""The package as users import it."""

import contextlib
import importlib
import pkgutil
import subprocess
import sys

import pytest

import tapeline
from tapeline.stderr import say

pytestmark = pytest.mark.nojit


def test_public_names_stay_what_they_are() -> None:
    """Every name of `__all__` is there, and importing any module of the package puts none of them out of its place."""
    before = {name: getattr(tapeline, name) for name in tapeline.__all__}
    for module in pkgutil.walk_packages(tapeline.__path__, "tapeline."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert {name: getattr(tapeline, name) for name in tapeline.__all__} == before
    assert set(dir(tapeline)) >= set(tapeline.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package has no attribute that it does not list."""
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = tapeline.no_such_thing


@pytest.mark.parametrize("stream", [None, "closed", "/dev/full"])
def test_words_that_nobody_hears_end_nothing(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """Where stderr is not there, as in a daemon, is closed, or takes nothing, what would be said there is left out."""
    heard = open("/dev/full", "w", encoding="utf-8") if stream else None  # noqa: PTH123, SIM115 - a stream
    if heard is not None and stream == "closed":
        heard.close()
    monkeypatch.setattr(sys, "stderr", heard)
    say("a word")
    if heard is not None:
        with contextlib.suppress(OSError):
            heard.close()


def test_the_import_is_quick() -> None:
    """`import tapeline` imports neither Numba nor polars."""
    probe = "import sys, tapeline; print({'numba', 'polars', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
