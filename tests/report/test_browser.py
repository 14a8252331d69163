"""The page in a real browser: no errors, every plot drawn, numbers as in `result.stats`, light and dark. Screenshots are kept in build/screenshots."""

import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from journals import SECOND, START, Journal, row

from tapeline.backtest import Backtest
from tapeline.demo import example
from tapeline.load import load_strategy
from tapeline.report import write_report
from tapeline.result import Result
from tapeline.stats import METRICS
from tapeline.tables import format_metric, to_lines

PATIENCE_MS = 180_000
"""Of a machine with other work."""
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="module")
def page_file(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that result."""
    return result.report(tmp_path_factory.mktemp("page") / "report.html")


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page, offline, and what its console complains about."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True, **options)
    context.set_default_timeout(PATIENCE_MS)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("main:not([hidden]) .figure .main-svg")
    return page, said


def draw_all(page: Any) -> None:
    """Draw what is below the view, too."""
    page.evaluate("window.drawAll()")
    page.wait_for_function("[...document.querySelectorAll('main:not([hidden]) .figure')].every(f => f.querySelector('.main-svg'))")


def shoot(page: Any, name: str) -> None:
    """Keep a picture of the whole page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_everything_is_drawn_without_a_word(browser: Any, page_file: Path, theme: str) -> None:
    """Offline, every figure has marks in it (points, bars, fills or an image), nothing is wider than the window, and the console is silent."""
    page, said = opened(browser, page_file, color_scheme=theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    draw_all(page)
    marks = page.evaluate("""[...document.querySelectorAll('.figure')].map(f =>
        [f.id, f.querySelectorAll('.trace, .points path, .bars path, .hm image').length])""")
    assert len(marks) >= 10
    assert [name for name, n in marks if n == 0] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []
    shoot(page, f"report-{theme}")


def test_numbers_are_those_of_the_statistics(browser: Any, page_file: Path, result: Result) -> None:
    """Headline figures and the table of all statistics say what `result.stats` says, to the last digit shown."""
    page, _ = opened(browser, page_file)
    total = to_lines(result.stats.frame.filter(pl.col("row").is_null()))[0]
    cards = page.eval_on_selector_all(".card b", "all => all.map(b => [b.dataset.metric, b.textContent])")
    assert len(cards) == 12
    assert all(text == format_metric(METRICS[name], total[name]) for name, text in cards)
    rows = page.eval_on_selector_all("table.stats tbody tr:not(.section)", "all => all.map(r => [...r.children].map(c => c.textContent))")
    assert [r[0] for r in rows] == list(METRICS)
    for name, *values, meaning in rows:
        assert values == [format_metric(METRICS[name], line[name]) for line in to_lines(result.stats.frame)]
        assert meaning == METRICS[name].meaning


def test_equity_is_drawn_as_it_is(browser: Any, page_file: Path, result: Result) -> None:
    """The last points of the equity curves are the net PnL of the strategies and of all."""
    page, _ = opened(browser, page_file)
    ends = page.evaluate("""(gd => gd._fullData.map((t, i) => [t, gd.calcdata[i]]).filter(([t]) => t.showlegend)
        .map(([t, points]) => [t.name, points[points.length - 1].y]))(document.querySelector('.figure'))""")
    expected = {line["strategy"]: line["pnl_net"] for line in result.stats.frame.to_dicts()}
    assert dict(ends) == pytest.approx(expected)


def test_theme_zoom_and_legend_work(browser: Any, page_file: Path) -> None:
    """The button changes the theme and the figures' colours; dragging zooms; a click in the legend hides a line."""
    page, said = opened(browser, page_file, color_scheme="light")
    color = "document.querySelector('.figure').layout.font.color"
    before = page.evaluate(color)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.wait_for_function(f"{color} !== '{before}'")
    width = "(([a, b]) => new Date(b) - new Date(a))(document.querySelector('.figure').layout.xaxis.range)"
    whole = page.evaluate(width)
    box = page.query_selector(".figure .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.wait_for_function(f"{width} < {whole} * 0.5")
    page.click(".figure .legendtoggle >> nth=0")
    page.wait_for_function("document.querySelector('.figure').data[0].visible === 'legendonly'")
    assert said == []


def test_several_runs_have_tabs(browser: Any, result: Result, tmp_path: Path) -> None:
    """A page of two runs opens with their comparison; each tab shows its run, with its figures drawn."""
    path = write_report(tmp_path / "both.html", {"first": result, "second": result})
    page, said = opened(browser, path)
    draw_all(page)
    shoot(page, "comparison")
    page.click("text=second")
    page.wait_for_selector("main:not([hidden]) .figure .main-svg")
    assert page.inner_text("main:not([hidden]) h1") == "second"
    assert said == []


def test_nothing_is_offered_to_be_uploaded(browser: Any, page_file: Path) -> None:
    """No figure has a button that sends what it shows to anybody: a report stays with who has it."""
    page, _ = opened(browser, page_file)
    draw_all(page)
    figures = page.evaluate("[...document.querySelectorAll('.figure')].map(f => [...f.querySelectorAll('.modebar-btn')].map(b => b.dataset.title))")
    assert all(titles == ["Download plot as a PNG", "Pan", "Zoom", "Reset axes"] for titles in figures)


def test_paper_is_light_and_narrow(browser: Any, page_file: Path) -> None:
    """Printed out of a dark window, every figure is drawn at once, dark on white, and none is wider than a sheet; afterwards all is as it was."""
    page, said = opened(browser, page_file, color_scheme="dark")
    looks = "[...document.querySelectorAll('.figure')].map(f => [f._fullLayout.width, f.layout.font.color])"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    printed = page.evaluate(looks)
    assert {width for width, _ in printed} == {680}
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    after = page.evaluate(looks)
    assert max(width for width, _ in after) > 1_000
    assert {color for _, color in printed}.isdisjoint({color for _, color in after})
    assert said == []
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_tooltips_name_their_strategy(browser: Any, page_file: Path) -> None:
    """Names in tooltips are whole, however long; what happened to fills is said in words."""
    page, _ = opened(browser, page_file)
    draw_all(page)
    assert page.evaluate("[...document.querySelectorAll('.figure')].map(f => f._fullLayout.hoverlabel.namelength).every(n => n === -1)")
    texts = page.evaluate("[...document.querySelectorAll('.figure')].flatMap(f => f.data).filter(t => / buys$/.test(t.name)).flatMap(t => t.text)")
    assert any("1 lot in 1 fill" in text or "2 lots in 1 fill" in text for text in texts)
    assert not any("_" in text or " 1 lots" in text for text in texts)


def test_titles_of_axes_stand_beside_their_numbers(browser: Any, page_file: Path) -> None:
    """However wide the numbers of an axis are, its title keeps a distance of five pixels."""
    page, _ = opened(browser, page_file)
    draw_all(page)
    close = page.evaluate("""[...document.querySelectorAll('.figure')].flatMap(f => [...f.querySelectorAll('.ytitle')].flatMap(title => {
        const t = title.getBoundingClientRect();
        return [...f.querySelectorAll('.ytick text')].map(tick => tick.getBoundingClientRect())
            .filter(b => b.left < t.right + 5 && b.right > t.left - 5 && b.top < t.bottom && b.bottom > t.top).map(() => f.id);
    }))""")
    assert close == []


def test_a_run_without_fills_has_no_empty_figure(browser: Any, result: Result, tmp_path: Path) -> None:
    """Where nothing was traded, the page says so in place of empty axes, and draws what there is without an error."""
    path = result.manifest["data"][0]["path"]
    away = load_strategy(f"{example('touch_maker')}:TouchMaker")(size=1, position_max=0)
    page, said = opened(browser, Backtest(path, tick_size="0.25", multiplier=50).run(away).report(tmp_path / "none.html"))
    draw_all(page)
    assert said == []
    assert "There was no fill" in page.inner_text("ul.care")
    assert page.evaluate("[...document.querySelectorAll('.figure')].map(f => f.data.length)") == [3]  # equity, gross and drawdown, at zero
    assert "No order was sent." in page.inner_text("main")


def test_narrow_screens_have_one_column(browser: Any, page_file: Path) -> None:
    """On a telephone the page is one column and does not scroll sideways; lines of tables are low, and what lies flat can be read."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_selector(".figure .main-svg")
    draw_all(page)
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    heights = page.eval_on_selector_all("table.stats tbody tr", "all => all.map(row => row.offsetHeight)")
    assert max(heights) < 120  # 210, where meanings are squeezed
    turned = "[...document.querySelectorAll('.xtick text')].filter(t => /rotate\\((?!0)/.test(t.getAttribute('transform'))).length"
    assert page.evaluate(turned) == 0
    shoot(page, "report-narrow")


@pytest.fixture(scope="module")
def sweep_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pages of sweeps over one, two and three parameters, whose rows recorded two signals."""
    folder, paths = tmp_path_factory.mktemp("sweeps"), []
    for names in (("size",), ("size", "edge"), ("size", "edge", "hold")):
        every = [dict(zip(names, values, strict=True)) for values in itertools.product(*((1, 2, 4), (0.1, 0.5), (10**8, 10**10))[: len(names)])]
        journal = Journal(rows=[row(f"maker_of_a_sweep#{i}", signals=("pressure", "skew"))._replace(parameters=values) for i, values in enumerate(every)])
        for i in range(len(every)):
            journal.fill(1, 1, 100, row=i)
            for k in range(60):
                journal.sample(2 + k, 200 + i * k - 100, row=i)
                journal.signals.extend({"ts": START + (k + 1) * SECOND, "value": (-1) ** k * i + j, "row": i, "signal": j} for j in (0, 1))
        paths.append(journal.result().report(folder / f"{len(names)}.html"))
    return paths


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_sweeps_and_signals_are_drawn(browser: Any, sweep_files: list[Path], theme: str) -> None:
    """Figures over parameters and of signals have marks in them, side by side where there is room; numbers in maps have the colour of text."""
    for n, path in enumerate(sweep_files, 1):
        page, said = opened(browser, path, color_scheme=theme)
        draw_all(page)
        shoot(page, f"sweep-{n}-{theme}")
        about = page.evaluate("""[...document.querySelectorAll('section')].filter(s => /^Net PnL over|^Signals/.test(s.querySelector('h2').textContent))
            .map(s => [...s.querySelectorAll('.figure')].map(f => [f.offsetTop, f.querySelectorAll('.trace, .points path, .hm image').length]))""")
        assert [len(figures) for figures in about] == [n if n == 3 else 1, 1]
        assert len({top for top, _ in about[0]}) == 1
        assert all(marks for figures in about for _, marks in figures)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        colors = page.evaluate(
            """[...document.querySelectorAll('.heatmap-label text')].map(t => getComputedStyle(t).fill === getComputedStyle(document.body).color)"""
        )
        assert (all(colors), len(colors)) == (True, 6 if n == 2 else 0)
        assert said == []


def test_names_on_a_telephone_take_no_room_from_the_figure(browser: Any, sweep_files: list[Path]) -> None:
    """Where six names stand one below the other, their figure is higher by what they take; panels of parameters do so, too."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(sweep_files[2].as_uri())
    page.wait_for_selector(".figure .main-svg")
    draw_all(page)
    shoot(page, "sweep-narrow")
    signals = "[...document.querySelectorAll('section')].find(s => s.querySelector('h2').textContent === 'Signals')"
    page.wait_for_function(f"{signals}.querySelector('.figure').offsetHeight > 372 + 60")
    axes = page.evaluate(f"(l => [l.yaxis._length, l.yaxis2._length])({signals}.querySelector('.figure')._fullLayout)")
    assert min(axes) > 100
    tops = page.evaluate("[...document.querySelectorAll('.panels .figure')].map(f => f.offsetTop)")
    assert tops == sorted(set(tops))
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]


def test_tables_are_sorted_by_a_click(browser: Any, tmp_path: Path) -> None:
    """A click on a heading sorts by what its numbers are worth, the largest first, one more the other way; words go by letters; totals stay at the foot."""
    journal = Journal(rows=[row(f"m{i}") for i in range(12)])
    for i in range(12):
        journal.fill(1, 1, 100, row=i)
        journal.sample(300, 200 + 37 * (i * 5 % 12 - 4) ** 3, row=i)
    result = journal.result()
    page, said = opened(browser, result.report(tmp_path / "page.html"))
    table = page.locator("table.stats").last
    column = "t => [...t.tBodies[0].rows].map(r => r.cells[{}].textContent)"
    names = table.locator("thead th").all_inner_texts()
    place = [name.strip(" ▲▼") for name in names].index("pnl_net")
    net = result.stats.frame.filter(pl.col("row").is_not_null()).sort("pnl_net", descending=True)
    shown = [format_metric(METRICS["pnl_net"], value) for value in net["pnl_net"]]
    heading = table.locator("thead th").nth(place)
    heading.click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert table.evaluate(column.format(place)) == shown
    heading.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert table.evaluate(column.format(place)) == shown[::-1]
    table.locator("thead th").first.click()
    assert heading.get_attribute("aria-sort") == "none"
    assert table.evaluate(column.format(0)) == [f"m{i} USD" for i in range(12)]
    assert table.evaluate("t => t.tFoot.rows[0].cells[0].textContent") == "total USD"
    assert said == []
