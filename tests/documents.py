"""Documents of the project as tests see them: code blocks that are run, tables that are compared, links that lead somewhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tapeline.demo import example

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BAR = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MARK = "\x1e"
"""Stands in a program's output between those of its blocks."""


class Document:
    """A Markdown file."""

    def __init__(self, name: str) -> None:
        """Read it; `name` is its path in the project."""
        self.path = ROOT / name
        self.text = self.path.read_text(encoding="utf-8")
        self.blocks: list[tuple[str, str]] = BLOCK.findall(self.text)
        """Kind and text of each code block."""

    @property
    def commands(self) -> list[str]:
        """What the console blocks tell to type."""
        return [line.removeprefix("$ ") for kind, text in self.blocks if kind == "console" for line in text.splitlines()]

    @property
    def python(self) -> list[str]:
        """Its Python."""
        return [text for kind, text in self.blocks if kind == "python"]

    def check_blocks(self, *kinds: str) -> None:
        """Every code block is of a known kind, so that none escapes the tests of these."""
        assert {kind for kind, _ in self.blocks} == set(kinds)
        assert self.text.count("```") == 2 * len(self.blocks)

    def check_links(self) -> None:
        """Every file and every heading that it links to exists."""
        for target in re.findall(r"\]\(([^)]+)\)", self.text):
            path, _, anchor = target.partition("#")
            file = self.path.parent / path if path else self.path
            assert file.is_file(), target
            headings = {_anchor(heading) for heading in _HEADING.findall(file.read_text(encoding="utf-8"))}
            assert not anchor or anchor in headings, target

    def play(self, folder: Path, kinds: tuple[str, ...] = ("python",)) -> list[str]:
        """Run its blocks of these kinds, in their order, as one program; what each printed, but for what commands do.

        Blocks that are neither Python nor commands are files, named in their first line.
        """
        lines = ["import subprocess as _s"]
        for kind, text in self.blocks:
            if kind not in kinds:
                continue
            if kind == "console":
                lines += [f"_s.run(['bash', '-c', {line.removeprefix('$ ')!r}], check=True, stdout=_s.DEVNULL)" for line in text.splitlines()]
            elif kind == "python":
                lines.append(text)
            else:
                (folder / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")
            lines.append(f"print({_MARK!r}, flush=True)")
        (folder / f"{self.path.stem}.py").write_text("\n".join(lines), encoding="utf-8")
        return run(f"'{sys.executable}' {self.path.stem}.py", folder).split(f"{_MARK}\n")[:-1]

    def tables(self) -> dict[str, list[list[str]]]:
        """The cells of each table, by the heading above it and its own first cell: `Settings: tl.Fees`; tables of one name are one."""
        found: dict[str, list[list[str]]] = {}
        heading, rows = "", None
        for line in BLOCK.sub("", self.text).splitlines():
            if match := _HEADING.match(line):
                heading = match[1].replace("`", "")
            if not line.startswith("|"):
                rows = None
                continue
            cells = [cell.strip() for cell in _BAR.split(line)[1:-1]]
            if rows is None:
                rows = found.setdefault(f"{heading}: {cells[0].replace('`', '')}", [])
            elif set(cells) != {"---"}:
                rows.append(cells)
        return found


def codes(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return _CODE.findall(cell)


def names(rows: list[list[str]]) -> list[str]:
    """What stands in backticks in the first column of a table, without what is in parentheses."""
    return [code.partition("(")[0] for row in rows for code in codes(row[0])]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def workplace(folder: Path) -> Path:
    """A directory like a checkout's, with the examples and the simulated session that documents run on."""
    shutil.copytree(example("touch_maker").parent, folder / "examples")
    run("tapeline synth -n 100000 -o session.dbn.zst", folder)
    return folder


def environment() -> dict[str, str]:
    """One in which `tapeline` is that of these tests."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "160"}


def run(command: str, folder: Path) -> str:
    """Run a command of a document; its output."""
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_serving(command: str, folder: Path) -> str:
    """Run a command that serves a page until it says where, and interrupt it, at which it ends well. What it said."""
    with subprocess.Popen([*command.split(), "--no-browser"], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    return line
