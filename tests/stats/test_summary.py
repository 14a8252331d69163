"""Statistics against formulas written out in plain Python."""

import io
import json
import pickle
from datetime import timedelta

import polars as pl
import pytest
from journals import Journal, instrument, row
from plain import MULTIPLIERS, TICK_PRICE, random_journal, random_mids
from polars.testing import assert_frame_equal
from rich.console import Console

from tapeline.constants import UNDEFINED_PRICE, Status
from tapeline.errors import ConfigError
from tapeline.stats import METRICS, TOTAL, statistics
from tapeline.stats.summary import measured, summarise
from tapeline.tables import format_metric, format_seconds, frame_table, pairs_table, records_table, to_lines, to_text


def plain_pnl(journal: Journal, chosen: int) -> tuple[float, float]:
    """Gross PnL and fees of a row: what was bought and sold, fill by fill, and what is left at the last mark."""
    gross = paid = 0.0
    fees = journal.rows[chosen].venue.fees
    last_mark = {(s["row"], s["instrument"]): s["mark"] for s in journal.samples}
    for fill in journal.fills:
        if fill["row"] == chosen:
            lots = fill["size"] if fill["side"] == ord("B") else -fill["size"]
            price, multiplier = fill["price"] / 1e9, MULTIPLIERS[fill["instrument"]]
            mark = last_mark[chosen, fill["instrument"]] * TICK_PRICE / 2
            gross += lots * (mark - price) * multiplier
            rate = fees.maker if fill["is_maker"] else fees.taker
            paid += rate * fill["size"] if fees.unit == "contract" else rate * 1e-4 * abs(price) * fill["size"] * multiplier
    return gross, paid


def plain_curve(journal: Journal, rows: set[int]) -> list[tuple[int, float]]:
    """Net equity of some rows over all instruments after each time of a sample."""
    result = journal.result().equity.sort("ts", maintain_order=True)
    latest: dict[tuple[int, str], float] = {}
    curve: dict[int, float] = {}
    for line in result.with_columns(ts=result["ts"].to_physical()).iter_rows(named=True):
        if line["row"] in rows:
            latest[line["row"], line["symbol"]] = line["net"]
            curve[line["ts"]] = sum(latest.values())
    return list(curve.items())


def plain_drawdown(curve: list[tuple[int, float]], start: int, end: int) -> tuple[float, int]:
    """Largest fall, and longest time (ns) from a high until it was regained or the end."""
    high, high_time, deepest, longest, below = 0.0, start, 0.0, 0, False
    for time, net in curve:
        if net >= high - 1e-7:
            if below:
                longest = max(longest, time - high_time)
            high, high_time, below = max(net, high), time, False
        else:
            below = True
            deepest = max(deepest, high - net)
    if below:
        longest = max(longest, end - high_time)
    return deepest, longest


@pytest.mark.parametrize("seed", range(8))
def test_pnl_and_fees_follow_from_fills(seed: int) -> None:
    """PnL is what each fill gains to the last mark, fees are rate × lots or notional; net is the difference; the total is the sum."""
    journal = random_journal(seed)
    frame = journal.result().stats.frame
    expected = [plain_pnl(journal, r) for r in (0, 1)]
    expected.append((sum(e[0] for e in expected), sum(e[1] for e in expected)))
    assert frame["strategy"].to_list() == ["r0", "r1", TOTAL]
    for line, (gross, fees) in zip(frame.to_dicts(), expected, strict=True):
        assert line["pnl_gross"] == pytest.approx(gross)
        assert line["fees"] == pytest.approx(fees)
        assert line["pnl_net"] == pytest.approx(gross - fees)


@pytest.mark.parametrize("seed", range(8))
def test_drawdown_of_the_summed_curve(seed: int) -> None:
    """Drawdown is that of the net equity summed over instruments (and rows), each as last sampled."""
    journal = random_journal(seed)
    start = min(line["ts_local"] for line in journal.fills)
    end = max(line["ts"] for line in journal.samples)
    for line in journal.result().stats.frame.to_dicts():
        rows = {0, 1} if line["strategy"] == TOTAL else {line["row"]}
        deepest, longest = plain_drawdown(plain_curve(journal, rows), start, end)
        assert line["drawdown_max"] == pytest.approx(deepest)
        assert line["drawdown_duration"] == timedelta(microseconds=longest / 1000)


def test_drawdown_by_hand() -> None:
    """Equity 0, −100, 50, 20, 50, 80, 60: the deepest fall is the first 100, the longest lasts 2 s from 50 until 50 is back."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(0, 1, 0)
    for time, equity in enumerate((0, -100, 50, 20, 50, 80, 60)):
        journal.sample(time, 2 * equity)
    line = journal.result().stats.frame.row(0, named=True)
    assert line["drawdown_max"] == 100
    assert line["drawdown_duration"] == timedelta(seconds=2)


def test_a_loss_from_the_start_is_a_drawdown() -> None:
    """The first high is 0, even if the first sample is below it."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(0, 1, 10)
    journal.sample(0, 2 * 3)
    journal.sample(5, 2 * 4)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["drawdown_max"], line["drawdown_duration"]) == (7.0, timedelta(seconds=5))


def test_a_drawdown_lasts_from_the_start_of_the_run_and_to_its_end() -> None:
    """A loss that is there at the first sample, and still at the last, lasted all the time of the run: from its first fill, however rare samples are."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)])
    journal.fill(0, 1, 10)
    journal.sample(3600, 2 * 3)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["drawdown_max"], line["drawdown_duration"]) == (7.0, timedelta(hours=1))


@pytest.mark.parametrize("seed", range(4))
def test_shares_and_turnover(seed: int) -> None:
    """Maker share and large share are by lots, turnover is Σ |price| × multiplier × lots."""
    journal = random_journal(seed, rows=1)
    line = journal.result().stats.frame.row(0, named=True)
    lots = sum(f["size"] for f in journal.fills)
    assert line["lots"] == lots
    assert line["fills"] == len(journal.fills)
    assert line["maker_share"] == pytest.approx(sum(f["size"] for f in journal.fills if f["is_maker"]) / lots)
    assert line["large_share"] == pytest.approx(sum(f["size"] for f in journal.fills if 2 * f["size"] > f["market_size"]) / lots)
    assert line["turnover"] == pytest.approx(sum(abs(f["price"] / 1e9) * f["size"] * MULTIPLIERS[f["instrument"]] for f in journal.fills))


@pytest.mark.parametrize("seed", range(4))
def test_position_extremes_are_of_single_instruments(seed: int) -> None:
    """The largest and smallest position are those that any one instrument reached, counted fill by fill; the end is known where there is one instrument."""
    journal = random_journal(seed, rows=1)
    stats = journal.result().stats
    positions, seen = {0: 0, 1: 0}, {0: [0], 1: [0]}
    for fill in journal.fills:
        positions[fill["instrument"]] += fill["size"] if fill["side"] == ord("B") else -fill["size"]
        seen[fill["instrument"]].append(positions[fill["instrument"]])
    whole = stats.frame.row(0, named=True)
    assert (whole["position_min"], whole["position_max"]) == (min(seen[0] + seen[1]), max(seen[0] + seen[1]))
    assert whole["position_end"] is None
    for place, line in enumerate(stats.by_instrument.to_dicts()):
        assert (line["position_min"], line["position_max"], line["position_end"]) == (min(seen[place]), max(seen[place]), positions[place])


def test_lines_of_instruments_join_and_keep_their_order() -> None:
    """Statistics and accounts by instrument join fills on row and symbol, and stand in the order of `instruments=`, not of the alphabet."""
    journal = Journal([instrument(i, symbol) for i, symbol in enumerate(("Z", "B10", "B9"))])
    for i in range(3):
        journal.fill(1, 1, 100, place=i)
        journal.sample(2, 200, place=i)
    result = journal.result()
    assert result.stats.by_instrument["symbol"].to_list() == ["Z", "B10", "B9"]
    for frame in (result.stats.by_instrument, result.accounts):
        assert result.fills.join(frame, on=["row", "symbol"]).height == result.fills.height == 3


def test_fill_ratios_and_rejects() -> None:
    """Orders refused by the gateway were never sent; those refused by the exchange were, and arrived; those under way were sent."""
    journal = Journal()
    journal.order(1, 4, 3, Status.CANCELLED)
    journal.order(2, 2, 2, Status.FILLED, requests_refused=2)
    journal.order(3, 1, 0, Status.REJECTED)
    journal.refused(4, 50)
    journal.order(5, 3, 0, Status.IN_FLIGHT, ts_arrived=-1)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["orders"], line["orders_arrived"], line["orders_filled"]) == (5, 3, 2)
    assert line["fill_ratio_orders"] == pytest.approx(2 / 3)
    assert line["fill_ratio_lots"] == pytest.approx(5 / 10)
    assert (line["rejects"], line["requests_refused"]) == (2, 2)


def test_currencies_are_not_summed() -> None:
    """A row in two currencies has a line for each, and so has the total."""
    journal = Journal([instrument(0, "A", currency="USD"), instrument(1, "B", currency="EUR")], [row("x"), row("y")])
    for r in (0, 1):
        for place in (0, 1):
            journal.fill(1, 1, 10, row=r, place=place)
            journal.sample(2, 20 + 2 * (place + 1), row=r, place=place)
    stats = journal.result().stats
    value = TICK_PRICE * 50
    assert [(t["currency"], t["pnl_net"]) for t in stats.totals()] == [("EUR", 4 * value), ("USD", 2 * value)]
    assert stats.frame.select("strategy", "currency").rows() == [("x", "EUR"), ("x", "USD"), ("y", "EUR"), ("y", "USD"), (TOTAL, "EUR"), (TOTAL, "USD")]


def test_a_note_says_whose_money_is_added_up_unknown() -> None:
    """Instruments whose currency nobody knows share a line, and the notes name them; one alone, or those of known currencies, are no reason for a note."""
    for currencies, is_told in ((("", "", "USD"), True), (("", "USD", "USD"), False)):
        journal = Journal([instrument(i, f"S{i}", currency=currency) for i, currency in enumerate(currencies)])
        for place in range(3):
            journal.fill(1, 1, 10, place=place)
            journal.sample(2, 22, place=place)
        notes = [note for note in journal.result().stats.notes if "currency" in note]
        assert notes == ["The currency of S0, S1 is not known (definitions= tells it): their money is added up as if it were one."] * is_told


def test_a_note_says_which_positions_have_no_mark() -> None:
    """A position whose strategy has never seen a mid is named; what is flat again, or marked, is not."""
    journal = Journal([instrument(0, "A"), instrument(1, "B"), instrument(2, "C")])
    for place, lots in ((0, (2,)), (1, (1, -1)), (2, (3,))):
        for lot in lots:
            journal.fill(1, lot, 10, place=place)
        journal.sample(2, 22 if place == 2 else UNDEFINED_PRICE, place=place)
    assert [note for note in journal.result().stats.notes if "mid was seen" in note] == [
        "No mid was seen with which to mark +2 A of Maker: what that position has won or lost since is not in the PnL."
    ]


def test_what_is_undefined_is_null() -> None:
    """Without fills and orders all ratios are null, and print as a dash, never as NaN or None."""
    journal = Journal()
    journal.sample(1, 100)
    stats = journal.result().stats
    line = stats.frame.row(0, named=True)
    assert [line[name] for name in ("maker_share", "large_share", "fill_ratio_orders", "fill_ratio_lots")] == [None] * 4
    assert (line["pnl_net"], line["lots"], line["fills"], line["position_end"]) == (0.0, 0, 0, 0)
    text = str(stats)
    assert "nan" not in text.lower().replace("inventory", "")
    assert "None" not in text
    assert "–" in text


def test_to_dict_is_json_with_every_metric() -> None:
    """`to_dict` can be written as JSON, with every metric for every row, durations in seconds."""
    data = json.loads(json.dumps(random_journal(1).result().stats.to_dict(), allow_nan=False))
    assert len(data["strategies"]) == 2
    assert len(data["totals"]) == 1
    assert len(data["by_instrument"]) == 4
    assert len(data["by_day"]) == 2
    assert all(set(METRICS) <= set(line) for part in ("strategies", "totals", "by_instrument", "by_day") for line in data[part])
    assert isinstance(data["totals"][0]["drawdown_duration"], float)


def test_pickled_statistics_are_what_they_were() -> None:
    """What comes back has every table, and nothing of the frames that they were made of: those of millions of orders are kilobytes to send."""
    stats = random_journal(1).result().stats
    again = pickle.loads(pickle.dumps(stats))  # noqa: S301 - made here
    assert all(getattr(again, name).equals(getattr(stats, name)) for name in ("frame", "by_instrument", "by_day"))
    assert (str(again), again.to_dict()) == (str(stats), stats.to_dict())
    assert set(vars(again)) == {"frame", "by_instrument", "by_day", "notes", "varied"}


def test_many_rows_print_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many rows the table has a line for each of the best by net PnL, and says how many there are."""
    monkeypatch.setenv("COLUMNS", "200")
    journal = Journal(rows=[row(f"r{i}") for i in range(60)])
    for i in range(60):
        journal.fill(1, 1, 100, row=i)
        journal.sample(2, 200 + 2 * i, row=i)
    lines = [line for line in str(journal.result().stats).splitlines() if "│ r" in line]
    assert "r59" in lines[0]
    assert len(lines) == 40
    assert not any("r3 " in line for line in lines)
    assert "40 best of 60" in str(journal.result().stats)
    assert "total" in str(journal.result().stats)


@pytest.mark.parametrize("width", [60, 100, 240])
@pytest.mark.parametrize("rows", [3, 30])
def test_tables_tell_what_strategies_were_given(monkeypatch: pytest.MonkeyPatch, rows: int, width: int) -> None:
    """Rows that a number alone tells apart are shown with the parameters that differ, by name, as far as there is room; the rest is named; nothing is cut."""
    monkeypatch.setenv("COLUMNS", str(width))
    given = [{"size": i, "side": 66, "alike": 5, "position_max": 1000 + i, "much_longer_name": i} for i in range(rows)]
    made = [row("Maker")._replace(parameters={**values, "side": 65 + i % 2}, words={"side": "AB"[i % 2]}) for i, values in enumerate(given)]
    journal = Journal(rows=made)
    for i in range(rows):
        journal.sample(2, 200 + i, row=i)
    stats = journal.result().stats
    text, page = str(stats), stats._repr_html_()
    assert max(map(len, text.splitlines())) <= width
    assert "alike" not in text + page
    if rows == 3:
        for told in ("size=2", "side=A", "position_max=1002", "much_longer_name=2"):
            assert told in text
            assert told in page
    else:
        (line,) = [line for line in text.splitlines() if "Maker#29 " in line]
        assert [cell.strip() for cell in line.split("│")[2:4]] == ["29", "B"]
        assert ("they differ in" in text) == (width < 100)
        assert "size=29, side=B, position_max=1029, much_longer_name=29" in page


@pytest.mark.parametrize(("rows", "title", "first", "lines"), [(4, "4 strategies by", "r3", 8), (30, "the 20 best of 30 strategies by", "r29", 40)])
def test_strategies_are_ranked_in_each_currency(monkeypatch: pytest.MonkeyPatch, rows: int, title: str, first: str, lines: int) -> None:
    """A strategy in two currencies is counted once, is not ranked by dollars among euros, and neither currency has all the lines."""
    monkeypatch.setenv("COLUMNS", "200")
    journal = Journal([instrument(0, "A", currency="USD"), instrument(1, "B", currency="EUR")], [row(f"r{i}") for i in range(rows)])
    for i in range(rows):
        for place in (0, 1):
            journal.fill(1, 1, 100, row=i, place=place)
            journal.sample(2, 200 + (2 + 98 * place) * i, row=i, place=place)
    text = str(journal.result().stats)
    assert f"{title} net PnL in each of 2 currencies" in text
    told = [line.split()[1:3] for line in text.splitlines() if "│ r" in line]
    assert len(told) == lines
    assert [told[0], told[lines // 2]] == [[first, "EUR"], [first, "USD"]]


@pytest.mark.parametrize("width", [60, 80, 100, 240])
@pytest.mark.parametrize("rows", [2, 5, 60])
def test_tables_cut_no_name_and_no_number(monkeypatch: pytest.MonkeyPatch, width: int, rows: int) -> None:
    """At any width every metric of every strategy is printed whole: in several tables; of many strategies, metrics without room are named instead."""
    monkeypatch.setenv("COLUMNS", str(width))
    journal = Journal(rows=[row(f"LongNameOfAStrategy{i}") for i in range(rows)])
    for i in range(rows):
        journal.fill(1, 1_000_000, 100_000, row=i)
        journal.sample(2, 200_002 + 2 * i, row=i)
    stats = journal.result().stats
    text = str(stats)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    if rows < 60:
        cells = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
        for name, metric in METRICS.items():
            shown = [cell.strip() for line in cells if line[0].strip() == name for cell in line[1:]]
            assert shown == [format_metric(metric, line[name]) for line in to_lines(stats.frame)]
    else:
        assert ("no room for" in text) == (width < 240)


@pytest.mark.parametrize("rows", [1, 7])
def test_brackets_in_a_label_are_brackets(rows: int) -> None:
    """A label is printed as it is, in anybody's console: `[fast]` is no colour, and `[/x]` ends none."""
    journal = Journal(rows=[row(f"m[fast][/x]{i}") for i in range(rows)])
    for i in range(rows):
        journal.fill(1, 1, 100, row=i)
        journal.sample(2, 200, row=i)
    stats, console = journal.result().stats, Console(file=io.StringIO(), width=200)
    console.print(stats)
    assert f"m[fast][/x]{rows - 1}" in str(stats)
    assert f"m[fast][/x]{rows - 1}" in console.file.getvalue()


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0.0, "0.00"),
        (12.345, "12.35"),
        (-0.1, "-0.10"),
        (0.05, "0.05"),
        (-0.0012345, "-0.00123"),
        (2.5e-7, "2.5e-07"),
        (3e-12, "0.00"),
        (2_000_000.4, "2,000,000"),
    ],
)
def test_money_is_told_to_what_it_is_worth(amount: float, shown: str) -> None:
    """Cents where there are any, three digits of what is less, as in lots of 1e-8 coins, no cents of millions, and nothing of what rounding leaves."""
    assert format_metric(METRICS["pnl_net"], amount) == shown


def test_other_tables_cut_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path longer than the terminal is wide, and names that there is no room for, go on in the next line."""
    monkeypatch.setenv("COLUMNS", "60")
    long = "/a/path/" + "x" * 100
    tables = pairs_table({"report": long}), records_table([{long: 1, "b": long}], "title"), frame_table(pl.DataFrame({"a": [long]}))
    for table, times in zip(tables, (1, 2, 1), strict=True):
        text = to_text(table)
        assert ("…" in text, text.count("x")) == (False, times * 100)


def test_durations_are_readable() -> None:
    """Durations print in their most readable unit."""
    texts = [format_seconds(s) for s in (0.0, 2e-9, 3.5e-7, 1e-4, 0.0125, 12.5, 59.99, 60, 3723)]
    assert texts == ["0 ns", "2 ns", "350 ns", "100 µs", "12.5 ms", "12.5 s", "59.99 s", "0:01:00", "1:02:03"]


@pytest.mark.parametrize("settings", [{"interval": "0s"}, {"capital": -5.0}, {"capital": 0}, {"capital": "1000"}, {"trials": 0}, {"trials": 1.5}])
def test_settings_of_statistics_are_above_0(settings: dict[str, object]) -> None:
    """A period of no length, capital of nothing or less, no trials and half ones are refused by name."""
    (name,) = settings
    with pytest.raises(ConfigError, match=f"^{name}="):
        random_journal(1).result().statistics(**settings)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_measured_once_is_what_each_would_measure(seed: int) -> None:
    """Of a run within one day, the day has the numbers of the run, to the last digit or two; of one instrument, the instrument has those of its strategy."""
    journal = random_journal(seed, rows=3)
    result = journal.result()
    mids = random_mids(journal, seed)
    stats = statistics(result.fills, result.orders, result.equity, result.contracts, mids)
    by_strategy = stats.frame.filter(pl.col("row").is_not_null()).drop("sharpe_deflated")
    frames = stats.frames.per_day(stats.settings.sampling)
    groups, group = frames.groups(["row", "strategy", "currency", "day"])
    apart = summarise(groups, measured(frames.grouped(group), ["group", "day"], stats.settings.sampling), stats.settings)
    assert stats.by_day.columns == apart.columns
    assert_frame_equal(stats.by_day, apart, rel_tol=1e-12, abs_tol=1e-12)
    assert stats.by_day.drop("day", "sharpe_deflated").equals(by_strategy)
    one = pl.col("symbol") == "S0"
    alone = statistics(result.fills.filter(one), result.orders.filter(one), result.equity.filter(one), result.contracts)
    assert alone.by_instrument.drop("symbol", "sharpe_deflated").equals(alone.frame.filter(pl.col("row").is_not_null()).drop("sharpe_deflated"))
