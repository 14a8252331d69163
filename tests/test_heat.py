"""`tapeline.heatmap`: what it shows, in which units, and what it refuses."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import plotly.io
import polars as pl
import pytest

import tapeline as tl
from tapeline.errors import ConfigError
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.heat import Span, heatmaps, to_ns

NS = 10**9


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session."""
    path = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(path, SynthConfig(records=8_000, live_orders=400, tick="0.25", seed=9))
    return path


@pytest.fixture(scope="module")
def bbo(session: Path) -> pl.DataFrame:
    """Best prices after every event, in price units."""
    prices = [(pl.col(f"{side}_px_00") / 1e9).alias(side) for side in ("bid", "ask")]
    return tl.depth(session, levels=1, tick_size="0.25").select("ts_event", *prices, "bid_sz_00", "ask_sz_00")


def test_a_heat_map_is_the_book(session: Path, bbo: pl.DataFrame) -> None:
    """Best prices at the ends of columns are those of `tl.depth`; no bid rests above the lowest, no ask below; the price axis holds ticks around them."""
    start, end = bbo["ts_event"][1_000], bbo["ts_event"][-1_000]
    heat = tl.heatmap(session, start, end, columns=50, levels=5, tick_size="0.25")
    assert (heat.bid_size.shape, heat.quotes.height) == ((50, len(heat.prices)), 50)
    assert np.diff(heat.prices).tolist() == [0.25] * (len(heat.prices) - 1)
    at_ends = heat.quotes.join_asof(bbo.with_columns(pl.col("ts_event") + pl.duration(nanoseconds=1)), left_on="ts", right_on="ts_event", suffix="_book")
    assert at_ends["bid"].equals(at_ends["bid_book"])
    assert at_ends["ask"].equals(at_ends["ask_book"])
    inside = bbo.filter(pl.col("ts_event").is_between(start, end))
    assert heat.prices[0] <= inside["bid"].min() < inside["ask"].max() <= heat.prices[-1]
    assert heat.bid_size[:, heat.prices > inside["bid"].max()].sum() == 0
    assert heat.ask_size[:, heat.prices < inside["ask"].min()].sum() == 0
    assert heat.bid_size.sum() > 0
    assert heat.trades["price"].is_between(heat.prices[0], heat.prices[-1]).all()
    assert set(heat.trades["side"].unique()) <= {"buy", "sell", None}


def test_prices_that_are_known_save_a_pass(session: Path, bbo: pl.DataFrame) -> None:
    """With best prices given, the map shows these and `levels` beyond; what rests there is the same as where a pass over the data finds the range."""
    span = Span(0, *(int(ts) for ts in bbo["ts_event"].gather([1_000, -1_000]).to_physical()))
    settings = {"tick_size": "0.25"}
    (whole,) = heatmaps(session, [span], columns=30, levels=8, settings=settings)
    ticks = np.round(whole.prices[[10, 14]] / 0.25).astype(np.int64)
    (part,) = heatmaps(session, [span], columns=30, levels=2, settings=settings, ticks=[ticks])
    assert part.prices.tolist() == whole.prices[8:17].tolist()
    assert np.array_equal(part.bid_size, whole.bid_size[:, 8:17], equal_nan=True)
    assert np.array_equal(part.ask_size, whole.ask_size[:, 8:17], equal_nan=True)
    assert part.quotes.equals(whole.quotes)


def test_frames_and_figures_hold_the_same(session: Path, bbo: pl.DataFrame) -> None:
    """`to_frame` has a line per cell with something in it; the figure's matrix is the sum of both sides."""
    heat = tl.heatmap(session, bbo["ts_event"][500], bbo["ts_event"][-500], columns=20, levels=3, tick_size="0.25")
    frame = heat.to_frame()
    assert frame["bid_size"].sum() == pytest.approx(heat.bid_size.sum())
    assert frame["ts"].is_between(heat.start, heat.end).all()
    figure = heat.figure()
    assert figure.data[0].z.sum() == pytest.approx((heat.bid_size + heat.ask_size).sum(), rel=1e-5)
    assert repr(heat) == f"Heatmap(SYN1, {heat.start:%Y-%m-%d %H:%M:%S} to {heat.end:%Y-%m-%d %H:%M:%S} UTC: 20 times × {len(heat.prices)} prices)"


def test_counts_may_be_numpys(session: Path, bbo: pl.DataFrame) -> None:
    """Columns and levels are whole numbers of any type, as parameters that are swept over arrays are."""
    span, settings = (bbo["ts_event"][500], bbo["ts_event"][800]), {"tick_size": "0.25"}
    ours, numpys = (tl.heatmap(session, *span, columns=whole(20), levels=whole(3), **settings).to_frame() for whole in (int, np.int32))
    assert numpys.equals(ours)
    assert tl.depth(session, np.uint8(2), **settings).equals(tl.depth(session, 2, **settings))


class Timestamp(datetime):
    """A time as pandas has it: what a datetime has no room for stands beside it."""

    nanosecond = 789


def test_times_are_utc_in_any_form() -> None:
    """Text, datetimes with and without a zone, and nanoseconds mean the same time; other text is refused by the setting's name."""
    expected = 1_703_545_200 * NS
    assert to_ns("2023-12-25T23:00:00", "start") == expected
    assert to_ns("2023-12-26T00:00:00+01:00", "start") == expected
    assert to_ns(datetime(2023, 12, 25, 23, tzinfo=UTC), "start") == expected
    assert to_ns(datetime(2023, 12, 25, 23), "start") == expected  # noqa: DTZ001 - without a zone on purpose
    assert to_ns(expected + 1, "start") == to_ns(np.int64(expected + 1), "start") == expected + 1
    assert to_ns(np.datetime64("2023-12-25T23"), "start") == to_ns(np.datetime64(expected, "ns"), "start") == expected
    for exact in ("2023-12-25T23:00:00.123456789Z", Timestamp(2023, 12, 25, 23, 0, 0, 123_456)):  # Python's datetime would end at the microsecond
        assert to_ns(exact, "start") == expected + 123_456_789
    assert to_ns("2023-12-25T23:00:00.1234567", "start") == expected + 123_456_700
    for time in ("yesterday", None, 1.5, True, datetime(2023, 12, 25, tzinfo=UTC).date()):
        with pytest.raises(ConfigError, match=r"start=.*expected a time"):
            to_ns(time, "start")


@pytest.mark.parametrize(("settings", "words"), [({"columns": 0}, "columns=0"), ({"levels": 10**6}, "levels=1000000"), ({"columns": True}, "columns=True")])
def test_settings_that_make_no_sense_are_refused(session: Path, settings: dict, words: str) -> None:
    """Numbers of columns and levels have limits, and the error names them."""
    with pytest.raises(ConfigError, match=words):
        tl.heatmap(session, 0, NS, **settings)


def test_times_without_a_book_are_refused(session: Path, bbo: pl.DataFrame) -> None:
    """An end before the start, or a time that the data does not cover, is an error that says so."""
    first = bbo["ts_event"][0]
    with pytest.raises(ConfigError, match="end comes after start"):
        tl.heatmap(session, first, first - timedelta(seconds=1), tick_size="0.25")
    with pytest.raises(ConfigError, match="choose a time"):
        tl.heatmap(session, first + timedelta(days=3), first + timedelta(days=4), tick_size="0.25")


def test_a_heat_map_shows_itself(session: Path, bbo: pl.DataFrame) -> None:
    """Notebooks get it as Plotly's JSON and as HTML, which a symbol cannot end; both have the same data, as its figure has."""
    heat = tl.heatmap(session, bbo["ts_event"][1_000], bbo["ts_event"][2_000], columns=20, tick_size="0.25")
    for made in (heat, replace(heat, symbol="</script><script>alert(1)</script>").figure()):
        bundle = made._repr_mimebundle_()
        assert set(bundle) == {"application/vnd.plotly.v1+json", "text/html"}
        assert bundle["text/html"].count("</script>") == 1
        said = bundle["text/html"].removesuffix(")</script>")
        assert said.endswith(", " + json.dumps(bundle["application/vnd.plotly.v1+json"], ensure_ascii=False).replace("<", "\\u003c"))


def test_a_figure_is_not_offered_to_be_uploaded(session: Path, bbo: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """`figure.show()` leaves Plotly's button for it out, unless it is told otherwise."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(plotly.io, "show", lambda _, **options: asked.append(options))
    figure = tl.heatmap(session, bbo["ts_event"][1_000], bbo["ts_event"][2_000], columns=20, tick_size="0.25").figure()
    figure.show(renderer="browser")
    figure.show(config={"scrollZoom": True})
    assert [asked[0]["config"]["showSendToCloud"], asked[0]["renderer"], asked[1]] == [False, "browser", {"config": {"scrollZoom": True}}]
