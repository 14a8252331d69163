"""`tapeline.features` against the plain engine's rows, and features of one's own."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from plain_features import plain_features
from random_markets import RandomMarket

import tapeline as tl
from tapeline.errors import CompileError, ConfigError, DataError
from tapeline.extraction import FeatureReader
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import registry
from tapeline.reference import feature_rows

HEAD = ["ts_event", "ts_recv", "sequence", "instrument_id", "publisher_id"]
NAMES = [feature.name.lower() for feature in tl.Feature]
SECOND = 1_000_000_000


class Pressure(tl.CustomFeature):
    """How far the imbalance at the touch is from its own average; counts its updates."""

    features = (tl.Feature.IMBALANCE,)
    weight: tl.float64 = 0.25
    average: tl.float64
    updates: tl.int64

    def update(self, market):
        """An exponential average."""
        now = market.features[tl.Feature.IMBALANCE]
        self.updates += 1
        if now == now:  # noqa: PLR0124 - false for NaN
            self.average += self.weight * (now - self.average)
        return now - self.average


class Thickness(tl.CustomFeature):
    """Has neither parameters nor state: orders at the second best prices."""

    depth = 2

    def update(self, market):
        """Of both sides."""
        return float(market.bid(1).count + market.ask(1).count)


class Second(tl.CustomFeature):
    """Looks at levels alone: what rests at the second best bid."""

    depth = 2

    def update(self, market):
        """Or −1, if it sees a feature, of which it declares none."""
        return float(market.bid(1).size) if np.isnan(market.features[tl.Feature.SPREAD]) else -1.0


class Meddler(tl.CustomFeature):
    """Changes the book that it looks at, in a helper."""

    def update(self, m):
        """The larger of both sizes, as it leaves them."""
        self.swap(m, m.bid(0))
        return float(m.bid_size)

    def swap(self, m, best):
        """What is to be refused."""
        best.size = max(m.bid_size, m.ask_size)


class MeddlerMaker(tl.Strategy):
    """Has such a feature, one of two."""

    meddlers: (Meddler, (2,))
    value: tl.float64

    def on_book(self, market, orders, account):
        """Asks it."""
        self.value = self.meddlers[1].update(market)


class PressureMaker(tl.Strategy):
    """Holds a feature of its own as a field."""

    features = (tl.Feature.IMBALANCE,)
    signals = ("pressure",)
    pressure: Pressure

    def on_book(self, market, orders, account):
        """Updates it when it likes."""
        self.signal(0, self.pressure.update(market))


class Echo(tl.CustomFeature):
    """One of the features, as a user's own sees it."""

    features = tuple(tl.Feature)
    which: tl.int64 = 0

    def update(self, market):
        """As it is now."""
        return market.features[self.which]


class Pace(tl.CustomFeature):
    """Looks at the best prices and at what happened, and at no feature of the book."""

    features = (tl.Feature.EVENT_RATE,)

    def update(self, market):
        """How often something happens."""
        return market.features[tl.Feature.EVENT_RATE]


class Narrow(tl.CustomFeature):
    """The number of features of the book that the market shows, of which it declares one."""

    features = (tl.Feature.MICROPRICE,)

    def update(self, market):
        """After each event."""
        seen = 0
        for which in range(17):
            seen += not np.isnan(market.features[which])
        return float(seen)


def market_file(path: Path, seed: int, n: int = 800) -> Path:
    """A random market of two books in which time passes: by nanoseconds, milliseconds, seconds and minutes."""
    market = RandomMarket(seed, 2)
    market.gaps = ((0, 1, 10**6, 3 * 10**7), (0, 10**7, 4 * 10**8, 2 * SECOND), (10**9, 7 * 10**10), (0, 10**8))[seed % 4]
    return market.grow(n).write(path)


def expected_frame(path: Path, tick_size: str = "1") -> pl.DataFrame:
    """What the plain engine says, in the columns of `features`."""
    source = DbnInput([path])
    known = registry(source, tick_size=tick_size, multiplier=1.0)
    rows = list(feature_rows(records(source), known))
    ids = [(known.known[row.instrument].instrument_id, known.known[row.instrument].publisher_id) for row in rows]
    head = [(*row[:3], *key) for row, key in zip(rows, ids, strict=True)]
    time = pl.Datetime("ns", "UTC")
    schema = dict(zip(HEAD, (time, time, pl.UInt32, pl.UInt32, pl.UInt16), strict=True))
    values = pl.DataFrame(np.array([row.values for row in rows]).reshape(len(rows), len(NAMES)), schema=NAMES)
    return pl.concat([pl.DataFrame(head, schema=schema, orient="row"), values], how="horizontal")


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_those_of_the_reference_on_random_streams(tmp_path: Path, seed: int) -> None:
    """Of any stream, at any pace, with snapshots, clears and clocks that run back, every feature of every event is the plain engine's, to the last bit."""
    path = market_file(tmp_path / "random.dbn", seed)
    frame, expected = tl.features(path, tick_size="1"), expected_frame(path)
    assert frame.height > 200
    assert frame.schema == expected.schema
    for name in frame.columns:
        assert frame[name].equals(expected[name]), f"{name}: row {frame[name].ne_missing(expected[name]).arg_true()[0]}"


@pytest.mark.nojit
def test_rows_are_those_of_the_reference_without_the_jit(tmp_path: Path) -> None:
    """The same kernels as plain Python give the same rows."""
    for seed in range(3):
        path = market_file(tmp_path / "random.dbn", 100 + seed, 150)
        assert tl.features(path, tick_size="1").equals(expected_frame(path))


@pytest.mark.parametrize("tick_size", ["0.25", "0.01", "0.0001"])
def test_rows_are_those_of_the_reference_on_a_simulated_session(tmp_path: Path, tick_size: str) -> None:
    """Three busy instruments, compressed: every feature is the plain engine's, and none is NaN or constant throughout.

    So it is where levels lie far apart, and where most of them lie outside a ladder's window.
    """
    path = tmp_path / "session.dbn.zst"
    write_synth(path, SynthConfig(records=15_000, live_orders=900, instruments=3, seed=5, gap_scale=0.2))
    frame = tl.features(path, tick_size=tick_size)
    assert frame.equals(expected_frame(path, tick_size))
    assert [name for name in NAMES if frame[name].fill_nan(None).drop_nulls().n_unique() < 2] == []


@pytest.mark.parametrize("which", [[tl.Feature.MID], [tl.Feature.IMBALANCE_10, tl.Feature.SPREAD], [tl.Feature.TRADE_FLOW], [tl.Feature.SLOPE_ASK]])
def test_a_feature_is_the_same_whatever_else_is_asked_for(tmp_path: Path, which: list) -> None:
    """Columns are those of all features; they come in the order asked for."""
    path = market_file(tmp_path / "random.dbn", 3)
    names = HEAD + [feature.name.lower() for feature in which]
    assert tl.features(path, which, tick_size="1").equals(tl.features(path, tick_size="1").select(names))


@pytest.mark.parametrize("every_ns", [1, 10**8, 60 * SECOND])
@pytest.mark.parametrize("seed", range(4))
def test_intervals_give_their_last_row(tmp_path: Path, seed: int, every_ns: int) -> None:
    """`every` gives the last row of each instrument and interval of ts_recv; in one piece or in many."""
    path = market_file(tmp_path / "random.dbn", seed)
    interval, kept = 0, {}
    rows = tl.features(path, tick_size="1")
    for at, recv in enumerate(rows["ts_recv"].to_physical()):
        interval = max(interval, recv // every_ns)
        kept[interval, rows["instrument_id"][at]] = at
    expected = rows[sorted(kept.values())]
    assert tl.features(path, every=every_ns, tick_size="1").equals(expected)
    assert pl.concat(FeatureReader(path, every=every_ns, chunk_bytes=1, tick_size="1").chunks()).equals(expected)


def test_chunks_are_the_whole(tmp_path: Path) -> None:
    """Pieces of a thousand rows are together what `features` gives; memory holds one piece."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=300, seed=6))
    parts = list(FeatureReader(path, chunk_bytes=1, tick_size="0.25").chunks())
    assert len(parts) > 10
    assert pl.concat(parts).equals(tl.features(path, tick_size="0.25"))
    assert pl.concat(tl.features_chunks(path, tick_size="0.25")).equals(tl.features(path, tick_size="0.25"))


@pytest.mark.nojit
def test_features_of_ones_own(tmp_path: Path) -> None:
    """Each instrument has a copy of its own, updated at every event; what it needs is computed, though not asked for; the instance given stays."""
    path = market_file(tmp_path / "random.dbn", 1, 200)
    mine = Pressure(weight=0.5)
    frame = tl.features(path, [tl.Feature.MID, mine, Thickness()], tick_size="1")
    assert frame.columns == [*HEAD, "mid", "Pressure", "Thickness"]
    assert mine.updates == 0
    whole = tl.features(path, tick_size="1")
    for instrument in (1, 2):
        average, expected = 0.0, []
        for now in whole.filter(pl.col("instrument_id") == instrument)["imbalance"]:
            average += 0.0 if np.isnan(now) else 0.5 * (now - average)
            expected.append(now - average)
        assert frame.filter(pl.col("instrument_id") == instrument)["Pressure"].equals(pl.Series("Pressure", expected))
    assert frame["Thickness"].max() > 1


@pytest.mark.nojit
@pytest.mark.parametrize("also", [[], [Pressure()], [tl.Feature.MID]])
def test_a_feature_of_ones_own_may_need_no_other(tmp_path: Path, also: list) -> None:
    """One that looks at levels alone has the sizes that `depth` has, whatever is asked for besides; features that nobody declares are NaN to it."""
    path = market_file(tmp_path / "random.dbn", 1, 300)
    frame, levels = tl.features(path, [Second(), *also], tick_size="1"), tl.depth(path, 2, tick_size="1")
    both = frame.join(levels, on=["ts_event", "sequence", "instrument_id"])
    assert both.height > 50
    assert (both["Second"] == both["bid_sz_01"]).all()


@pytest.mark.parametrize("seed", range(2))
def test_features_of_ones_own_see_what_the_columns_have(tmp_path: Path, seed: int) -> None:
    """At the end of every event the market shows what the formulas make of a block of rows, to the last bit."""
    path = market_file(tmp_path / "random.dbn", seed, 300)
    whole = tl.features(path, tick_size="1")
    for feature in tl.Feature:
        assert tl.features(path, [Echo(which=int(feature))], tick_size="1")["Echo"].equals(whole[feature.name.lower()].alias("Echo")), feature.name


@pytest.mark.nojit
def test_a_feature_of_ones_own_may_look_at_what_happened_alone(tmp_path: Path) -> None:
    """One that declares no feature of the book, and no level but the best, sees what the columns have: nothing of the book is remembered then."""
    path = market_file(tmp_path / "random.dbn", 1, 300)
    frame = tl.features(path, [Pace(), tl.Feature.EVENT_RATE], tick_size="1")
    assert frame.height > 50
    assert frame["Pace"].equals(frame["event_rate"].alias("Pace"))


def test_what_a_snapshot_cuts_off_counts_with_the_next_event(tmp_path: Path) -> None:
    """An order and a trade whose event does not end before a snapshot have happened all the same; what the snapshot has, has not happened then."""
    cut = [(1, "A", "B", 100.0, 5, 1, 0), (1, "T", "B", 101.0, 3, 0, 0)]
    snapshot = [(2, "R", "N", None, 0, 0, 32), (2, "A", "B", 100.0, 5, 1, 32), (2, "T", "A", 100.0, 9, 0, 32 + 128)]
    rows = [(1_700_000_000 * SECOND + at, *row) for at, *row in (*cut, *snapshot, (3, "A", "A", 102.0, 1, 2, 128))]
    columns = ["ts_event", "action", "side", "price", "size", "order_id", "flags"]
    path = tmp_path / "cut.dbn"
    tl.write_dbn(pl.DataFrame(rows, columns, orient="row"), path, symbol="X")
    frame = tl.features(path, tick_size="1")
    assert frame.select("event_rate", "add_rate", "trade_rate", "volume_rate", "trade_size", "vwap").rows() == [(1.0, 2.0, 1.0, 3.0, 3.0, 101.0)]
    assert tl.trades(path, tick_size="1")["size"].to_list() == [3]


def test_what_is_not_declared_is_not_shown(tmp_path: Path) -> None:
    """A feature of one's own sees what it declares, and NaN for the rest, though it be computed."""
    path = market_file(tmp_path / "random.dbn", 2, 300)
    assert tl.features(path, [Narrow()], tick_size="1")["Narrow"].unique().sort().to_list() == [0.0, 1.0]


def test_a_strategy_holds_a_feature_as_a_field(tmp_path: Path) -> None:
    """The same class works in callbacks, compiled and in the reference."""
    path = market_file(tmp_path / "random.dbn", 2)
    signals = [
        tl.Backtest(path, tick_size="1", multiplier=1, instruments=[1], engine=engine).run(PressureMaker()).signals for engine in ("compiled", "reference")
    ]
    assert signals[0].height > 50
    assert signals[0].equals(signals[1])


def test_a_damaged_file_gives_all_before_the_damage(tmp_path: Path) -> None:
    """DataError carries the frame of everything before; an empty file gives an empty frame of all columns."""
    path = market_file(tmp_path / "whole.dbn", 1)
    whole = tl.features(path, tick_size="1")
    cut = tmp_path / "cut.dbn"
    cut.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.dbn") as damage:
        tl.features(cut, tick_size="1")
    before = damage.value.result
    assert before.height >= whole.height - 3
    assert before.equals(whole.head(before.height))


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ([], "none"),
        ([tl.Feature.MID, tl.Feature.MID], "each once"),
        ([Pressure(weight=0.1), Pressure(weight=0.5)], r"each once.*class Pressure2\(Pressure\): pass"),
        ([2], "neither"),
        (["mid"], r"neither.*: write tl\.Feature\.MID"),
        ("mid", "expected a list of them.*'mid' alone"),
        (tl.Feature.MID, "expected a list of them"),
        ([Pressure], r"Pressure\(…\)"),
    ],
)
def test_features_that_are_none_are_named(tmp_path: Path, which: object, said: str) -> None:
    """Each is a ConfigError that says what is expected."""
    path = market_file(tmp_path / "random.dbn", 1, 10)
    with pytest.raises(ConfigError, match=said):
        tl.features(path, which, tick_size="1")


def test_a_feature_that_does_not_compile_is_told_so_in_its_own_words(tmp_path: Path) -> None:
    """The error names the user's file and line, and what was probably meant."""

    class Wrong(tl.CustomFeature):
        def update(self, market):
            return market.bid_prise * 1.0

    class Missing(tl.CustomFeature):
        pass

    path = market_file(tmp_path / "random.dbn", 1, 10)
    with pytest.raises(CompileError, match=r"test_extraction.py:\d+: in Wrong.update: market has no attribute 'bid_prise'; did you mean bid_price"):
        tl.features(path, [Wrong()], tick_size="1")
    with pytest.raises(CompileError, match="no method update"):
        tl.features(path, [Missing()], tick_size="1")


def test_a_feature_does_not_write_to_the_market(tmp_path: Path) -> None:
    """What its `update` is given, and what it gives its helpers, is to be read: by itself, and where a strategy has the feature, that is told with the line."""
    path = market_file(tmp_path / "random.dbn", 1, 10)
    said = r"test_extraction.py:\d+: in {}: level.size cannot be set: .*\n    best.size = max"
    with pytest.raises(CompileError, match=said.format("Meddler.update")):
        tl.features(path, [Meddler()], tick_size="1")
    with pytest.raises(CompileError, match=said.format("MeddlerMaker.on_book")):
        tl.Backtest(path, tick_size="1", multiplier=1).run(MeddlerMaker())


@pytest.mark.parametrize("seed", range(6))
def test_features_are_what_their_definitions_say(tmp_path: Path, seed: int) -> None:
    """Each feature of each event is that of the table in docs/ARCHITECTURE.md, worked out from the records in exact fractions by neither engine."""
    market = RandomMarket(2_000 + seed, 2)
    market.damage = market.backwards = 0
    market.gaps = ((0, 1, 10**6, 3 * 10**7), (0, 10**7, 4 * 10**8, 2 * SECOND), (10**9, 7 * 10**10))[seed % 3]
    stream = market.grow(600)
    frame = tl.features(stream.write(tmp_path / "random.dbn"), tick_size="1")
    plain = list(plain_features(stream.array()))
    assert frame.height > 150
    assert frame.select("instrument_id", pl.col("ts_event").to_physical()).rows() == [key for key, _ in plain]
    for name in NAMES:
        assert np.allclose(frame[name], [values[name] for _, values in plain], rtol=1e-12, atol=1e-12, equal_nan=True), name
