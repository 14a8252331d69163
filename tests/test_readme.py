"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest
from documents import ROOT, Document, run, run_serving, workplace

from tapeline.demo import example

README = Document("README.md")
SERVING = [command for command in README.commands if command.startswith("tapeline view ")]
INSTALL = ["pip install . && tapeline demo", "pip install -e '.[dev]' && pytest"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like a checkout's, with the examples and the simulated session."""
    return workplace(tmp_path_factory.mktemp("readme"))


def test_only_known_kinds_of_blocks() -> None:
    """Every code block is a console session or Python, so that none escapes these tests."""
    README.check_blocks("console", "python")


def test_the_two_commands_are_those_that_ci_runs() -> None:
    """The README's install commands stand word for word in .ci/run, which runs them in fresh environments."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in INSTALL:
        assert command in README.commands
        assert f'step "{command}"' in ci
        assert command.split(" && ")[1] in ci


@pytest.mark.parametrize("command", [command for command in README.commands if command not in (*INSTALL, *SERVING)])
def test_commands_work(command: str, folder: Path) -> None:
    """Each other command ends well, in the order of the README, and says something."""
    assert command.startswith("tapeline ")
    assert run(command, folder).strip()


@pytest.mark.parametrize("command", SERVING)
def test_serving_commands_work(command: str, folder: Path) -> None:
    """A command that serves a page says where, and ends well when it is interrupted. Its run is there since the commands before it."""
    if not (folder / "runs" / "maker").is_dir():
        run(next(other for other in README.commands if other.startswith("tapeline run ") and other.endswith("runs/maker")), folder)
    assert "http://127.0.0.1:" in run_serving(command, folder)


def test_python_blocks_work(folder: Path) -> None:
    """The Python blocks, one after the other as one program, run and print statistics and fills."""
    assert "pnl_net" in "".join(README.play(folder))
    assert (folder / "runs" / "touch" / "fills.parquet").is_file()


def test_the_strategy_is_the_example() -> None:
    """The README's strategy has the code of examples/touch_maker.py, but for its docstrings, comments and own latency."""
    shown = next(text for text in README.python if "class TouchMaker" in text)
    source = example("touch_maker").read_text(encoding="utf-8")
    body = source[source.index("class TouchMaker") :]
    lines = [re.sub(r"\s+#.*", "", line) for line in shown[shown.index("class TouchMaker") :].splitlines()]
    assert [line for line in lines if line.strip()] == [
        line for line in body.splitlines() if line.strip() and "latency" not in line and not line.startswith('        """')
    ]


def test_links_lead_somewhere() -> None:
    """Every file and every heading that the README links to exists."""
    README.check_links()
