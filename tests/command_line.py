"""Commands, run in this process."""

from typer.testing import CliRunner, Result

from tapeline.cli import app
from tapeline.demo import example

MAKER = f"{example('touch_maker')}:TouchMaker"
"""The market maker of the examples, as commands name it."""


def invoke(*arguments: object) -> Result:
    """What a command answers to arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
