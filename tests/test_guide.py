"""The guide is true: all its code runs, in its order, and prints what it shows; mistakes are told as it says."""

import re
from pathlib import Path

import pytest
from documents import Document, codes, workplace
from strategy_files import strategy, tiny_session

import tapeline as tl
from tapeline import jit

GUIDE = Document("docs/guide.md")
PLAYED = ("python", "console", "toml")
MISTAKES = GUIDE.tables()["3. Writing a strategy: written in a callback"]


def test_its_code_prints_what_is_shown(tmp_path: Path) -> None:
    """Code and commands run one after the other as one program, and what a block prints stands below it, whole."""
    printed = iter(GUIDE.play(workplace(tmp_path), PLAYED))
    for (kind, code), (following, text) in zip(GUIDE.blocks, [*GUIDE.blocks[1:], ("", "")], strict=True):
        if kind in PLAYED:
            assert (code, next(printed)) == (code, text if following == "text" else "")


def test_all_its_blocks_are_of_known_kinds() -> None:
    """Python, commands, settings and output: nothing that is shown is left out."""
    GUIDE.check_blocks(*PLAYED, "text")


def test_links_lead_somewhere() -> None:
    """Every file and every heading that the guide links to exists."""
    GUIDE.check_links()


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Simulated sessions of one instrument, and of two."""
    folder = tmp_path_factory.mktemp("data")
    return tiny_session(folder / "one.dbn"), tiny_session(folder / "two.dbn", instruments=2)


@pytest.mark.skipif(not jit.JIT, reason="what Numba says is said only with the JIT on")
@pytest.mark.parametrize(("written", "told"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistakes_are_told_as_shown(written: str, told: str, tmp_path: Path, sessions: tuple[Path, Path]) -> None:
    """Each mistake in the table is told, as an error or as a warning, in the words that are shown."""
    *fields, line = codes(written) if " in the class" in written else codes(written)[:1]
    callback = "on_fill(self, fill, market, orders, account)" if "fill." in line else "on_book(self, market, orders, account)"
    made = strategy(tmp_path, "\n".join([*fields, f"def {callback}:", f"    {line}{' pass' if line.endswith(':') else ''}"]), "import time")
    backtest = tl.Backtest(sessions["several" in written], tick_size="0.25", multiplier=50)
    said = re.escape(codes(told)[0])
    if told.startswith("a warning"):
        with pytest.warns(UserWarning, match=said):
            backtest.run(made())
    else:
        with pytest.raises(tl.CompileError, match=said):
            backtest.run(made())
