"""Settings by options and by files: what reaches Backtest and the strategy, and what is refused."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import MAKER, invoke
from strategy_files import strategy

import tapeline
from tapeline import settings, terminal
from tapeline.options import RunOptions


def test_options_become_settings(engine: SimpleNamespace) -> None:
    """Every option of `run` reaches Backtest or the strategy; what was not given is left to them."""
    options = (
        "--set size=3 --tick-size 0.25 --instruments A,7 --multiplier 50 --feed-time sent --status s.dbn --status t.dbn --latency entry=2ms "
        "--latency feed=-1us --latency response=log_normal(median=80us,sigma=0.5,seed=3) --latency messages_max=9 --fee maker=-0.1 --fee taker=1 "
        "--fee unit=bps --limit position_max=1_000 --limit loss_max=2.5 --fill-rule crossing=off --fill-rule on_gap=cancel --queue log "
        "--day-starts 17:00 --start 2024-01-02T10:00 --end 2024-01-02T11:00+01:00 --engine reference --explain --no-save"
    )
    done = invoke("run", MAKER, "a.dbn", "b.dbn", *options.split())
    assert done.exit_code == 0, done.stderr
    given = engine.settings
    response = tapeline.Delay.log_normal(median="80us", sigma=0.5, seed=3)
    assert given == {
        "data": [Path("a.dbn"), Path("b.dbn")], "tick_size": "0.25", "instruments": ["A", 7], "multiplier": 50.0, "feed_time": "sent",
        "status": [Path("s.dbn"), Path("t.dbn")], "engine": "reference", "explain": True, "day_starts": "17:00",
        "start": "2024-01-02T10:00", "end": "2024-01-02T11:00+01:00",
        "latency": tapeline.Latency(feed="-1us", entry="2ms", response=response, messages_max=9),
        "fees": tapeline.Fees(maker=-0.1, taker=1.0, unit="bps"),
        "limits": tapeline.Limits(position_max=1000, loss_max=2.5),
        "rules": tapeline.FillRules(crossing=False, on_gap="cancel", queue="log"),
    }  # fmt: skip
    assert engine.strategies[0].size == 3


def test_instruments_and_definitions_may_be_repeated(engine: SimpleNamespace) -> None:
    """Instruments given one by one are those given at once, and every file of definitions counts: of either, only the last was taken, without a word."""
    options = "--instruments A --instruments 7,B --definitions one.dbn --definitions two.dbn --multiplier 50 --no-save"
    done = invoke("run", MAKER, "a.dbn", *options.split())
    assert done.exit_code == 0, done.stderr
    assert engine.settings["instruments"] == ["A", 7, "B"]
    assert engine.settings["definitions"] == [Path("one.dbn"), Path("two.dbn")]


def test_a_file_of_settings_says_the_same(engine: SimpleNamespace, tmp_path: Path) -> None:
    """`--config` has all keywords of Backtest and parameters of the strategy by the same names; options come before it."""
    (tmp_path / "table.csv").write_text("time,entry,response\n0,10,20\n100,30,40\n", encoding="utf-8")
    file = tmp_path / "run.toml"
    file.write_text(
        f"""
        tick_size = 0.25
        multiplier = {{ A = 50, 7 = 20.5 }}
        instruments = ["A"]
        exclude_orders = [7, 8]
        equity_every = "5s"
        day_starts = "17:00 America/Chicago"
        start = 2024-01-02T10:00:00Z
        end = "2024-01-02T11:00"
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
        "data": [Path("a.dbn")], "tick_size": "0.5", "multiplier": {"A": 50, "7": 20.5}, "instruments": ["A"],
        "exclude_orders": [7, 8], "equity_every": "5s", "threads": 1, "day_starts": "17:00 America/Chicago",
        "start": datetime(2024, 1, 2, 10, tzinfo=UTC), "end": "2024-01-02T11:00",
        "latency": dataclasses.replace(table, response="1us"), "fees": tapeline.Fees(maker=-0.1),
        "limits": tapeline.Limits(position_max=20, order_size_max=5), "rules": tapeline.FillRules(crossing=False),
    }  # fmt: skip
    assert (engine.strategies[0].size, engine.strategies[0].position_max) == (9, 4)


def test_a_file_may_have_parameters_that_are_arrays(tmp_path: Path) -> None:
    """Lists, of two dimensions, too: the instance has what the file shows."""
    maker = strategy(tmp_path, "weights: (tl.float64, (2,)) = 0.0\ngrid: (tl.int64, (2, 2)) = 0\ndef on_start(self, market, orders, account): pass")
    file = tmp_path / "run.toml"
    file.write_text("[set]\nweights = [0.5, -2]\ngrid = [[1, 2], [3, 4]]\n", encoding="utf-8")
    made, _ = settings.of_run(maker, RunOptions(config=file), ())
    assert (made.weights.tolist(), made.grid.tolist()) == ([0.5, -2.0], [[1, 2], [3, 4]])


def test_a_file_has_fees_for_each_instrument(engine: SimpleNamespace, tmp_path: Path) -> None:
    """A table for each, by symbol or id; a name with a dot in quotes, and an empty table is no fees. What is not named in a table is as in tl.Fees."""
    file = tmp_path / "run.toml"
    file.write_text("[fees.ESH4]\nmaker = 0.2\ntaker = 1\n[fees.'NQ.c.0']\ntaker = 0.3\nunit = 'bps'\n[fees.7]\n", encoding="utf-8")
    done = invoke("run", MAKER, "a.dbn", "--config", file, "--no-save")
    assert done.exit_code == 0, done.stderr
    assert engine.settings["fees"] == {"ESH4": tapeline.Fees(maker=0.2, taker=1), "NQ.c.0": tapeline.Fees(taker=0.3, unit="bps"), "7": tapeline.Fees()}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[fees.ESH4]\nmaker = 0.2", ["--fee", "taker=1"], "--fee taker=1: run.toml has fees for each instrument: change them there"),
        ("[fees]\ntaker = 1\n[fees.ESH4]\nmaker = 0.2", [], "run.toml: fees: taker beside tables of instruments (ESH4): expected either"),
        ("[fees.ESH4]\nmakr = 0.2", [], "run.toml: fees.ESH4.makr=0.2: there is no such setting; did you mean 'maker'"),
        ("[fees.ESH4]\nmaker = '?'", [], "run.toml: fees.ESH4.maker=?: expected a number"),
        ("[fees.ESH4]\nunit = 'lot'", [], "unit='lot'"),
        ("[fees.NQ.c]\nmaker = 1", [], 'run.toml: fees.NQ: holds tables: a name with dots is written in quotes, [fees."NQ.c"]'),
        ("[fees]\nESH4 = 0.2", [], "run.toml: fees.ESH4=0.2: there is no such setting; there are: maker, taker, unit"),
    ],
)
def test_wrong_fees_of_instruments_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: list[str], message: str) -> None:
    """What is for all stands beside no table, and an option changes none of several; what is in a table is checked as what is for all."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    done = invoke("run", MAKER, "a.dbn", "--config", "run.toml", *options)
    assert done.exit_code == terminal.Exit.USAGE
    assert message in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ((), tapeline.Latency(entry="100us", response="100us")),
        (("1ms",), tapeline.Latency(entry="1ms", response="1ms")),
        (("entry=2ms",), tapeline.Latency(entry="2ms", response="100us")),
        (("1ms", "feed=3us", "cancel=7us"), tapeline.Latency(feed="3us", entry="1ms", response="1ms", cancel="7us")),
        (("from_feed(shift=-20us)", "response=5ns"), tapeline.Latency(entry=tapeline.Delay.from_feed("-20us"), response=5)),
        (("0", "response=from_feed(0)"), tapeline.Latency(entry=0, response=tapeline.Delay.from_feed(0))),
        (("modify=gamma(mean=2us, shape=2)",), tapeline.Latency(entry="100us", response="100us", modify=tapeline.Delay.gamma(mean="2us", shape=2))),
    ],
)
def test_latencies_replace_the_strategys_own(engine: SimpleNamespace, options: tuple[str, ...], latency: tapeline.Latency) -> None:
    """TouchMaker's latencies are 100 µs each way unless given; a time without name is that of entry and response; modifies and cancels follow entry."""
    done = invoke("run", MAKER, "a.dbn", "--no-save", *(part for option in options for part in ("--latency", option)))
    assert done.exit_code == 0, done.stderr
    assert engine.settings["latency"] == latency


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
        (["run", MAKER, "a.dbn", "--latency", "table()"], "--latency table(): expected table(FILE)"),
        (["run", MAKER, "a.dbn", "--latency", "table(a.csv, entry)"], "--latency table(a.csv, entry): expected table(FILE)"),
        (["run", MAKER, "a.dbn", "--limit", "position_max"], "expected name=value"),
        (["run", MAKER, "a.dbn", "--limit", "position_max=many"], "position_max"),
        (["run", MAKER, "a.dbn", "--limit", "loss_max=much"], "expected a number"),
        (["run", MAKER, "a.dbn", "--fill-rule", "crosing=off"], "did you mean 'crossing'"),
        (["run", MAKER, "a.dbn", "--fill-rule", "crossing=perhaps"], "expected true or false"),
        (["run", MAKER, "a.dbn", "--queue", "power9"], "'power9'"),
        (["run", MAKER, "a.dbn", "--config", "nowhere.toml"], "cannot be read as TOML"),
        (["run", MAKER, "a.dbn", "--config", "/dev/zero"], "cannot be read as TOML: it has more than 16,777,216 bytes"),
        (["run", "nowhere.py:X", "a.dbn"], "no such file"),
        (["depth", "a.dbn", "-o", "a.txt"], ".parquet or .csv"),
        (["synth", "-n", "10", "-o", "x.dbn", "--tick", "zero"], "'zero'"),
        (["synth", "-n", "10", "-o", "x.dbn", "--price", "-3"], "error: price='-3': expected a positive number"),
        (["synth", "-n", "10", "-o", "x.dbn", "--gap-scale", "0"], "error: gap_scale=0.0: expected a positive number"),
        (["synth", "-n", "10", "-o", "x.dbn", "--gap-scale", "1e300"], "gap_scale=1e+300, records=10: the session would not end before the year 2116"),
        (["synth", "-n", "10", "-o", "x.csv"], ".dbn or .dbn.zst"),
        (["synth", "-n", "10", "-o", "x.dbn", "--start", "monday"], "--start='monday': expected a time such as '2023-12-25T23:00:00' (UTC)"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], message: str) -> None:
    """Mistakes in options end with code 2 and a message that says what is meant."""
    done = invoke(*arguments)
    assert done.exit_code == terminal.Exit.USAGE
    assert message in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("both", "100"),
        ("feed", "-5"),
        ("response", "1_000"),
        ("messages_per", "5"),
        ("entry", "from_feed(7)"),
        ("both", "log_normal(median=80, sigma=0.5)"),
    ],
)
def test_a_time_in_text_has_its_unit(tmp_path: Path, name: str, value: str) -> None:
    """`--latency 100` would be 100 ns, which hardly anybody means: refused as an option and as text of a file, where numbers are nanoseconds as in Python."""
    (tmp_path / "run.toml").write_text(f"[latency]\n{name} = '{value}'", encoding="utf-8")
    for arguments in (("--latency", f"{name}={value}"), ("--latency", value), ("--config", tmp_path / "run.toml")):
        done = invoke("run", MAKER, "a.dbn", *arguments)
        assert done.exit_code == terminal.Exit.USAGE
        assert "expected a duration with its unit, such as '100us'" in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tick_sice = 1", "did you mean 'tick_size'"),
        ("limits = 3", "is a table: [limits]"),
        ("instruments = { A = 1 }", "expected a list of symbols and ids"),
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
