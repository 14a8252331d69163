"""`tapeline.trades` against Databento's own reader, and by hand."""

from pathlib import Path

import databento_dbn
import polars as pl
import pytest
from streams import SNAPSHOT, Stream

import tapeline as tl
from tapeline.errors import DataError

ES = Path(__file__).parents[2] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
SIDES = {"B": "buy", "A": "sell", "N": None}
TIMES = pl.col("ts_event", "ts_recv").dt.epoch("ns")


@pytest.mark.skipif(not ES.exists(), reason=f"real market data is not here: {ES}")
def test_trades_are_those_of_databentos_reader() -> None:
    """All 2,973 of ESH4's hour, field by field."""
    decoder = databento_dbn.DBNDecoder(compression=databento_dbn.Compression.ZSTD)
    decoder.write(ES.read_bytes())
    records = (record for record in decoder.decode() if isinstance(record, databento_dbn.MBOMsg) and str(record.action) == "T")
    wanted = [(r.ts_event, r.ts_recv, r.sequence, r.instrument_id, r.publisher_id, SIDES[str(r.side)], r.price / 1e9, r.size) for r in records]
    assert tl.trades(ES, tick_size=0.25).with_columns(TIMES).rows() == wanted
    assert len(wanted) == 2973


def stream() -> Stream:
    """Two instruments; trades of both sides and none, in one event, in a snapshot, and without a price."""
    made = Stream().add(1, "A", 101, 5, ts=10).trade("B", 101, 2, ts=20, recv=23, last=False).trade("N", 102, 1, last=False).trade("A", -3, 4, instrument=2)
    return made.trade("B", 90, 7, flags=SNAPSHOT, ts=30).trade("A", None, 1, ts=40).quiet(50)


def test_a_trade_is_a_row(tmp_path: Path) -> None:
    """Side, price, size and times of each, in order, those of a snapshot left out; of a tape the same, and of chosen instruments theirs."""
    path = stream().write(tmp_path / "x.dbn")
    found = tl.trades(path, tick_size="1")
    assert found.with_columns(TIMES).drop("sequence").rows() == [
        (20, 23, 1, 1, "buy", 101.0, 2),
        (20, 21, 1, 1, None, 102.0, 1),
        (20, 21, 2, 1, "sell", -3.0, 4),
        (40, 41, 1, 1, "sell", None, 1),
    ]
    tl.write_tape(path, tmp_path / "x.tape", tick_size="1", multiplier=1.0)
    assert tl.trades(tmp_path / "x.tape").equals(found)
    assert tl.trades(path, tick_size="1", instruments=[2]).equals(found.filter(instrument_id=2))
    assert tl.trades(Stream().quiet(5).write(tmp_path / "none.dbn"), tick_size="1").equals(found.clear())


def test_damage_leaves_the_trades_before_it(tmp_path: Path) -> None:
    """A truncated file raises DataError, whose result has all rows before."""
    path = stream().write(tmp_path / "x.dbn")
    whole = tl.trades(path, tick_size="1")
    path.write_bytes(path.read_bytes()[: -(56 + 13)])
    with pytest.raises(DataError, match="truncated") as raised:
        tl.trades(path, tick_size="1")
    assert raised.value.result.equals(whole.head(3))
