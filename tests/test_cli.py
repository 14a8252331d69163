"""The command line: what it prints, what it keeps, and how it ends."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import zstandard
from journals import Journal
from strategy_files import strategy
from typer.testing import CliRunner, Result

import tapeline
from tapeline import errors, jit, terminal
from tapeline.cli import app
from tapeline.demo import example
from tapeline.feeds.dbn_write import write_dbn
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.result import Result as RunResult

MAKER = f"{example('touch_maker')}:TouchMaker"
TICK = ("--tick-size", "0.25", "--multiplier", "50")


def invoke(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session of two instruments, small enough for the reference engine."""
    path = tmp_path_factory.mktemp("data") / "session.dbn.zst"
    write_synth(path, SynthConfig(records=4_000, live_orders=400, instruments=1))
    return path


def made(**manifest: Any) -> RunResult:
    """A result made by hand."""
    journal = Journal()
    journal.fill(1, 1, 100)
    journal.sample(2, 202)
    return journal.result(**manifest)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for Backtest: `engine.answer` is what `run` returns or raises, `engine.settings` what it was given."""
    stand_in = SimpleNamespace(answer=made(), settings={})

    class Backtest:
        def __init__(self, data: list[Path], **settings: Any) -> None:
            stand_in.settings = {"data": data, **settings}

        def run(self, *strategies: Any, progress: Any) -> RunResult:
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


def test_help_is_quick_and_documents_exit_codes() -> None:
    """`tapeline --help` names every exit code, and does not import Numba or polars."""
    probe = "import sys; from tapeline.cli import app\ntry: app(['--help'])\nfinally: print({'numba', 'polars', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == "set()"
    for code in terminal.Exit:
        assert str(code.value) in done.stdout


def test_version_is_that_of_the_package() -> None:
    """`version --json` gives the versions of this package and of what its numbers depend on."""
    versions = json.loads(invoke("version", "--json").stdout)
    assert versions["tapeline"] == tapeline.__version__
    assert {"python", "numba", "numpy", "polars"} <= set(versions)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (made(), terminal.Exit.OK),
        (errors.ConfigError("bad setting"), terminal.Exit.USAGE),
        (errors.LimitError("orders_live_max"), terminal.Exit.USAGE),
        (errors.DataError("x.dbn: record 7"), terminal.Exit.DATA),
        (errors.CompileError("maker.py:12: no field"), terminal.Exit.COMPILE),
        (IndexError("index 7 is out of bounds"), terminal.Exit.COMPILE),
        (errors.InvariantError("cash"), terminal.Exit.DIFFERENCE),
        (KeyboardInterrupt(), terminal.Exit.INTERRUPTED),
        (made(interrupted=True), terminal.Exit.INTERRUPTED),
    ],
)
def test_exit_codes(engine: SimpleNamespace, tmp_path: Path, answer: Any, code: terminal.Exit) -> None:
    """Each way to end has its exit code, and an error its message on stderr, without a traceback."""
    engine.answer = answer
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == code
    if isinstance(answer, Exception):
        assert str(answer) in done.stderr.replace("\n", "")
        assert "Traceback" not in done.stderr


def test_a_place_that_cannot_be_written_is_told_before_the_run(engine: SimpleNamespace, tmp_path: Path) -> None:
    """Where a result could not be saved, or would replace something else, nothing is run for it."""
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    for place, said in ((tmp_path / "file" / "run", "cannot be written"), (tmp_path / "file", "is a file"), (tmp_path, "no saved result")):
        done = invoke("run", MAKER, "x.dbn", "-o", place)
        assert done.exit_code == terminal.Exit.USAGE
        assert said in done.stderr.replace("\n", " ")
    assert not hasattr(engine, "strategies")


def test_a_result_that_cannot_be_saved_is_shown(engine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full after a long run, its statistics are printed all the same, and then what could not be written; nothing is left behind."""

    def full(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("underlying IO error: No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    engine.answer = made()
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.USAGE
    assert "pnl_net" in done.stdout
    assert "saved in" not in done.stdout
    assert "cannot be written: underlying IO error: No space left" in done.stderr.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_what_the_system_says_of_a_file_is_told(engine: SimpleNamespace, tmp_path: Path) -> None:
    """A full disk is no error of the strategy's: its code is that of usage, and the message names the file."""
    engine.answer = OSError(errno.ENOSPC, "No space left on device", "fills.parquet")
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.USAGE
    assert done.stderr.splitlines()[-1] == "error: fills.parquet: No space left on device"


def test_a_reader_may_stop_reading(session: Path) -> None:
    """`tapeline check … | head` ends without a word of pipes, even where nobody reads at all; only that it compiles may be said."""
    command = f"'{sys.executable}' -m tapeline check '{session}' --tick-size 0.25 --json | true"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stderr
    assert said.replace(f"{terminal.COMPILING}\n", "") == ""


def test_traceback_on_request(engine: SimpleNamespace) -> None:
    """`--traceback` shows where an error was raised."""
    engine.answer = ValueError("from inside")
    assert "Traceback" in invoke("run", MAKER, "x.dbn", "--traceback").stderr
    assert "--traceback" in invoke("run", MAKER, "x.dbn").stderr


def test_damaged_data_keeps_what_came_before(engine: SimpleNamespace, tmp_path: Path) -> None:
    """The result of all before the damage is printed and saved, and the exit code is that of the damage."""
    engine.answer = errors.DataError("x.dbn: record 7")
    engine.answer.result = made()  # type: ignore[attr-defined]
    done = invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert done.exit_code == terminal.Exit.DATA
    assert "record 7" in done.stderr
    assert RunResult.load(tmp_path / "run").fills.height == 1


def test_an_interrupted_run_is_saved(engine: SimpleNamespace, tmp_path: Path) -> None:
    """After Ctrl-C the result so far is saved."""
    engine.answer = made(interrupted=True)
    invoke("run", MAKER, "x.dbn", "-o", tmp_path / "run")
    assert RunResult.load(tmp_path / "run").manifest["interrupted"] is True


def test_options_become_settings(engine: SimpleNamespace) -> None:
    """Every option of `run` reaches Backtest or the strategy; what was not given is left to them."""
    options = (
        "--set size=3 --tick-size 0.25 --instruments A,7 --multiplier 50 --feed-time sent --status s.dbn --status t.dbn --latency entry=2ms "
        "--latency feed=-1us --latency response=log_normal(median=80us,sigma=0.5,seed=3) --latency messages_max=9 --fee maker=-0.1 --fee taker=1 "
        "--fee unit=bps --limit position_max=1_000 --limit loss_max=2.5 --fill-rule crossing=off --fill-rule on_gap=cancel --queue log "
        "--engine reference --explain --no-save"
    )
    done = invoke("run", MAKER, "a.dbn", "b.dbn", *options.split())
    assert done.exit_code == 0, done.stderr
    given = engine.settings
    response = tapeline.Delay.log_normal(median="80us", sigma=0.5, seed=3)
    assert given == {
        "data": [Path("a.dbn"), Path("b.dbn")], "tick_size": "0.25", "instruments": ["A", 7], "multiplier": 50.0, "feed_time": "sent",
        "status": [Path("s.dbn"), Path("t.dbn")], "engine": "reference", "explain": True,
        "latency": tapeline.Latency(feed="-1us", entry="2ms", response=response, messages_max=9),
        "fees": tapeline.Fees(maker=-0.1, taker=1.0, unit="bps"),
        "limits": tapeline.Limits(position_max=1000, loss_max=2.5),
        "rules": tapeline.FillRules(crossing=False, on_gap="cancel", queue="log"),
    }  # fmt: skip
    assert engine.strategies[0].size == 3


def test_a_file_of_settings_says_the_same(engine: SimpleNamespace, tmp_path: Path) -> None:
    """`--config` has all keywords of Backtest and parameters of the strategy by the same names; options come before it."""
    (tmp_path / "table.csv").write_text("time,entry,response\n0,10,20\n100,30,40\n", encoding="utf-8")
    file = tmp_path / "run.toml"
    file.write_text(
        f"""
        tick_size = 0.25
        instruments = ["A"]
        exclude_orders = [7, 8]
        equity_every = "5s"
        threads = 1
        [set]
        size = 3
        position_max = 4
        [latency]
        both = "table({tmp_path / "table.csv"})"
        feed = 1500
        [fees]
        maker = -0.1
        [limits]
        position_max = 10
        order_size_max = 5
        [rules]
        crossing = false
        """,
        encoding="utf-8",
    )
    options = ("--set", "size=9", "--limit", "position_max=20", "--latency", "response=1us", "--tick-size", "0.5", "--no-save")
    done = invoke("run", MAKER, "a.dbn", "--config", file, *options)
    assert done.exit_code == 0, done.stderr
    table = tapeline.Latency.from_table(tmp_path / "table.csv", feed=1500)
    assert engine.settings == {
        "data": [Path("a.dbn")], "tick_size": "0.5", "instruments": ["A"], "exclude_orders": [7, 8], "equity_every": "5s", "threads": 1,
        "latency": dataclasses.replace(table, response="1us"), "fees": tapeline.Fees(maker=-0.1),
        "limits": tapeline.Limits(position_max=20, order_size_max=5), "rules": tapeline.FillRules(crossing=False),
    }  # fmt: skip
    assert (engine.strategies[0].size, engine.strategies[0].position_max) == (9, 4)


@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ((), tapeline.Latency(entry="100us", response="100us")),
        (("1ms",), tapeline.Latency(entry="1ms", response="1ms")),
        (("entry=2ms",), tapeline.Latency(entry="2ms", response="100us")),
        (("1ms", "feed=3us", "cancel=7us"), tapeline.Latency(feed="3us", entry="1ms", response="1ms", cancel="7us")),
        (("from_feed(shift=-20us)", "response=5"), tapeline.Latency(entry=tapeline.Delay.from_feed("-20us"), response=5)),
        (("modify=gamma(mean=2us, shape=2)",), tapeline.Latency(entry="100us", response="100us", modify=tapeline.Delay.gamma(mean="2us", shape=2))),
    ],
)
def test_latencies_replace_the_strategys_own(engine: SimpleNamespace, options: tuple[str, ...], latency: tapeline.Latency) -> None:
    """TouchMaker's latencies are 100 µs each way unless given; a time without name is that of entry and response; modifies and cancels follow entry."""
    done = invoke("run", MAKER, "a.dbn", "--no-save", *(part for option in options for part in ("--latency", option)))
    assert done.exit_code == 0, done.stderr
    assert engine.settings["latency"] == latency


@pytest.mark.usefixtures("engine")
def test_compiling_is_said_once_on_stderr() -> None:
    """A line says that it compiles, also where stderr is no terminal; stdout has results only."""
    done = invoke("run", MAKER, "a.dbn", "--no-save", "--json")
    assert done.stderr.count("compiling") == 1
    assert json.loads(done.stdout)["stats"]["strategies"][0]["fills"] == 1


@pytest.mark.usefixtures("engine")
def test_without_output_a_new_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the result is saved under tapeline-runs, named after the class; `--no-save` keeps nothing."""
    monkeypatch.chdir(tmp_path)
    invoke("run", MAKER, "a.dbn", "--no-save")
    assert not list(tmp_path.iterdir())
    invoke("run", MAKER, "a.dbn")
    invoke("run", MAKER, "a.dbn")
    assert [path.name.split("-")[0] for path in (tmp_path / "tapeline-runs").iterdir()] == ["TouchMaker"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", MAKER, "a.dbn", "--set", "sice=1"], "did you mean 'size'"),
        (["run", MAKER, "a.dbn", "--set", "size=1", "--set", "size=2"], "'size' is given twice; a sweep is an array of rows in Python"),
        (["run", MAKER, "a.dbn", "--fee", "maker=1", "--fee", "maker=2"], "--fee maker=2: is given twice, the other one is 1"),
        (["run", MAKER, "a.dbn", "--latency", "1us", "--latency", "2us"], "--latency 2us: is given twice, the other one is 1us"),
        (["run", MAKER, "a.dbn", "--latency", "soon"], "'soon'"),
        (["run", MAKER, "a.dbn", "--latency", "entri=1us"], "did you mean 'entry'"),
        (["run", MAKER, "a.dbn", "--latency", "entry=gamma(mean=1us)"], "shape"),
        (["run", MAKER, "a.dbn", "--limit", "position_max"], "expected name=value"),
        (["run", MAKER, "a.dbn", "--limit", "position_max=many"], "position_max"),
        (["run", MAKER, "a.dbn", "--limit", "loss_max=much"], "expected a number"),
        (["run", MAKER, "a.dbn", "--fill-rule", "crosing=off"], "did you mean 'crossing'"),
        (["run", MAKER, "a.dbn", "--fill-rule", "crossing=perhaps"], "expected true or false"),
        (["run", MAKER, "a.dbn", "--queue", "power9"], "'power9'"),
        (["run", MAKER, "a.dbn", "--config", "nowhere.toml"], "cannot be read as TOML"),
        (["run", "nowhere.py:X", "a.dbn"], "no such file"),
        (["depth", "a.dbn", "-o", "a.txt"], ".parquet or .csv"),
        (["synth", "-n", "10", "-o", "x.dbn", "--tick", "zero"], "'zero'"),
        (["synth", "-n", "10", "-o", "x.csv"], ".dbn or .dbn.zst"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], message: str) -> None:
    """Mistakes in options end with code 2 and a message that says what is meant."""
    done = invoke(*arguments)
    assert done.exit_code == terminal.Exit.USAGE
    assert message in done.stderr.replace("\n", "")


def test_synth_writes_what_it_says(tmp_path: Path) -> None:
    """`synth` writes a DBN file with the records asked for and its snapshot; the same seed gives the same bytes."""
    paths = [tmp_path / name for name in ("a.dbn", "b.dbn", "c.dbn")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        done = invoke("synth", "-n", "1000", "-o", path, "--seed", seed, "--live-orders", "100", "--json")
        assert json.loads(done.stdout)["records"] == 1000 + 100 + 1
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_commands_say_that_they_compile(tmp_path: Path) -> None:
    """What takes seconds the first time is named on stderr, once; the next time there is nothing to be said."""
    command = [sys.executable, "-m", "tapeline", "synth", "-n", "100", "--live-orders", "100", "-o", tmp_path / "x.dbn"]
    cache = os.environ | {"TAPELINE_CACHE": str(tmp_path / "cache")}
    said = [subprocess.run(command, capture_output=True, text=True, check=True, env=cache).stderr for _ in range(2)]
    assert said == [f"{terminal.COMPILING}\n", ""]


def test_run_ends_with_fills_statistics_and_a_result(session: Path, tmp_path: Path) -> None:
    """`run` on a simulated session prints statistics and saves a result with fills."""
    done = invoke("run", MAKER, session, *TICK, "-o", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert "pnl_net" in done.stdout
    assert RunResult.load(tmp_path / "run").fills.height > 0


def test_a_run_on_no_records_says_so(session: Path, tmp_path: Path) -> None:
    """A file without records, or with none of the run's instruments, is a run on nothing: it succeeds, and says which it was, without a table of dashes."""
    empty = tmp_path / "empty.dbn"
    write_dbn(empty, [], dataset="TEST", symbols={1: "A"}, start_ns=0)
    for data, options, said in ((empty, (), "the data is empty"), (session, ("--instruments", "17"), "all 4,401 are of other instruments")):
        done = invoke("run", MAKER, data, *TICK, *options, "--no-save")
        assert done.exit_code == terminal.Exit.OK
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

    def bent(self: Any, *strategies: Any, **options: Any) -> RunResult:
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
    assert RunResult.load(tmp_path / "run").manifest["error"] is not None
    assert invoke("depth", path, "-o", tmp_path / "d.parquet", "--tick-size", "0.25").exit_code == terminal.Exit.DATA
    assert pl.read_parquet(tmp_path / "d.parquet").height > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tick_sice = 1", "did you mean 'tick_size'"),
        ("limits = 3", "is a table: [limits]"),
        ("[limits]\nposition = 3", "did you mean 'position_max'"),
        ("[set]\nsice = 3", "did you mean 'size'"),
        ("multiplier = '50'", "expected a number"),
        ("threads = true", "expected a number"),
        ("instruments = 'ESH4'", "expected a list of symbols and ids"),
        ("tick_size =", "cannot be read as TOML"),
        ("tick_size = " + 100_000 * "[", "cannot be read as TOML"),
    ],
)
def test_wrong_files_of_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    """Names that are none, and what is no TOML, are told with the file and the nearest name."""
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    done = invoke("run", MAKER, "a.dbn", "--config", tmp_path / "run.toml")
    assert done.exit_code == terminal.Exit.USAGE
    assert message in done.stderr.replace("\n", "")
