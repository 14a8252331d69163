"""What the README shows works as it stands there."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tapeline.demo import example

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)
COMMANDS = [line.removeprefix("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
SERVING = [command for command in COMMANDS if command.startswith("tapeline view ")]
INSTALL = ["pip install . && tapeline demo", "pip install -e '.[dev]' && pytest"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like a checkout's, with the examples and the simulated session."""
    path = tmp_path_factory.mktemp("readme")
    shutil.copytree(example("touch_maker").parent, path / "examples")
    run("tapeline synth -n 100000 -o session.dbn.zst", path)
    return path


def run(command: str, folder: Path) -> str:
    """Run a command of the README with the `tapeline` of this environment; its output."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "160"}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_only_known_kinds_of_blocks() -> None:
    """Every code block is a console session or Python, so that none escapes these tests."""
    assert {kind for kind, _ in BLOCKS} == {"console", "python"}
    assert README.count("```") == 2 * len(BLOCKS)


def test_the_two_commands_are_those_that_ci_runs() -> None:
    """The README's install commands stand word for word in .ci/run, which runs them in fresh environments."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in INSTALL:
        assert command in COMMANDS
        assert f'step "{command}"' in ci
        assert command.split(" && ")[1] in ci


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in (*INSTALL, *SERVING)])
def test_commands_work(command: str, folder: Path) -> None:
    """Each other command ends well, in the order of the README, and says something."""
    assert command.startswith("tapeline ")
    assert run(command, folder).strip()


@pytest.mark.parametrize("command", SERVING)
def test_serving_commands_work(command: str, folder: Path) -> None:
    """A command that serves a page says where, and ends well when it is interrupted. Its run is there since the commands before it."""
    if not (folder / "runs" / "maker").is_dir():
        run(next(other for other in COMMANDS if other.startswith("tapeline run ") and other.endswith("runs/maker")), folder)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen([*command.split(), "--no-browser"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    assert "http://127.0.0.1:" in line
    assert process.returncode == 0


def test_python_blocks_work(folder: Path) -> None:
    """The Python blocks, one after the other as one program, run and print statistics and fills."""
    program = "\n".join(text for kind, text in BLOCKS if kind == "python")
    (folder / "program.py").write_text(program, encoding="utf-8")
    out = run(f"'{sys.executable}' program.py", folder)
    assert "pnl_net" in out
    assert (folder / "runs" / "touch" / "fills.parquet").is_file()


def test_the_strategy_is_the_example() -> None:
    """The README's strategy has the code of examples/touch_maker.py, but for its docstrings, comments and own latency."""
    shown = next(text for kind, text in BLOCKS if kind == "python" and "class TouchMaker" in text)
    source = example("touch_maker").read_text(encoding="utf-8")
    body = source[source.index("class TouchMaker") :]
    lines = [re.sub(r"\s+#.*", "", line) for line in shown[shown.index("class TouchMaker") :].splitlines()]
    assert [line for line in lines if line.strip()] == [
        line for line in body.splitlines() if line.strip() and "latency" not in line and not line.startswith('        """')
    ]


def test_links_lead_somewhere() -> None:
    """Every file and every heading that the README links to exists."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert (ROOT / path).is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target
