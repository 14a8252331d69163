"""Where results are saved, and what paths may be made of."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from command_line import MAKER
from journals import one_fill
from streams import Stream

import tapeline as tl
from tapeline import commands
from tapeline.errors import ConfigError, DataError
from tapeline.load import load_strategy
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
    with pytest.raises(ConfigError, match="here: holds no saved result"):
        commands.write_report(tmp_path / "report.html", [tmp_path / "here"])
    with pytest.raises(DataError, match="here: no such file"):
        tl.write_dbn(tmp_path / "here", tmp_path / "made.dbn")
    with pytest.raises(ConfigError, match=r"made\.tape: cannot be written: (Symlink loop|Too many levels)"):
        tl.write_tape(Stream(250_000_000).add(1, "B", 4, 1).write(tmp_path / "day.dbn"), tmp_path / "here" / "made.tape", tick_size=0.25)


@pytest.mark.filterwarnings("ignore:.*orderbook.*is not beside it")
def test_brackets_in_a_path_are_brackets(tmp_path: Path) -> None:
    """Results, rows, delays and LOBSTER's files lie in directories of any name: no letters are taken for a pattern of names."""
    place = tmp_path / "size=[1, 2] *?"
    assert Result.load(one_fill().save(place / "run")).fills.height == 1
    rows = pl.DataFrame({"ts_event": [10**18], "action": ["A"], "side": ["B"], "price": ["1.5"], "size": [1], "order_id": [7], "symbol": ["A"]})
    rows.write_csv(place / "rows.csv")
    rows.write_parquet(place / "rows.parquet")
    messages = place / "TEST_2012-06-21_34200000_57600000_message_5.csv"
    messages.write_text("34200.5,1,7,100,5000000,1\n")
    sources = [place / "rows.csv", place / "rows.parquet", messages]
    assert [tl.write_dbn(source, place / "made.dbn")["records"] for source in sources] == [1, 1, 2]
    delays = pl.DataFrame({"time": [0, 5], "entry": [1, 2], "response": [3, 4]})
    delays.write_csv(place / "delays.csv")
    delays.write_parquet(place / "delays.parquet")
    assert tl.Latency.from_table(place / "delays.csv") == tl.Latency.from_table(place / "delays.parquet")


def test_names_of_files_may_be_no_text(tmp_path: Path) -> None:
    """A run over a file whose name is no UTF-8 is saved, under such a name, too, loaded and reported: Linux takes any bytes. So with frames, and strategies."""
    path = tmp_path / os.fsdecode(b"day\xff.dbn")
    made = one_fill(data=[{"path": str(path)}], settings={})
    loaded = Result.load(made.save(tmp_path / os.fsdecode(b"run\xff")))
    assert loaded.manifest == made.manifest
    Stream(250_000_000).add(1, "B", 4, 1).write(path)
    for name in (b"\xff.csv", b"\xff.parquet"):
        assert commands.write_depth(tmp_path / os.fsdecode(name), [path], tick_size="0.25")[0]["lines"] == 1
    assert load_strategy(f"{shutil.copy(MAKER.partition(':')[0], tmp_path / os.fsdecode(b'x_' + bytes([255]) + b'.py'))}").__name__ == "TouchMaker"
    assert loaded.report(tmp_path / "report.html").stat().st_size > 1_000_000
