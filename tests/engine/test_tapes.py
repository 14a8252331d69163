"""Tapes: the same results as the DBN that they were made of, and clear words where something is wrong with them."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from duels import Case
from random_markets import RandomMarket
from streams import Stream

import tapeline as tl
from tapeline.check import check
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import registry
from tapeline.schema import TAPE_EVENT
from tapeline.tape import file as tape_file
from tapeline.tape.file import BATCH_EVENTS, TapeInput
from tapeline.tape.reader import TapeReader
from tapeline.verify import compare, verify


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A simulated session of three instruments and several batches, and its tape."""
    folder = tmp_path_factory.mktemp("tapes")
    dbn, tape = folder / "session.dbn.zst", folder / "day.tape"
    write_synth(dbn, SynthConfig(records=2 * BATCH_EVENTS, live_orders=600, instruments=3, seed=8))
    tl.write_tape(dbn, tape, tick_size="0.25", multiplier=50)
    return dbn, tape


class Idle(tl.Strategy):
    """Looks at one instrument of several."""

    def on_book(self, market, orders, account):
        """Nothing."""
        market[0].has_bid  # noqa: B018 - so that the run is one of several


def damaged(tape: Path, folder: Path, change: int | None = None, length: int | None = None) -> Path:
    """A copy with one byte changed, or cut to a length."""
    content = bytearray(tape.read_bytes())[:length]
    if change is not None:
        content[change] ^= 0x10
    path = folder / "damaged.tape"
    path.write_bytes(content)
    return path


def test_the_touch_of_one_instrument_is_given_up_to_the_damage(tmp_path: Path) -> None:
    """Where the second batch of its tape does not have its checksum, the rows of the first are those of the whole tape, and the error has them."""
    dbn, tape = tmp_path / "session.dbn", tmp_path / "day.tape"
    write_synth(dbn, SynthConfig(records=2 * BATCH_EVENTS, live_orders=600, seed=8))
    tl.write_tape(dbn, tape, tick_size="0.25", multiplier=50)
    whole = tl.depth(tape, 1)
    offset = TapeInput(tape).header["batches"][1][0]
    with pytest.raises(DataError, match="checksum") as error:
        tl.depth(damaged(tape, tmp_path, change=offset + 100), 1)
    before = error.value.result
    assert 100 < before.height < whole.height
    assert before.equals(whole.head(before.height))


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("seed", range(6000, 6004))
def test_runs_are_those_of_the_dbn(tmp_path: Path, seed: int, engine: str) -> None:
    """Random markets and venues, one instrument or several, made with the run's instruments: fills, orders, equity, signals and counters are equal."""
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "case.dbn")
    tape = tmp_path / "case.tape"
    tl.write_tape(path, tape, tick_size="1", instruments=case.settings["instruments"], feed_time=case.settings["feed_time"])
    found = compare(case.run(path, engine), case.run(tape, engine))
    assert found.is_equal, str(found)


@pytest.mark.nojit
def test_runs_are_those_of_the_dbn_without_the_jit(tmp_path: Path) -> None:
    """The same kernels as plain Python write and read the same tape."""
    case = Case.seeded(6100, events_max=40)
    path = case.stream().write(tmp_path / "case.dbn")
    tl.write_tape(path, tmp_path / "case.tape", tick_size="1", instruments=case.settings["instruments"], feed_time=case.settings["feed_time"])
    assert compare(case.run(path, "compiled"), case.run(tmp_path / "case.tape", "compiled")).is_equal


def test_instruments_appear_when_they_did(tmp_path: Path) -> None:
    """Without a list of instruments each is opened at its own first record, as from DBN: strategies count them."""

    class Counter(tl.Strategy):
        signals = ("n",)
        n: tl.int64

        def on_book(self, market, orders, account):
            self.n = self.opened(market)
            self.signal(0, float(self.n))

        def opened(self, markets):  # which a callback is not told
            return markets.n

    stream = Stream()
    for k in range(60):
        stream.add(k + 1, "B", 100 + k, 1, ts=10 * k, instrument=1 + min(k // 20, 2))
    path = stream.write(tmp_path / "several.dbn")
    tl.write_tape(path, tmp_path / "several.tape", tick_size="1")
    runs = [tl.Backtest(data, tick_size="1", multiplier=1).run(Counter()) for data in (path, tmp_path / "several.tape")]
    assert runs[0].signals["value"].n_unique() == 3
    assert compare(*runs).is_equal


def test_thousands_of_instruments_are_not_sought_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open an instrument of a tape takes no look at the others: nobody compares it with them, and names are read once."""
    write_synth(tmp_path / "many.dbn", SynthConfig(records=2_000, live_orders=400, instruments=40))
    tl.write_tape(tmp_path / "many.dbn", tmp_path / "many.tape", tick_size="0.25")
    tape = TapeInput(tmp_path / "many.tape")
    assert (len(tape.symbols), tape.symbols) == (40, TapeInput(tmp_path / "many.tape").symbols)
    assert tape.symbols is tape.symbols
    monkeypatch.setattr(tape_file.TapeInstrument, "__eq__", lambda *_: pytest.fail("instruments were compared"))
    assert tl.depth(tmp_path / "many.tape", levels=1)["instrument_id"].n_unique() == 40


def test_every_reader_takes_a_tape(session: tuple[Path, Path]) -> None:
    """depth, features, check and verify give the same of either."""
    dbn, tape = session
    assert tl.depth(tape, 3).equals(tl.depth(dbn, 3, tick_size="0.25"))
    assert tl.features(tape, every="1s").equals(tl.features(dbn, every="1s", tick_size="0.25"))
    of_dbn, of_tape = check([dbn], tick_size="0.25"), check([tape])
    assert of_tape.counters == of_dbn.counters
    assert of_tape.actions == of_dbn.actions
    assert of_tape.crossed.equals(of_dbn.crossed)
    assert (of_tape.times.ts_event_first, of_tape.times.ts_recv_last) == (of_dbn.times.ts_event_first, of_dbn.times.ts_recv_last)


def test_verify_takes_a_tape(session: tuple[Path, Path]) -> None:
    """Both engines agree on it; the reference plays the tape's events, too."""

    class Maker(tl.Strategy):
        bid: tl.int64

        def on_book(self, market, orders, account):
            if not orders.is_live(self.bid) and market.has_bid:
                self.bid = orders.buy(market.bid_price, 1)

    found = verify([Maker()], session[1], instruments=[session_instrument(session[1])])
    assert found.is_equal
    assert found.lines["orders"] > 10


def session_instrument(tape: Path) -> int:
    """The id of the first."""
    return TapeInput(tape).instruments[0].instrument_id


def test_instruments_are_chosen_from_a_tape(session: tuple[Path, Path]) -> None:
    """One of three, or two in another order, as from DBN; only what the normaliser counted of each is not known."""
    dbn, tape = session
    ids = [instrument.instrument_id for instrument in TapeInput(tape).instruments]
    for chosen in ([ids[1]], [ids[2], ids[0]]):
        assert tl.depth(tape, 2, instruments=chosen).equals(tl.depth(dbn, 2, instruments=chosen, tick_size="0.25"))


def test_other_tools_read_it(session: tuple[Path, Path]) -> None:
    """To polars it is an Arrow file with a column per field; its rows are the normaliser's events."""
    dbn, tape = session
    frame = pl.read_ipc(tape)
    assert frame.columns == list(TAPE_EVENT.names)
    assert frame.schema["ts_event"] == pl.Datetime("ns", "UTC")
    source = DbnInput([dbn])
    reader = TapeReader(source, registry(source, tick_size="0.25", multiplier=1.0), lambda _: None)
    events = np.concatenate([reader.events[:n].copy() for n, _ in reader.chunks()])
    assert len(events) > 2 * BATCH_EVENTS
    assert len(events) % BATCH_EVENTS > 0
    for name in TAPE_EVENT.names:
        assert (frame[name].to_physical().to_numpy() == events[name]).all()


def test_header_says_where_it_comes_from(session: tuple[Path, Path]) -> None:
    """Instruments with grids and multipliers, the source's hash, the counters."""
    header = TapeInput(session[1]).header
    assert [(i["grid"], i["multiplier"]) for i in header["instruments"]] == [(250_000_000, 50)] * 3
    assert header["sources"][0]["hash"] == "sha256"
    assert header["counters"]["records"] > 2 * BATCH_EVENTS


@pytest.mark.parametrize("multiplier", [{"SYN1": 50, 2: Decimal("0.5")}, {"SYN1": np.float32(50), "SYN2": 0.5}])
def test_multipliers_are_those_of_each_instrument(multiplier: dict[Any, Any], tmp_path: Path) -> None:
    """Where instruments differ they are given by name, as for a run, as numbers of any kind; the tape keeps each instrument's."""
    write_synth(tmp_path / "x.dbn", SynthConfig(records=500, live_orders=200, instruments=2))
    tl.write_tape(tmp_path / "x.dbn", tmp_path / "x.tape", tick_size="0.25", multiplier=multiplier)
    assert [i["multiplier"] for i in TapeInput(tmp_path / "x.tape").header["instruments"]] == [50.0, 0.5]


def test_damage_is_named_and_what_came_before_is_kept(session: tuple[Path, Path], tmp_path: Path) -> None:
    """One bit in the second batch: DataError with its bytes; the frame has everything of the first."""
    second = TapeInput(session[1]).header["batches"][1][0]
    path = damaged(session[1], tmp_path, change=second + 12_345)
    with pytest.raises(DataError, match=r"damaged\.tape: damaged: bytes .* do not have their checksum; make it again") as error:
        tl.depth(path, 1)
    whole = tl.depth(session[1], 1)
    assert 0 < error.value.result.height < whole.height
    assert error.value.result.equals(whole.head(error.value.result.height))


def test_a_tape_that_is_cut_while_it_is_played_is_told(session: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut off is not read, which would kill the process; what was given out before stays, and what others add behind the end is nobody's."""
    monkeypatch.setattr(tape_file, "_GIVE_BACK_BYTES", 0)
    tape = damaged(session[1], tmp_path)
    events, length = np.zeros(BATCH_EVENTS, TAPE_EVENT), tape.stat().st_size
    for change in (100, 4096):
        source, n = TapeInput(tape), 0
        os.truncate(tape, length + change)
        for part, _ in source.chunks(events, np.arange(3)):
            n += part
        assert n == source.events
        os.truncate(tape, length)
    source = TapeInput(tape)
    chunks = source.chunks(events, np.arange(3))
    assert next(chunks)[0] > 0
    os.truncate(tape, 5000)
    with pytest.raises(DataError, match=rf"damaged\.tape: damaged: it was cut to 5,000 of its {length:,} bytes while it was read; make it again"):
        list(chunks)


@pytest.mark.parametrize("length", [6, 100, 5000, -1, -200])
def test_a_tape_that_was_cut_is_told(session: tuple[Path, Path], tmp_path: Path, length: int) -> None:
    """Wherever it ends."""
    with pytest.raises(DataError, match=r"damaged: its .* bytes do not end as a tape does"):
        tl.depth(damaged(session[1], tmp_path, length=length), 1)


def test_a_damaged_header_is_told(session: tuple[Path, Path], tmp_path: Path) -> None:
    """A changed digit in it."""
    content = session[1].read_bytes()
    with pytest.raises(DataError, match="its header does not have its checksum"):
        tl.depth(damaged(session[1], tmp_path, change=content.index(b'"counters"') + 30), 1)


def test_older_tapes_and_other_arrow_files_are_told(session: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of another format, or of other events, says how to make it again; an Arrow file of somebody else's says what it is not."""
    other = tmp_path / "other.arrow"
    pl.DataFrame({"a": [1, 2]}).write_ipc(other)
    with pytest.raises(DataError, match="no tape of Tapeline's"):
        tl.depth(other, 1)
    monkeypatch.setattr(tape_file, "VERSION", 4)
    with pytest.raises(DataError, match="a tape of format 3, which this version of Tapeline does not read; make it again"):
        tl.depth(session[1], 1)


def test_settings_that_do_not_fit_are_told(session: tuple[Path, Path], tmp_path: Path) -> None:
    """Another tick, two tapes, a tape of a tape, a place that cannot be written."""
    dbn, tape = session
    with pytest.raises(ConfigError, match=r"has a grid of 0\.25, not of 0\.5"):
        tl.depth(tape, 1, tick_size="0.5")
    with pytest.raises(ConfigError, match="a tape is an input of its own"):
        tl.depth([tape, dbn], 1)
    with pytest.raises(ConfigError, match="is a tape already"):
        tl.write_tape(tape, tmp_path / "again.tape")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        tl.write_tape(dbn, tmp_path / "file" / "day.tape", tick_size="0.25")


def test_a_tape_does_not_take_the_place_of_its_source(session: tuple[Path, Path], tmp_path: Path) -> None:
    """The data that a tape is made of is no place for it, by another name of the same file neither: it is refused, and the data is as it was."""
    day, link = tmp_path / "day.dbn.zst", tmp_path / "link.dbn.zst"
    day.write_bytes(session[0].read_bytes())
    link.symlink_to(day)
    for output in (day, link):
        with pytest.raises(ConfigError, match="is what the tape is to be made of: name another file"):
            tl.write_tape(day, output, tick_size="0.25")
    assert day.read_bytes() == session[0].read_bytes()


def test_no_half_tape_is_left(session: tuple[Path, Path], tmp_path: Path) -> None:
    """Damaged input, or a kill in the middle: nothing has the tape's name; an older tape of that name stays whole."""
    cut = tmp_path / "cut.dbn.zst"
    cut.write_bytes(session[0].read_bytes()[:-2000])
    out = tmp_path / "out" / "day.tape"
    with pytest.raises(DataError, match=r"cut\.dbn"):
        tl.write_tape(cut, out, tick_size="0.25")
    assert list(out.parent.iterdir()) == []
    out.write_text("older")
    program = f"""
import sys, time
import tapeline as tl
def stop(progress):
    print("writing", flush=True)
    time.sleep(60)
tl.write_tape({str(session[0])!r}, {str(out)!r}, tick_size="0.25", progress=stop)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert out.read_text() == "older"


def test_a_full_disk_leaves_no_half_tape(session: tuple[Path, Path], tmp_path: Path) -> None:
    """Where the disk takes no more, not even what is held back when the file is closed, the error is told and the file is gone."""
    program = f"""
import resource
import tapeline as tl
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
tl.write_tape({str(session[0])!r}, {str(tmp_path / "day.tape")!r}, tick_size="0.25")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "tape" in path.name] == []


def test_multipliers_may_differ_by_instrument(session: tuple[Path, Path], tmp_path: Path) -> None:
    """A tape takes them as a run does, by symbol or id, and runs on it have those of the DBN; an instrument that is left out is refused."""
    dbn, given = session[0], {"SYN1": 50, "SYN2": Decimal("0.5"), 3: 1e-8}
    tl.write_tape(dbn, tmp_path / "day.tape", tick_size="0.25", multiplier=given)
    of_dbn, of_tape = (tl.Backtest(data, tick_size="0.25", **more).run(Idle()) for data, more in ((dbn, {"multiplier": given}), (tmp_path / "day.tape", {})))
    assert {symbol: contract.multiplier for symbol, contract in of_tape.contracts.items()} == {"SYN1": 50.0, "SYN2": 0.5, "SYN3": 1e-8}
    assert of_tape.contracts == of_dbn.contracts
    with pytest.raises(ConfigError, match="no contract multiplier is known for SYN3"):
        tl.write_tape(dbn, tmp_path / "two.tape", tick_size="0.25", multiplier={"SYN1": 50, "SYN2": 20})


def test_an_empty_input_makes_an_empty_tape(tmp_path: Path) -> None:
    """No events, no instruments: every reader gives nothing."""
    path = RandomMarket(1).stream.write(tmp_path / "empty.dbn")
    made = tl.write_tape(path, tmp_path / "empty.tape", tick_size="1")
    assert (made["events"], json.loads(json.dumps(made))["instruments"]) == (0, [])
    assert tl.depth(tmp_path / "empty.tape", 1, instruments=[1]).height == 0
