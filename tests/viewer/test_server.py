"""The page's server: what it answers, and whom it refuses."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import MAKER, invoke
from served import Served
from streams import SNAPSHOT, Stream

import tapeline as tl
from tapeline.backtest import Backtest
from tapeline.errors import ConfigError
from tapeline.feeds.status import HALT, QUOTING, TRADING, StateChange, write_status
from tapeline.load import load_strategy
from tapeline.viewer.server import HOST, listening
from tapeline.viewer.session import Session
from tapeline.viewer.view import opened

PAGES = ("/", "/view.css", "/view.js", "/draw.js", "/panels.js", "/preact.js")


def test_pages_and_numbers_are_served_with_a_policy(served: Served) -> None:
    """Every file of the page is there, in its own type, and nothing but itself may be loaded or run by it, nor frame it."""
    for path in PAGES:
        status, headers, body = served.get(path)
        assert (status, len(body) > 100) == (200, True), path
        assert headers["content-type"].startswith({"css": "text/css", "js": "text/javascript"}.get(path.rpartition(".")[2], "text/html"))
    for path in (*PAGES, "/api/session"):
        headers = served.get(path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    page = served.get("/")[2].decode()
    assert not re.search(r"https?://|<script>|style=", page)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost:1", "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}", ""]
)
def test_other_names_are_refused(served: Served, host: str) -> None:
    """A Host that is no loopback name with the server's own port gets 403 and no data, for pages and numbers alike: DNS rebinding ends there."""
    for path in ("/", "/api/session", "/api/at?event=1", "/nothing"):
        status, _, body = served.get(path, {"Host": host.format(port=served.port)})
        assert status in (400, 403), path  # an empty Host may be refused before it comes to us
        assert b"instruments" not in body
        assert b"<html" not in body


def test_own_names_are_accepted(served: Served) -> None:
    """127.0.0.1 and localhost, in any case, with the port."""
    for name in ("127.0.0.1", "localhost", "LocalHost"):
        assert served.get("/api/session", {"Host": f"{name}:{served.port}"})[0] == 200


def test_two_hosts_and_none_are_refused(served: Served) -> None:
    """A request with two Hosts, or without one, is not answered."""
    for lines in (f"Host: 127.0.0.1:{served.port}\r\nHost: evil.example\r\n", ""):
        with socket.create_connection((HOST, served.port), timeout=120) as connection:
            connection.sendall(f"GET /api/session HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").readline()
        assert answer.split()[1] in (b"400", b"403")


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/index.html", "/view.css/../index.html", "//etc/passwd", "/etc/passwd",
     "/view.py", "/api", "/api/", "/api/../view.js", "/preact.js%00.html", "/index.html", "/api/at/../../view.js"],
)  # fmt: skip
def test_no_path_leads_to_a_file(served: Served, path: str) -> None:
    """There is a fixed list of pages: nothing in a request becomes a path."""
    status, _, body = served.get(path)
    assert status == 404
    assert body == b"404: there is no such page\n"


def test_only_get(served: Served) -> None:
    """Nothing can be sent to it."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert served.get("/api/session", method=method)[0] == 405


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "event: is missing"),
        ({"event": "x"}, "event=x: expected an integer"),
        ({"event": "9" * 30}, "expected an integer"),
        ({"event": "--5"}, "event=--5: expected an integer"),
        ({"event": "1", "instrument": "7"}, "instrument=7: 1 have been seen"),
        ({"event": "1", "instrument": "-1"}, "instrument=-1"),
        ({"time": "1.5"}, "time=1.5: expected an integer"),
        ({"time": str(2**63)}, "expected an integer"),
        ({"event": "1", "levels": "100000"}, "levels=100000: expected an integer up to 200"),
        ({"find": "next_thing", "event": "1", "time": "0"}, "find=next_thing: expected next_fill"),
        ({"find": "next_fill", "event": "1"}, "time: is missing"),
        ({"find": "previous_fill", "event": "1", "time": "0"}, "there is no previous fill"),
        ({"find": "previous_trade", "event": "1", "time": "0"}, "there is no previous trade"),
        ({"go": "nowhere"}, "'nowhere': expected a time such as"),
        ({"go": "25:00"}, "there is no such time"),
        ({"go": "9999-12-31 00:00"}, "there is no such time"),
        ({"go": "0001-01-01 00:00"}, "there is no such time"),
        ({"go": "order 99999999"}, "there is no such order"),
        ({"go": "order 1"}, "several strategies"),
        ({"go": "fill 0"}, "fill 0: there are"),
        ({"go": "../../etc/passwd"}, "expected a time such as"),
    ],
)
def test_bad_parameters_are_told(served: Served, query: dict[str, str], message: str) -> None:
    """Each is an error 400 that names the parameter, and says what was expected."""
    status, _, body = served.get("/api/at", **query)
    assert status == 400
    assert message in json.loads(body)["error"]


def test_extreme_places_are_the_nearest(served: Served) -> None:
    """Events and times before the first and after the last mean these."""
    first, last = served.ask("/api/at", event=-5), served.ask("/api/at", event=2**62)
    assert (first["event"], last["event"]) == (1, last["events"])
    assert served.ask("/api/at", time=-(2**62))["event"] == 1
    assert served.ask("/api/at", time=2**62)["event"] == last["events"]
    assert served.ask("/api/at", time=2**63 - 1)["event"] == last["events"]


def test_texts_lead_where_they_say(served: Served) -> None:
    """Times of day with and without date, numbers of events, orders and fills."""
    scene = served.ask("/api/at", event=5_000)
    now = scene["now"]
    day, clock = scene["time"].split(" ")
    assert served.ask("/api/at", go=clock, time=now)["event"] == 5_000
    assert served.ask("/api/at", go=f"{day}T{clock}")["event"] == 5_000
    assert served.ask("/api/at", go=f"{day} {clock[:8]}")["event"] <= 5_000
    assert served.ask("/api/at", go="#1,234")["event"] == 1_234
    assert served.ask("/api/at", go="event 77")["event"] == 77
    assert served.ask("/api/at", go="order exact 3")["order"]["order_id"] == 3
    assert served.ask("/api/at", go="Fill 2")["fills"][0]["number"] >= 1


def test_the_overview_is_small_and_in_order(served: Served) -> None:
    """Its times grow, its last place is the end, and it is no larger for longer sessions."""
    overview = served.ask("/api/overview")
    assert overview["ms"] == sorted(overview["ms"])
    assert 50 < len(overview["ms"]) <= 4_096
    assert len(overview["fills"]) <= 2_000
    assert overview["volume"] == sorted(overview["volume"])


def test_the_overview_begins_with_the_first_event(serve: Callable[[Session], Served], tmp_path: Path) -> None:
    """After a snapshot, however few events a quiet hour has, the first time of the overview is the first event's, with the best prices that it left."""
    start, hour = 1_700_000_000 * 10**9, 3600 * 10**9
    stream = Stream(grid=10_000_000).clear(ts=start - hour, flags=SNAPSHOT)
    for i in range(70):
        stream.add(i + 1, "B", 1_000 - i, 5, ts=start - hour, flags=SNAPSHOT)
    stream.add(100, "A", 1_010, 5, ts=start)
    for i in range(100):
        stream.add(200 + i, "B", 1_001 + i // 20, 1, ts=start + (i + 1) * hour // 100)
    path = stream.write(tmp_path / "quiet.dbn", symbols={1: "QUIET"})
    with opened([path], None, {"tick_size": "0.01"}) as session:
        session.index._thread.join()
        overview = serve(session).ask("/api/overview")
    assert overview["start"] == str(start)
    assert (overview["ms"][0], overview["bid"][0], overview["ask"][0]) == (0, 10.0, 10.1)
    assert overview["ms"][-1] == 3_600_000


def test_ports(served: Served) -> None:
    """It listens on the loopback address; a port that is taken is an error that names the option."""
    with listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ConfigError, match=f"--port {served.port}"), listening(served.port):
        pass


def test_the_command_serves_until_interrupted(data: Path, run: Path) -> None:
    """It prints where the page is, answers while it indexes, and ends with exit code 0 at Ctrl-C."""
    command = [sys.executable, "-m", "tapeline", "view", str(data), str(run), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
            server = Served(port, None)
            until = time.monotonic() + 120
            while time.monotonic() < until and not server.ask("/api/session")["progress"]["is_finished"]:
                time.sleep(0.1)
            found = server.ask("/api/session")
            assert found["progress"]["problem"] is None
            assert found["run"]["strategies"] == ["exact", "guessed"]
            assert server.ask("/api/at", event=100)["event"] == 100
        finally:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")


def test_bad_input_is_an_error_before_anything_is_served(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing or no data ends the command with its exit code and a message; so does the extra that is not installed."""
    (tmp_path / "text.dbn").write_text("not DBN at all")
    for arguments, code, message in (
        ([tmp_path / "none.dbn"], 3, "no such file"),
        ([tmp_path / "text.dbn"], 3, "no DBN file"),
        ([tmp_path], 2, "holds no saved result"),
        ([data, "--strategy", "x"], 2, "--strategy"),
        ([data, "--instruments", "NOPE", "--tick-size", "0.25"], 2, "NOPE"),
    ):
        done = invoke("view", *arguments, "--no-browser")
        assert (done.exit_code, message in done.stderr) == (code, True), done.output
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "tapeline.viewer.server", raising=False)
    done = invoke("view", data, "--no-browser")
    assert done.exit_code == 2
    assert "pip install 'tapeline[view]'" in done.stderr


@pytest.mark.parametrize("shown", ["run", "data"])
def test_phases_are_those_of_the_status_file(data: Path, tmp_path: Path, shown: str) -> None:
    """A moment has the phase of trading at it, a session's overview the times in which nothing was matched: of a run's own status file, or of the one named."""
    times = tl.depth(data, 1, "1s", tick_size="0.25")["ts_event"].to_physical()
    first, halt, on = (int(times[len(times) * i // 4]) for i in range(3))
    publisher, instrument = tl.depth(data, 1, "1s", tick_size="0.25").row(0, named=True)["publisher_id"], 1
    changes = [StateChange(ts, publisher, instrument, action) for ts, action in ((first - 1, QUOTING), (first + 1, TRADING), (halt, HALT), (on, TRADING))]
    status = tmp_path / "status.dbn"
    write_status(status, changes, dataset="TEST.DBN", symbols={}, start_ns=first)
    settings: dict[str, Any] = {"tick_size": "0.25", "status": [status]}
    if shown == "run":
        data, settings = Backtest(data, multiplier=50, **settings).run(load_strategy(MAKER)()).save(tmp_path / "run"), {}
    with opened([data], None, settings) as session:
        session.index._thread.join()
        assert [session.at_time(0, ts)["phase"] for ts in (halt - 1, halt, on - 1, on)] == ["trading", "halted", "halted", "trading"]
        overview = session.overview(0)
    start = int(overview["start"])
    assert overview["phases"][-1] == [(halt - start) / 1e6, (on - start) / 1e6, "halted"]


def test_phases_that_nobody_told_are_not_made_up(served: Served) -> None:
    """Without a status file nothing is said of phases, and not that it was trading."""
    assert served.ask("/api/at", event=1)["phase"] is None
    assert served.ask("/api/overview")["phases"] == []
