"""Commands on simulated sessions: what they print, and what they write."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard
from command_line import MAKER, invoke
from strategy_files import strategy

import tapeline as tl
from tapeline import jit, terminal
from tapeline.constants import UNDEFINED_PRICE
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.result import Result
from tapeline.stderr import COMPILING

TICK = ("--tick-size", "0.25", "--multiplier", "50")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session, small enough for the reference engine."""
    path = tmp_path_factory.mktemp("data") / "session.dbn.zst"
    write_synth(path, SynthConfig(records=4_000, live_orders=400))
    return path


def test_a_reader_may_stop_reading(session: Path) -> None:
    """`tapeline check … | head` ends without a word of pipes, even where nobody reads at all; only that it compiles may be said."""
    command = f"'{sys.executable}' -m tapeline check '{session}' --tick-size 0.25 --json | true"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stderr
    assert said.replace(f"{COMPILING}\n", "") == ""


def test_who_cannot_print_says_so_in_its_exit_code() -> None:
    """Help, too, ends with 141 where nobody reads it, and with a word and 2 where a device is full; JSON is not written to a stdout that is closed."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

    def run(command: str) -> tuple[str, str]:
        command = f"'{sys.executable}' -m tapeline {command}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=buffered)
        return done.stdout.strip(), done.stderr

    assert run("--help | true; echo ${PIPESTATUS[0]}") == ("141", "")
    assert run("--help >/dev/full; echo $?") == ("2", "error: No space left on device\n")
    assert run("version >/dev/full; echo $?") == ("2", "error: No space left on device\n")
    assert run("version --json >/dev/full; echo $?") == ("2", "error: No space left on device\n")
    assert run("version --json >&-; echo $?") == ("0", "")


def test_synth_writes_what_it_says(tmp_path: Path) -> None:
    """`synth` writes a DBN file with the records asked for and its snapshot; the same seed gives the same bytes."""
    paths = [tmp_path / name for name in ("a.dbn", "b.dbn", "c.dbn")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        done = invoke("synth", "-n", "1000", "-o", path, "--seed", seed, "--live-orders", "100", "--json")
        assert json.loads(done.stdout)["records"] == 1000 + 100 + 1
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


def test_synth_starts_when_it_is_told(tmp_path: Path) -> None:
    """`synth --start` moves a session in time and changes nothing else, so that sessions can follow each other as the days of one run."""
    early, late = (tmp_path / name for name in ("a.dbn", "b.dbn"))
    invoke("synth", "-n", "100", "--live-orders", "100", "-o", early)
    invoke("synth", "-n", "100", "--live-orders", "100", "-o", late, "--start", "2024-01-03T23:00")
    first, second = (tl.features(path, [tl.Feature.MID], tick_size="0.25").drop("ts_event", "ts_recv") for path in (early, late))
    times = [tl.features(path, [tl.Feature.MID], tick_size="0.25")["ts_recv"] for path in (early, late)]
    assert first.equals(second)
    assert (times[1] - times[0]).unique().dt.total_hours().to_list() == [24]


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_commands_say_that_they_compile(tmp_path: Path) -> None:
    """What takes seconds the first time is named on stderr, once; the next time there is nothing to be said."""
    command = [sys.executable, "-m", "tapeline", "synth", "-n", "100", "--live-orders", "100", "-o", tmp_path / "x.dbn"]
    cache = os.environ | {"TAPELINE_CACHE": str(tmp_path / "cache")}
    said = [subprocess.run(command, capture_output=True, text=True, check=True, env=cache).stderr for _ in range(2)]
    assert said == [f"{COMPILING}\n", ""]


def test_run_ends_with_fills_statistics_and_a_result(session: Path, tmp_path: Path) -> None:
    """`run` on a simulated session prints statistics and saves a result with fills."""
    done = invoke("run", MAKER, session, *TICK, "-o", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert "pnl_net" in done.stdout
    assert Result.load(tmp_path / "run").fills.height > 0


@pytest.mark.filterwarnings("always:instruments")
def test_a_run_on_no_records_says_so(session: Path, tmp_path: Path) -> None:
    """A file without records, or with none of the run's instruments, is a run on nothing: it succeeds, and says which it was, without a table of dashes."""
    empty = tmp_path / "empty.dbn"
    write_mbo(empty, [], dataset="TEST", symbols={1: "A"}, start_ns=0)
    listed = tmp_path / "listed.dbn"
    orders = np.concatenate([run.copy() for run, _ in records(DbnInput([session]))])
    write_mbo(listed, [orders], dataset="TEST", symbols={1: "SYN1", 17: "QUIET"}, start_ns=int(orders["ts_recv"][0]))
    for data, options, said in ((empty, (), "the data is empty"), (listed, ("--instruments", "17"), "all 4,401 are of other instruments")):
        done = invoke("run", MAKER, data, *TICK, *options, "--no-save")
        assert done.exit_code == terminal.Exit.OK
        assert ("nothing has happened in this run" in done.stderr.replace("\n", " ")) == bool(options)
        assert done.stdout.startswith(f"0 orders and 0 fills from no records: {said}")
    assert "the data is empty" in invoke("check", empty, "--tick-size", "0.25").stdout


def test_reasons_of_rejected_orders_are_told(session: Path, tmp_path: Path) -> None:
    """Orders that were refused are counted by reason: a price in currency, and not in 1e-9 of it, is off the tick or far away, and nothing else says so."""
    body = "def on_trade(self, trade, market, orders, account):\n    orders.buy(market.bid_price // 1_000_000_000, 1)\n    orders.sell(market.ask_price, 0)"
    strategy(tmp_path, body, name="refused")
    done = invoke("run", f"{tmp_path / 'refused.py'}:S", session, *TICK, "--no-save")
    trades = json.loads(invoke("check", session, "--tick-size", "0.25", "--json").stdout)["actions"]["trade"]
    assert f"orders rejected: {trades:,} price, {trades:,} size" in done.stdout or f"orders rejected: {trades:,} size, {trades:,} price" in done.stdout


def test_signals_are_counted(session: Path, tmp_path: Path) -> None:
    """A strategy that only records signals is told how many values it recorded."""
    body = "signals = ('size',)\ndef on_trade(self, trade, market, orders, account):\n    self.signal(0, trade.size)"
    strategy(tmp_path, body, name="recorder")
    done = invoke("run", f"{tmp_path / 'recorder.py'}:S", session, *TICK, "--json", "-o", tmp_path / "run")
    values = json.loads(done.stdout)["rows"]["signals"]
    assert values > 100
    assert (
        f"0 orders, 0 fills and {values:,} values of signals from 4,401 records"
        in invoke("run", f"{tmp_path / 'recorder.py'}:S", session, *TICK, "--no-save").stdout
    )


def test_run_tells_what_its_stages_take(session: Path) -> None:
    """`--profile` adds a table of the run's stages, and JSON has it too."""
    profile = json.loads(invoke("run", MAKER, session, *TICK, "--no-save", "--json", "--profile").stdout)["profile"]
    assert [line["stage"] for line in profile] == ["read", "normalise", "books and views", "idle run", "strategy", "sum"]
    assert all(set(line) == {"stage", "ns", "share", "what"} for line in profile)
    assert "idle run" in invoke("run", MAKER, session, *TICK, "--no-save", "--profile").stdout


def test_engines_agree_on_the_command_line(session: Path) -> None:
    """`run --engine reference` gives the same statistics, and `verify` finds no difference."""
    results = [json.loads(invoke("run", MAKER, session, *TICK, "--no-save", "--json", "--engine", engine).stdout) for engine in ("compiled", "reference")]
    assert results[0]["stats"] == results[1]["stats"]
    done = invoke("verify", MAKER, session, *TICK, "--json")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["equal"] is True


def test_verify_ends_with_1_at_a_difference(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engines differ, `verify` names the first difference and ends with 1."""
    from tapeline import backtest

    run = backtest.Backtest.run

    def bent(self: Any, *strategies: Any, **options: Any) -> Result:
        result = run(self, *strategies, **options)
        if result.manifest["settings"]["engine"] == "reference":
            object.__setattr__(result, "fills", result.fills.with_columns(pl.col("size") + 1))
        return result

    monkeypatch.setattr(backtest.Backtest, "run", bent)
    done = invoke("verify", MAKER, session, *TICK)
    assert done.exit_code == terminal.Exit.DIFFERENCE
    assert "first difference: fills, line 0 of TouchMaker" in done.stdout


def test_depth_writes_parquet_and_csv(session: Path, tmp_path: Path) -> None:
    """`depth` writes the same lines in both formats, with the columns of mbp-10."""
    for name in ("d.parquet", "d.csv"):
        done = invoke("depth", session, "-o", tmp_path / name, "--levels", 2, "--tick-size", "0.25")
        assert done.exit_code == 0, done.stderr
    frame = pl.read_parquet(tmp_path / "d.parquet")
    assert {"ts_event", "bid_px_00", "ask_sz_01", "bid_ct_01"} <= set(frame.columns)
    assert frame.height == pl.read_csv(tmp_path / "d.csv").height > 0


def test_features_writes_parquet(session: Path, tmp_path: Path) -> None:
    """`features` writes the columns asked for, one's own among them; a name that is none is told with the nearest."""
    (tmp_path / "mine.py").write_text(
        "import tapeline as tl\n\n\nclass Twice(tl.CustomFeature):\n    def update(self, market):\n        return 2.0 * market.bid_size\n", encoding="utf-8"
    )
    out = tmp_path / "f.parquet"
    done = invoke("features", session, "-o", out, "--feature", "spread", "--feature", f"{tmp_path / 'mine.py'}:Twice", "--every", "1s", *TICK[:2])
    assert done.exit_code == 0, done.stderr
    frame = pl.read_parquet(out)
    assert frame.columns[-2:] == ["spread", "Twice"]
    assert frame.height > 0
    done = invoke("features", session, "-o", out, "--feature", "sprad", *TICK[:2])
    assert done.exit_code != 0
    assert "did you mean 'spread'?" in done.stderr


def test_dbn_makes_a_session_of_rows(session: Path, tmp_path: Path) -> None:
    """What a session's rows in CSV become has the books of the session; a row that cannot be is told with exit code 3, and leaves no file."""
    rows, output = tmp_path / "rows.csv", tmp_path / "own.dbn.zst"
    frame = pl.DataFrame(np.concatenate([run.copy() for run, _ in records(DbnInput([session]))]))
    names = pl.col("action", "side").map_elements(chr, pl.String)
    frame.with_columns(names, pl.when(pl.col("price") != UNDEFINED_PRICE).then(pl.col("price") / 1e9)).write_csv(rows)
    written = json.loads(invoke("dbn", rows, "-o", output, "--symbol", "OWN", "--json").stdout)
    assert (written["records"], written["instruments"]) == (frame.height, 1)
    assert tl.depth(output, tick_size="0.25").equals(tl.depth(session, tick_size="0.25"))
    lines = rows.read_text(encoding="utf-8").splitlines(keepends=True)
    rows.write_text("".join([*lines, re.sub(",[A-Z],", ",Z,", lines[-1], count=1)]), encoding="utf-8")
    refused = invoke("dbn", rows, "-o", tmp_path / "bad.dbn", "--symbol", "OWN")
    assert (refused.exit_code, f"rows.csv: row {frame.height + 1:,}: action='Z'" in refused.stderr) == (3, True)
    assert not (tmp_path / "bad.dbn").exists()


def test_check_says_what_is_there(session: Path) -> None:
    """`check` counts every record and prints tables; `--json` has the same numbers."""
    done = invoke("check", session, "--tick-size", "0.25", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["records"] == 4_000 + 400 + 1 == sum(found["actions"].values())
    assert f"{found['actions']['cancel']:,}" in invoke("check", session, "--tick-size", "0.25").stdout


def test_check_of_damaged_data_ends_with_3(session: Path, tmp_path: Path) -> None:
    """A file cut short is checked up to the cut, and the exit code says so."""
    path = tmp_path / "cut.dbn.zst"
    path.write_bytes(session.read_bytes()[:-100])
    done = invoke("check", path, "--tick-size", "0.25")
    assert done.exit_code == terminal.Exit.DATA
    assert "cut.dbn.zst" in done.stderr


def test_demo_ends_with_a_readable_summary(tmp_path: Path) -> None:
    """`demo` runs a maker and a taker on a simulated session, both of which trade, with markouts, and writes the report."""
    done = invoke("demo", "-n", "50000", "-o", tmp_path / "demo.html", "--json")
    assert done.exit_code == 0, done.stderr
    strategies = json.loads(done.stdout)["stats"]["strategies"]
    assert [line["strategy"].split("(")[0] for line in strategies] == ["TouchMaker", "OrderFlowTaker"]
    assert all(line["fills"] > 0 for line in strategies)
    assert all(line["markout_1s"] is not None for line in strategies)
    assert "Tapeline demo" in (tmp_path / "demo.html").read_text(encoding="utf-8")


def test_depth_and_run_of_damaged_data_keep_what_came_before(session: Path, tmp_path: Path) -> None:
    """At damage in the middle of a file `run` saves its result and `depth` its lines, and both end with 3."""
    path = tmp_path / "damaged.dbn"
    with zstandard.open(session) as file:
        content = file.read()
    middle = len(content) - 56 * 1_000
    path.write_bytes(content[:middle] + b"\x03" + content[middle + 1 :])
    assert invoke("run", MAKER, path, *TICK, "-o", tmp_path / "run").exit_code == terminal.Exit.DATA
    assert Result.load(tmp_path / "run").manifest["error"] is not None
    assert invoke("depth", path, "-o", tmp_path / "d.parquet", "--tick-size", "0.25").exit_code == terminal.Exit.DATA
    assert pl.read_parquet(tmp_path / "d.parquet").height > 0


def test_a_window_goes_through_all_commands(session: Path, tmp_path: Path) -> None:
    """`run`, `verify`, `report` and `explain` know the window of a run: it trades in it, the page names it, an order that it left open can be explained."""
    window, saved = ("--start", "2024-01-02T23:00:20", "--end", "2024-01-02T23:00:40"), tmp_path / "run"
    done = invoke("run", MAKER, session, *TICK, *window, "-o", saved)
    assert done.exit_code == 0, done.stderr
    result = Result.load(saved)
    assert (str(result.orders["ts_sent"].min())[:18], str(result.equity["ts"].max())) >= ("2024-01-02 23:00:2", "2024-01-02 23:00:40")
    assert result.manifest["records"] < 4_000
    assert result.observed.missing is None
    left = result.orders.filter(pl.col("status").cast(pl.String) == "open")
    assert left.height
    explained = invoke("explain", saved, str(left["order_id"][0]))
    assert (explained.exit_code, "bug" in explained.stdout) == (0, False), explained.stdout
    assert invoke("report", saved, "-o", tmp_path / "page.html").exit_code == 0
    assert "window from 2024-01-02 23:00:20 to 2024-01-02 23:00:40 UTC" in (tmp_path / "page.html").read_text(encoding="utf-8")
    verified = invoke("verify", MAKER, session, *TICK, *window, "--json")
    found = json.loads(verified.stdout)
    assert (verified.exit_code, found["equal"], found["lines"]["orders"]) == (0, True, result.orders.height)
    profiled = invoke("run", MAKER, session, *TICK, *window, "--profile", "--no-save")
    assert (profiled.exit_code, "end=2024-01-02T23:00:40: a profile is of the whole data" in profiled.stderr) == (2, True)
    refused = invoke("run", MAKER, session, *TICK, "--start", "noon", "--no-save")
    assert (refused.exit_code, "start='noon': expected a time" in refused.stderr) == (2, True)
