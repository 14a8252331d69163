"""How runs end: at the end of the data, at damage, at Ctrl-C."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import MAKER
from strategy_files import tiny_session

import tapeline as tl
from tapeline import backtest as module
from tapeline.engine.special import UNITS
from tapeline.errors import DataError
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy

Maker = load_strategy(MAKER)
ENGINES = pytest.mark.parametrize("engine", ["compiled", "reference"])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session of several chunks."""
    path = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=300))
    return path


def run(path: Path, engine: Any, progress: Any = None) -> tl.Result:
    """Backtest the market maker."""
    return tl.Backtest(path, tick_size="0.25", multiplier=50, engine=engine).run(Maker(), progress=progress)


class Census(tl.Strategy):
    """Signals how many instruments there are."""

    signals = ("n", "same")

    def on_start(self, market, orders, account):
        """Before anything is known of the market."""
        self.signal(0, market.n)

    def on_book(self, market, orders, account):
        """The same in a method, and by the last of them."""
        self.signal(0, market.n)
        self.signal(1, market[market.n - 1].instrument + 1)


@ENGINES
@pytest.mark.parametrize(("instruments", "n"), [(["SYN2"], 1), (["SYN3", "SYN1"], 2), (["SYN1", "SYN2", "SYN3"], 3), (None, 3)])
def test_a_strategy_knows_how_many_instruments_there_are(tmp_path: Path, engine: Any, instruments: list[str] | None, n: int) -> None:
    """`market.n` is the number of those that were asked for, or of all whose books the input begins with; `market[market.n - 1]` is the last."""
    path = tiny_session(tmp_path / "three.dbn", instruments=3)
    backtest = tl.Backtest(path, tick_size="0.25", multiplier=50, engine=engine, instruments=instruments)
    signals = backtest.run(Census()).signals
    seen, same = (signals.filter(signal=name)["value"] for name in Census.signals)
    assert set(seen) == {n}
    assert seen[1:].to_list() == same.to_list()


@ENGINES
def test_a_run_of_instruments_without_a_record_says_so(session: Path, engine: Any) -> None:
    """Of a pair the header knows no more than the id: where its venue has no record of it, nothing happens in the run, and the run says so."""
    with pytest.warns(UserWarning, match=r"instruments: none of the input's 20,\d+ records is of SYN1 \(5, 1\) \(publisher, id\): nothing has happened"):
        tl.Backtest(session, tick_size="0.25", multiplier=50, instruments=[(5, 1)], engine=engine).run(Maker())


@ENGINES
@pytest.mark.parametrize("records", [0, 5_000])
def test_an_error_of_progress_is_told_as_it_is(session: Path, engine: str, records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `progress` raises, as to give a run up, comes out of `run`, and no callback of a strategy is blamed for it."""
    monkeypatch.setattr(module, "PROGRESS_EVERY_S", 0.0)

    def progress(at: tl.Progress) -> None:
        if at.records >= records:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough") as error:
        run(session, engine, progress)
    assert not hasattr(error.value, "__notes__")


@ENGINES
def test_ctrl_c_ends_a_run_with_what_was_recorded(session: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT while the engine runs gives a consistent result, marked as interrupted, of fewer records; afterwards SIGINT is what it was."""
    monkeypatch.setattr(module, "PROGRESS_EVERY_S", 0.0)
    before = signal.getsignal(signal.SIGINT)
    sent = []

    def progress(at: tl.Progress) -> None:
        if at.records > 5_000 and not sent:
            sent.append(at.records)
            os.kill(os.getpid(), signal.SIGINT)

    result = run(session, engine, progress)
    assert sent
    assert result.manifest["interrupted"] is True
    assert sent[0] <= result.manifest["records"] < 20_300
    assert 0 < result.fills.height < run(session, engine).fills.height
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_at_once(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT twice before the engine looks ends the run there and then, still with its result; the handler is put back."""
    monkeypatch.setattr(module, "PROGRESS_EVERY_S", 0.0)
    before = signal.getsignal(signal.SIGINT)

    def progress(at: tl.Progress) -> None:
        if at.records:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    assert run(session, "compiled", progress).manifest["interrupted"] is True
    assert signal.getsignal(signal.SIGINT) is before


@ENGINES
def test_damage_in_the_middle_keeps_what_came_before(session: Path, tmp_path: Path, engine: str) -> None:
    """DataError carries the result of all records before the damage: what a file that ends there gives."""
    content = session.read_bytes()
    middle = len(content) - 56 * 8_000
    damaged, short = tmp_path / "damaged.dbn", tmp_path / "short.dbn"
    damaged.write_bytes(content[:middle] + b"\x03" + content[middle + 1 :])
    short.write_bytes(content[:middle])
    with pytest.raises(DataError, match=r"damaged\.dbn: record") as damage:
        run(damaged, engine)
    result, expected = damage.value.result, run(short, engine)
    assert result.fills.height > 0
    assert result.fills.equals(expected.fills)
    assert result.orders.equals(expected.orders)
    assert "record" in result.manifest["error"]


@ENGINES
def test_data_that_changes_while_it_is_read(session: Path, tmp_path: Path, engine: str) -> None:
    """A run goes on where its file has been replaced by another, or nothing, and says of what data its result is: of what it opened."""
    path = tmp_path / "session.dbn"
    path.write_bytes(session.read_bytes())

    def progress(at: tl.Progress) -> None:
        if at.records:
            path.unlink(missing_ok=True)

    result, expected = run(path, engine, progress), run(session, engine)
    assert result.fills.equals(expected.fills)
    assert {**result.manifest["data"][0], "path": ""} == {**expected.manifest["data"][0], "path": ""}
    assert "not there any more" in str(result.stats)


class Stopper(tl.Strategy):
    """Sends a stop order at once."""

    sent: tl.int64

    def on_book(self, market: Any, orders: Any, account: Any) -> None:
        """Once."""
        if self.sent == 0 and market.has_ask:
            self.sent = orders.buy_stop(market.ask_price, 1)


def test_what_is_compiled_in_the_middle_of_a_run_does_not_count(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds that a manifest tells leave out the compilation of what only few runs need, here of stops."""
    from tapeline.engine import session as engine_session

    class Slow:
        """Units that take half a second more."""

        def place(self, record: Any) -> None:
            """Wait, then do it."""
            time.sleep(0.5)
            for unit in UNITS:
                unit.place(record)

    monkeypatch.setattr(engine_session, "SPECIAL_UNITS", (Slow(),))
    begun = time.perf_counter()
    result = tl.Backtest(session, tick_size="0.25", multiplier=50).run(Stopper())
    assert result.orders.height == 1
    assert result.manifest["seconds"] <= time.perf_counter() - begun - 0.5


class Sized(tl.Strategy):
    """Buys once."""

    size: tl.int64 = 1
    sent: tl.int64

    def on_book(self, market, orders, account):
        """Take the touch."""
        if self.sent == 0 and market.has_ask:
            self.sent = orders.buy(market.ask_price, self.size, tl.IOC)


class Other(tl.Strategy):
    """Has another parameter."""

    weight: tl.float64 = 0.5

    def on_start(self, market, orders, account):
        """Send nothing."""


@ENGINES
def test_a_run_leaves_instances_as_they_are(tmp_path: Path, engine: Any) -> None:
    """State that a strategy gathers is the run's: what was given to it, rows of an array included, runs again with the same result."""
    one, several = Sized(), Sized.array(2, size=[3, 4])
    backtest = tl.Backtest(tiny_session(tmp_path / "x.dbn"), tick_size="0.25", multiplier=50, engine=engine)
    first, second = (backtest.run(one, several) for _ in range(2))
    assert (one.sent, several["sent"].tolist()) == (0, [0, 0])
    assert first.fills["size"].sum() == second.fills["size"].sum() == 8


def test_a_sweep_says_what_each_row_was(session: Path) -> None:
    """Rows of one class have names of their own, the same in all frames and in the manifest; `parameters` joins with the statistics."""
    result = tl.Backtest(session, tick_size="0.25", multiplier=50, engine="reference").run(Sized.array(3, size=range(2, 5)), Other())
    assert [row["label"] for row in result.manifest["strategies"]] == ["Sized#0", "Sized#1", "Sized#2", "Other"]
    assert result.parameters.rows() == [(0, "Sized#0", 2, None), (1, "Sized#1", 3, None), (2, "Sized#2", 4, None), (3, "Other", None, 0.5)]
    joined = result.stats.frame.join(result.parameters, on="row")
    assert joined["lots"].to_list() == [2, 3, 4, 0]
    assert result.explain(1, "Sized#1").order["size"] == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": None}, "data=None: expected the path of a file, or a list of them"),
        ({"definitions": 5}, "definitions=5: expected the path of a file"),
        ({"status": [1.5]}, r"status=\[1\.5\]: expected the path of a file"),
        ({"status": []}, "status: expected at least one file"),
        ({"exclude_orders": 5}, "exclude_orders=5: expected the ids of orders"),
        ({"instruments": 1.5}, r"instruments=1\.5: expected a list of symbols and ids, such as \['ESH4'\]"),
        ({"exclude_orders": ["x"]}, "exclude_orders: 'x' is no order id: expected whole numbers from 0"),
        ({"exclude_orders": [7, 7.5]}, r"exclude_orders: 7\.5 is no order id"),
        ({"exclude_orders": [-1]}, "exclude_orders: -1 is no order id"),
        ({"exclude_orders": [2**64]}, "exclude_orders: 18446744073709551616 is no order id"),
    ],
)
def test_what_is_no_file_or_id_is_named(session: Path, settings: dict[str, Any], said: str) -> None:
    """What takes files or ids names itself where it is given something else, and no error of Python's own comes out."""
    with pytest.raises(tl.ConfigError, match=said):
        tl.Backtest(**{"data": session, "tick_size": "0.25", "multiplier": 50.0, **settings}).open()
