"""The page in a real browser: numbers as served, keys, buttons and touch, dark and light, wide and narrow, and a silent console."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served
from streams import SNAPSHOT, Stream

import tapeline as tl
from tapeline.feeds.status import HALT, StateChange, write_status
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.viewer.session import Session
from tapeline.viewer.view import opened

PATIENCE_S = 180
"""Of a machine with other work."""
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PHONE = {"viewport": {"width": 400, "height": 850}, "is_mobile": True, "has_touch": True}


class Page:
    """A page that is open, and what its console complains about."""

    def __init__(self, browser: Any, served: Served, place: str = "", wait: str = ".ladder tbody tr", **options: Any) -> None:
        """Open it, and wait for something, the ladder first of all."""
        self.served = served
        self.context = browser.new_context(**{"viewport": {"width": 1600, "height": 1000}, **options})
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.said: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(served.url + place)
        self.page.wait_for_selector(wait)
        if wait != "body":
            self.settled()

    def settled(self) -> dict[str, Any]:
        """The scene, when nothing is under way any more."""
        self.until("tapeline.scene && !tapeline.busy && tapeline.session.progress.is_finished")
        return self.page.evaluate("tapeline.scene")

    def until(self, condition: str) -> None:
        """Wait; Playwright's own waiting evaluates text in the page, which the page's policy forbids."""
        end = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def press(self, key: str) -> dict[str, Any]:
        """What a key leads to."""
        self.page.keyboard.press(key)
        return self.settled()

    def click(self, name: str) -> dict[str, Any]:
        """What a button leads to."""
        self.page.click(f'button[aria-label="{name}"]')
        return self.settled()

    def overview(self) -> dict[str, float]:
        """Where the overview is on the screen."""
        canvas = self.page.query_selector("canvas")
        canvas.scroll_into_view_if_needed()
        return canvas.bounding_box()

    def shoot(self, name: str) -> None:
        """Keep a picture."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def close(self) -> None:
        """It must not have had anything to complain about, nor asked anybody else for anything."""
        assert self.said == []
        assert all(url.startswith((self.served.url, "data:")) for url in self.asked)
        self.context.close()


def ladder(page: Any) -> dict[str, dict[int, tuple[int, int]]]:
    """What the ladder says: size and count by tick, per side."""
    number = "cell => Number(cell.textContent.replaceAll(',', ''))"
    rows = page.evaluate(
        f"""[...document.querySelectorAll('.ladder tbody tr')].map(row => [Number(row.dataset.tick),
        ...['.bid.size .value', '.bid.count', '.ask.size .value', '.ask.count'].map(name => ({number})(row.querySelector(name)))])"""
    )
    return {side: {row[0]: (row[i], row[i + 1]) for row in rows if row[i]} for side, i in (("bids", 1), ("asks", 3))}


def busy_event(served: Served) -> int:
    """An event at which orders of both strategies rest."""
    last = served.ask("/api/at", event=1)["events"]
    for event in range(last // 2, last):
        if len(served.ask("/api/at", event=event)["own"]) >= 3:
            return event
    raise AssertionError("no such event")


@pytest.mark.parametrize(("theme", "width", "height"), [("dark", 1600, 1000), ("light", 1280, 900), ("light", 1400, 900), ("light", 1600, 1000)])
def test_the_page_shows_what_is_served(browser: Any, served: Served, theme: str, width: int, height: int) -> None:
    """Ladder, features, trades, own orders and clock have the numbers of the scene; nothing is wider than the window; the overview is drawn."""
    event = busy_event(served)
    page = Page(browser, served, f"#0/{event}", color_scheme=theme, viewport={"width": width, "height": height})
    scene = served.ask("/api/at", event=event)
    shown = ladder(page.page)
    for side in ("bids", "asks"):
        levels = {tick: (size, count) for tick, size, count in scene[side]}
        assert len(shown[side]) >= 5
        assert shown[side] == {tick: levels[tick] for tick in shown[side]}
        assert next(iter(levels)) in shown[side]
    names = page.page.evaluate("[...document.querySelectorAll('[data-feature]')].map(e => e.dataset.feature)")
    assert names == served.ask("/api/session")["features"]
    assert page.page.evaluate("[...document.querySelectorAll('[data-feature] *')].every(e => e.scrollWidth <= e.clientWidth || e.tagName === 'B')")
    mid = page.page.inner_text('[data-feature="mid"] b')
    assert float(mid.replace(",", "")) == scene["features"][names.index("mid")]
    chips = page.page.eval_on_selector_all(".ladder .chip", "all => all.map(c => c.textContent)")
    assert len(chips) == len({(order["side"], order["tick"]) for order in scene["own"]})
    known = [order for order in scene["own"] if order["ahead"] is not None]
    assert known
    for order in known:
        assert any(f"@{order['ahead']}" in chip for chip in chips)
    assert len(page.page.query_selector_all('[aria-label="trades"] tbody tr')) == len(scene["trades"])
    assert scene["time"][11:19] in page.page.inner_text('[aria-label="clock"]')
    assert page.page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    drawn = "[...document.querySelectorAll('canvas')].map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))"
    assert page.page.evaluate(drawn) == [True, True]
    page.shoot(f"view-{theme}-{width}")
    page.close()


def test_every_key_does_what_the_help_says(browser: Any, served: Served) -> None:
    """Arrows, tens, thousands, ends, fills, trades, play and pause, speeds, help, theme, and going to a text."""
    page = Page(browser, served, "#0/5000")
    last = served.ask("/api/at", event=1)["events"]
    steps = (("ArrowRight", 5001), ("ArrowRight", 5002), ("ArrowLeft", 5001), ("ArrowDown", 5011), ("ArrowUp", 5001), ("Shift+ArrowRight", 5011))
    leaps = (("PageDown", 6011), ("PageUp", 5011), ("Shift+ArrowLeft", 5001), ("End", last), ("ArrowRight", last), ("Home", 1), ("ArrowLeft", 1))
    for key, event in (*steps, *leaps):
        assert page.press(key)["event"] == event, key
    first = page.press("n")
    assert first["fills"][0]["ts"] == first["now"]
    second = page.press("n")
    assert int(second["now"]) > int(first["now"])
    assert page.press("p")["now"] == first["now"]
    trade = page.press("t")
    assert trade["trades"][0]["event"] == trade["event"] > first["event"]
    assert page.press("r")["event"] < trade["event"]
    speed = page.page.evaluate("tapeline.speed")
    page.press("+")
    assert page.page.evaluate("tapeline.speed") == speed + 1
    page.press("-")
    page.press("?")
    assert page.page.is_visible("dialog[open] >> text=centre the ladder")
    page.shoot("view-help")
    page.page.keyboard.press("Escape")
    page.press("g")
    page.page.keyboard.type("#1234")
    page.shoot("view-go")
    assert page.press("Enter")["event"] == 1234
    before = page.page.evaluate("document.documentElement.dataset.theme")
    page.press("d")
    assert page.page.evaluate("document.documentElement.dataset.theme") != before
    page.page.keyboard.press("Space")
    page.until("tapeline.scene.event >= 1237")
    page.page.keyboard.press("Space")
    event = page.settled()["event"]
    page.page.wait_for_timeout(400)
    assert page.settled()["event"] == event
    page.close()


def test_a_halt_is_shown(browser: Any, serve: Callable[[Session], Served], data: Path, tmp_path: Path) -> None:
    """The phase of trading stands beside the clock, and its time is marked in the overview; without a status file neither is there."""
    times = tl.depth(data, 1, "1s", tick_size="0.25")
    start, middle = (int(times["ts_event"].to_physical()[i]) for i in (0, times.height // 2))
    halt = StateChange(middle, times["publisher_id"][0], times["instrument_id"][0], HALT)
    write_status(tmp_path / "status.dbn", [halt], dataset="TEST.DBN", symbols={}, start_ns=start)
    pixel = "(c => [...c.getContext('2d').getImageData(c.width * 0.8, 1, 1, 1).data])(document.querySelector('.overview canvas'))"
    seen = []
    for settings in ({}, {"status": [tmp_path / "status.dbn"]}):
        with opened([data], None, {"tick_size": "0.25", **settings}) as session:
            page = Page(browser, serve(session))
            phases = [page.page.locator('[aria-label="phase"]').all_inner_texts() for key in ("Home", "End") if page.press(key)]
            seen.append((phases, page.page.evaluate(pixel)))
            page.close()
    assert [phases for phases, _ in seen] == [[[], []], [["trading"], ["halted"]]]
    assert seen[0][1] != seen[1][1]


def test_a_picture_is_of_its_scene_alone(browser: Any, served: Served) -> None:
    """What a canvas was drawn with before (thick lines of own orders) leaves no trace: drawn anew, each looks as it did."""
    page = Page(browser, served, f"#0/{busy_event(served)}")
    shots = "[...document.querySelectorAll('canvas')].map(c => c.toDataURL())"
    page.press("ArrowRight")
    page.press("ArrowLeft")
    page.page.wait_for_timeout(200)
    before = page.page.evaluate(shots)
    page.page.evaluate("[...document.querySelectorAll('canvas')].forEach(c => { c.width = c.width; }); tapeline.changed()")
    page.page.wait_for_timeout(200)
    assert page.page.evaluate(shots) == before
    page.close()


def test_the_page_says_that_the_viewer_has_ended(browser: Any, served: Served) -> None:
    """While nobody answers, a note stays on the page; it goes with the next answer."""
    page = Page(browser, served, "#0/2000")
    page.context.set_offline(True)
    page.page.keyboard.press("ArrowRight")
    page.page.wait_for_selector('[role="alert"] >> text=The viewer has ended')
    page.page.wait_for_timeout(4_000)
    assert page.page.is_visible('[role="alert"]')
    page.context.set_offline(False)
    page.press("ArrowRight")
    page.page.wait_for_selector('[role="alert"]', state="detached")
    page.said[:] = [text for text in page.said if "ERR_INTERNET_DISCONNECTED" not in text]  # the browser tells, too
    page.close()


def test_orders_of_several_strategies_have_names(browser: Any, served: Served) -> None:
    """Each strategy counts its orders by itself: where a run has several, orders and fills have its name, and no list is wider than its place."""
    page = Page(browser, served, f"#0/{busy_event(served)}", viewport={"width": 1440, "height": 900})
    for label in ("orders", "fills"):
        names = page.page.eval_on_selector_all(f'[aria-label="{label}"] tbody button.own-text', "all => all.map(b => b.textContent)")
        assert names
        assert all(name.split()[0] in ("exact", "guessed") for name in names)
        assert page.page.evaluate(f"""(l => l.scrollWidth <= l.clientWidth)(document.querySelector('[aria-label="{label}"] .list'))""")
    page.page.evaluate("document.querySelectorAll('.whose').forEach(name => { name.textContent = 'a name as long as labels of a sweep are'; })")
    for label in ("orders", "fills"):
        assert page.page.evaluate(f"""(l => l.scrollWidth <= l.clientWidth)(document.querySelector('[aria-label="{label}"] .list'))""")
    page.close()


@pytest.mark.parametrize(("width", "text"), [(1400, "32 @12 +2"), (420, "32 @12")])
def test_places_in_queues_are_not_cut(browser: Any, served: Served, width: int, text: str) -> None:
    """The ladder has room for lots of two digits, as many ahead, and how many more orders of ours rest there, on a phone without these."""
    page = Page(browser, served, f"#0/{busy_event(served)}", viewport={"width": width, "height": 900})
    page.page.evaluate(f"document.querySelector('.chip').innerHTML = '{text[:2]}<small>{text[2:]}</small>'")
    assert page.page.evaluate("(chip => chip.scrollWidth <= chip.clientWidth)(document.querySelector('.chip'))")
    page.close()


def test_playing_in_time_passes_time(browser: Any, served: Served) -> None:
    """At 60 times the market's pace a minute passes, event or not, and not before its second has; at the end it stops by itself."""
    page = Page(browser, served, "#0/2000")
    page.page.select_option('[aria-label="speed"]', label="60 ×")
    start = int(page.settled()["now"])
    before = time.monotonic()
    page.click("play")
    page.until(f"BigInt(tapeline.scene.now) >= {start}n + 60_000_000_000n")
    page.click("pause")
    passed = (int(page.settled()["now"]) - start) / 1e9
    assert passed < (time.monotonic() - before) * 60
    page.press("End")
    page.page.keyboard.press("Space")
    page.until("!tapeline.isPlaying")
    page.close()


def test_buttons_lists_and_the_overview_lead_there(browser: Any, served: Served) -> None:
    """Buttons step; a click on a trade goes to its event, on an order to its arrival; dragging along the overview goes through time; dead ends are told."""
    page = Page(browser, served, f"#0/{busy_event(served)}")
    event = page.settled()["event"]
    assert page.click("next event")["event"] == event + 1
    assert page.click("on ten events")["event"] == event + 11
    assert page.click("event before")["event"] == event + 10
    assert page.click("first event")["event"] == 1
    assert page.click("last event")["event"] == page.page.evaluate("tapeline.scene.events")
    page.press("p")
    page.page.click('[aria-label="fills"] tbody tr:first-child button.own-text')
    order = page.settled()["order"]
    assert order["status"] in page.page.inner_text('[aria-label="order"]').replace(" ", "_")
    page.shoot("view-order")
    trade = page.page.evaluate("tapeline.scene.trades[3].event")
    page.page.click('[aria-label="trades"] tbody tr:nth-child(4) button')
    assert page.settled()["event"] == trade
    box = page.overview()
    page.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    page.page.mouse.down()
    early = int(page.settled()["now"])
    page.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 20, steps=5)
    page.page.mouse.up()
    assert int(page.settled()["now"]) > early
    page.page.evaluate("tapeline.go({ go: 'order exact 987654' })")
    page.page.wait_for_selector(".toast >> text=there is no such order")
    said = [text for text in page.said if "400" not in text]  # the browser tells of every answer that is an error
    page.said[:] = said
    page.close()


def test_a_phone_is_enough(browser: Any, served: Served) -> None:
    """400 pixels: one column, nothing wider than the screen, buttons large enough for a thumb, taps and drags by touch."""
    page = Page(browser, served, f"#0/{busy_event(served)}", color_scheme="dark", **PHONE)
    event = page.settled()["event"]
    assert page.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [400, 400]
    sizes = page.page.eval_on_selector_all(".transport button, .transport select", "all => all.map(b => [b.offsetWidth, b.offsetHeight])")
    assert all(w >= 44 and h >= 44 for w, h in sizes)
    page.page.tap('button[aria-label="next event"]')
    assert page.settled()["event"] == event + 1
    page.page.tap('button[aria-label="play"]')
    page.until(f"tapeline.scene.event > {event + 2}")
    page.page.tap('button[aria-label="pause"]')
    box = page.overview()
    page.page.touchscreen.tap(box["x"] + box["width"] * 0.1, box["y"] + 30)
    early = int(page.settled()["now"])
    page.page.touchscreen.tap(box["x"] + box["width"] * 0.6, box["y"] + 30)
    assert int(page.settled()["now"]) > early
    page.shoot("view-narrow")
    page.close()


def test_several_instruments_and_no_run(browser: Any, serve: Callable[[Session], Served], tmp_path: Path) -> None:
    """A selector changes the instrument and keeps the time; without a run there is no talk of orders; a reload stays where one was."""
    path = tmp_path / "two.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=600, instruments=3, seed=4))
    with opened([path], None, {"tick_size": "0.25"}) as session:
        session.index._thread.join()
        page = Page(browser, serve(session), "#1/500")
        now, bid = (page.page.evaluate(f"tapeline.scene.{name}") for name in ("now", "bids[0]"))
        page.page.select_option('[aria-label="instrument"]', index=2)
        page.until("tapeline.scene.instrument === 2")
        scene = page.settled()
        assert abs(int(scene["now"]) - int(now)) < 60e9
        assert scene["bids"][0] != bid
        assert page.page.query_selector('[aria-label="orders"]') is None
        assert "yours" not in page.page.inner_text('[aria-label="ladder"]')
        assert page.page.query_selector('button[aria-label="your next fill"]') is None
        event = scene["event"]
        page.until(f"location.hash === '#2/{event}'")
        page.page.reload()
        page.page.wait_for_selector(".ladder tbody tr")
        assert (page.settled()["instrument"], page.settled()["event"]) == (2, event)
        page.shoot("view-instruments")
        page.close()


def test_damage_is_said_on_the_page(browser: Any, serve: Callable[[Session], Served], data: Path, tmp_path: Path) -> None:
    """Where the data is damaged, the page says so, and shows what came before."""
    cut = tmp_path / "cut.dbn"
    cut.write_bytes(data.read_bytes()[:400_020])
    with opened([cut], None, {"tick_size": "0.25"}) as session:
        session.index._thread.join()
        page = Page(browser, serve(session))
        assert "truncated" in page.page.inner_text('[role="alert"]')
        page.close()


def sparse() -> Stream:
    """Few orders at prices far apart, some below zero; then a crossed book."""
    stream = Stream(grid=10_000_000)
    for i, (side, price) in enumerate((("B", -300), ("B", 17), ("B", 912), ("A", 1_380), ("A", 5_000), ("A", 2_000_000), ("A", 905))):
        stream.add(i + 1, side, price, 1 + 1_000 * i, ts=10**18 + i * 10**9)
    return stream


@pytest.mark.parametrize(
    ("name", "stream", "words"),
    [
        ("nothing", Stream(), "There is nothing in this data."),
        ("a snapshot", Stream().clear(flags=SNAPSHOT).add(1, "B", 100, 5, flags=SNAPSHOT), "100.00"),
        ("one side", Stream().add(1, "A", 100, 5, ts=10**18), "100.00"),
        ("sparse", sparse(), "levels only"),
    ],
)
def test_odd_books_have_a_page(browser: Any, serve: Callable[[Session], Served], tmp_path: Path, name: str, stream: Stream, words: str) -> None:
    """An empty file, a snapshot and nothing more, a book of one side, one with wide gaps that is crossed at last: each is shown, without a complaint."""
    path = stream.write(tmp_path / "odd.dbn", symbols={1: "ODD"})
    with opened([path], None, {"tick_size": "0.01" if name != "nothing" else "1"}) as session:
        session.index._thread.join()
        page = Page(browser, serve(session), wait="body", color_scheme="dark")
        if name == "sparse":
            page.page.wait_for_selector(".ladder tbody tr")
            scene = page.press("End")
            levels = sorted([tick for tick, _, _ in scene["bids"] + scene["asks"]], reverse=True)
            assert page.page.evaluate("[...document.querySelectorAll('.ladder tbody tr')].map(r => Number(r.dataset.tick))") == levels
            assert len(levels) == 7
            page.shoot("view-sparse")
        page.until(f"document.body.innerText.includes({words!r})")
        page.close()
