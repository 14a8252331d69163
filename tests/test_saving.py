"""Where results are saved, and what their names may be."""

from pathlib import Path

import pytest
from journals import one_fill

from tapeline.errors import ConfigError
from tapeline.result import Result


def test_a_link_to_a_directory_stays(tmp_path: Path) -> None:
    """A result saved where a link leads replaces the one there: the link still leads to it, and nothing else is left."""
    one_fill().save(tmp_path / "first")
    (tmp_path / "latest").symlink_to("first")
    one_fill(error="second").save(tmp_path / "latest")
    assert Result.load(tmp_path / "first").manifest["error"] == "second"
    assert (tmp_path / "latest").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"first", "latest"}


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    """Links that lead nowhere but to each other are no place for a result."""
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there").symlink_to("here")
    with pytest.raises(ConfigError, match=r"here: cannot be written: (Symlink loop|Too many levels)"):
        one_fill().save(tmp_path / "here")
