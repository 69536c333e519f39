"""The live page: who gets in, what is given out, and that a browser shows it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from vadkit.core.errors import ConfigError
from vadkit.live.page import EVENTS, POINTS, Page

TOKEN = "a token of the tests"
NAME = 'door <img src=x onerror="document.title=1">'
READING = {
    "time_s": 1.0, "confidence": np.float32(0.25), "sas": 0.75, "alarm": np.bool_(True), "fps": 25.0, "lag_s": 0.12,
    "dropped": 3, "connected": True, "notes": ["trained on <b>drawings</b>"],
    "boxes": np.array([[1, 2, 3, 4, 0.9, 0], [1, 2, 3, 4, 0.9, 0], [1, 2, 3, 4, 0.9, 2]], np.float32),
}  # fmt: skip
EVENT = {
    "id": "20261127T180000000Z-00", "camera": NAME, "state": "closed", "system": "2S", "run": "demo", "threshold": 0.5,
    "started_at": "2026-11-27T18:00:00+00:00", "ended_at": "2026-11-27T18:00:09+00:00", "start_s": 1.0, "end_s": 10.0,
    "peak": 0.9, "peak_s": 4.0, "confidence": 0.8, "curve": [[1.0, 0.8, 0.9]], "category": "<script>Fighting</script>",
    "snapshot": "20261127T180000000Z-00/snapshot.jpg", "clip": None, "box": None, "notes": [],
}  # fmt: skip
JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 120, np.uint8))[1].tobytes()


@pytest.fixture
def serve(tmp_path):
    """Starts a page on this machine; its folder is `events`, and beside it lies what nobody shall get."""
    pages = []

    def start(host="127.0.0.1", token=None, port=0) -> Page:
        folder = tmp_path / "events"
        (folder / EVENT["id"]).mkdir(parents=True, exist_ok=True)
        (folder / EVENT["snapshot"]).write_bytes(JPEG)
        for beside in (tmp_path / "snapshot.jpg", folder / "snapshot.jpg", folder / "events.jsonl"):
            beside.write_bytes(b"secret")
        (folder / "linked").mkdir(exist_ok=True)
        if not (folder / "linked" / "snapshot.jpg").exists():
            (folder / "linked" / "snapshot.jpg").symlink_to(tmp_path / "snapshot.jpg")
        pages.append(Page(host, port, folder, token))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


def ask(page: Page, path: str, host: str | None = None, **headers) -> tuple[int, dict, bytes]:
    """Status, headers, body of a path that is sent as it stands."""
    port = int(page.url.rstrip("/").rsplit(":", 1)[1])
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    there.putrequest("GET", path, skip_host=True)
    for name, value in {"Host": host or f"127.0.0.1:{port}", **headers}.items():
        there.putheader(name, value)
    there.endheaders()
    answer = there.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    there.close()
    return found


def test_it_gives_out_the_page_the_newest_of_each_camera_and_events(serve):
    page = serve()
    page.show("yard", b"", READING | {"connected": False})
    page.show(NAME, b"old", READING)
    page.show(NAME, JPEG, READING | {"time_s": 2.0})
    page.event(EVENT | {"state": "open"})
    page.event(EVENT)
    state = json.loads(ask(page, "/state.json")[2])
    yard, door = state["cameras"]
    assert door["name"] == NAME and door["number"] == 2 and door["curve"] == [[1.0, 0.25, 0.75], [2.0, 0.25, 0.75]]
    assert door["seen"] == {"person": 2, "car": 1} and door["alarm"] and not yard["connected"]
    assert [one["state"] for one in state["events"]] == ["closed"] and "curve" not in state["events"][0]
    assert ask(page, f"/picture?camera={quote(NAME)}&n=2")[2] == JPEG
    assert (
        ask(page, "/picture?camera=yard")[0] == ask(page, "/picture?camera=nobody")[0] == ask(page, "/none")[0] == 404
    )
    status, headers, body = ask(page, "/")
    nonce = re.search(r"script-src 'nonce-(\w+)'", headers["Content-Security-Policy"])[1]
    assert status == 200 and f'<script nonce="{nonce}">'.encode() in body and b"NONCE" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"] and not re.search(
        b"https?://(?!www.w3.org)", body
    )


def test_what_it_keeps_is_bounded_and_a_clock_that_starts_anew_clears_the_curve(serve):
    page = serve()
    for number in range(POINTS + 50):
        page.show("door", JPEG, READING | {"time_s": number})
        page.event(EVENT | {"id": f"{number:05d}"})
    state = json.loads(ask(page, "/state.json")[2])
    assert len(state["cameras"][0]["curve"]) == POINTS and len(state["events"]) == EVENTS
    assert state["events"][0]["id"] == f"{POINTS + 49:05d}"
    page.show("door", JPEG, READING | {"time_s": 0.5})
    assert json.loads(page.state())["cameras"][0]["curve"] == [[0.5, 0.25, 0.75]]


def test_files_come_from_the_folder_of_events_and_nothing_above_it(serve):
    page = serve()
    status, headers, body = ask(page, f"/files/{EVENT['snapshot']}")
    assert (status, headers["Content-Type"], body) == (200, "image/jpeg", JPEG)
    assert ask(page, f"/files/{EVENT['snapshot']}", Range="bytes=0-1")[::2] == (206, JPEG[:2])
    inside, names = f"/files/{EVENT['id']}/", ("snapshot.jpg", "events.jsonl", "%2e%2e/snapshot.jpg", "")
    tried = [
        "/files/../snapshot.jpg",
        "/files/..%2fsnapshot.jpg",
        "/files//snapshot.jpg",
        f"{inside}../../snapshot.jpg",
    ]
    tried += [f"/files/{name}" for name in names] + [inside, "/files/absent/snapshot.jpg", "/page.html", "//etc/passwd"]
    for path in tried:
        assert ask(page, path)[0] == 404, path
    status, _, body = ask(page, "/files/linked/snapshot.jpg")
    assert status in (403, 404) and b"secret" not in body


def test_where_others_get_in_a_token_is_asked_for_once(serve):
    page = serve("0.0.0.0", TOKEN)
    page.show("door", JPEG, READING)
    paths = "/", "/state.json", "/picture?camera=door", f"/files/{EVENT['snapshot']}", "/none"
    for path in paths:
        assert ask(page, path)[0] == 403
        assert ask(page, f"{path}{'&' if '?' in path else '?'}token=wrong")[0] == 403
        assert ask(page, path, Cookie=f"{page.cookie}=wrong")[0] == 403
    status, headers, body = ask(page, f"/?token={quote(TOKEN)}")
    assert (status, headers["Location"]) == (302, "/") and "HttpOnly" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].split(";")[0]
    assert [ask(page, path, host="cameras.example.org", Cookie=cookie)[0] for path in paths] == [200] * 4 + [404]
    said = [
        str(headers),
        body.decode(),
        page.url,
        *(ask(page, path, Cookie=cookie)[2].decode("latin1") for path in paths),
    ]
    assert not any(TOKEN in text or quote(TOKEN) in text for text in said)


def test_a_name_that_was_rebound_to_this_machine_is_refused(serve):
    page = serve()
    for host in ("localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8000"):
        assert ask(page, "/state.json", host=host)[0] == 200
    for host in ("example.org", "localhost.example.org", "127.0.0.1.example.org:80", "192.168.1.2", "0.0.0.0"):
        assert ask(page, "/state.json", host=host)[0] == 403


def test_a_browser_that_does_not_read_or_is_gone_holds_up_nobody(serve):
    page = serve()
    port = int(page.url.rstrip("/").rsplit(":", 1)[1])
    large = os.urandom(4_000_000)
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    page.show("door", large, READING)
    for one in slow:
        one.sendall(b"GET /picture?camera=door HTTP/1.1\r\nHost: localhost\r\n\r\n")
    slow.pop().close()
    started = time.monotonic()
    for number in range(200):
        page.show("door", large, READING | {"time_s": float(number)})
        page.event(EVENT)
    assert time.monotonic() - started < 30
    assert ask(page, "/state.json")[0] == 200
    for one in slow:
        one.close()


@pytest.mark.parametrize(
    ("host", "token", "said"),
    [
        ("0.0.0.0", None, "VADKIT_PAGE_TOKEN"),
        ("0.0.0.0", "short", "16 characters"),
        ("no.such.host.invalid", TOKEN, "no.such"),
    ],
)
def test_an_address_that_cannot_be_had_is_said(serve, host, token, said):
    with pytest.raises(ConfigError, match=said):
        serve(host, token)


def test_a_port_that_is_taken_is_said(serve):
    port = int(serve().url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=f"{port}.*in use"):
        serve(port=port)


def test_after_closing_nobody_listens(serve):
    page = serve()
    ask(page, "/")
    page.close()
    with pytest.raises(OSError):
        ask(page, "/")


def test_a_browser_shows_cameras_curves_and_events_and_names_stay_text(serve, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    page = serve()
    for number in range(20):
        page.show(NAME, JPEG, READING | {"time_s": number / 3})
    page.show("yard", b"", READING | {"connected": False, "alarm": False})
    page.event(EVENT)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'chromium'}"]
    options += ["--virtual-time-budget=5000", "--dump-dom", page.url]
    dom = subprocess.run([chromium, *options], capture_output=True, text=True, timeout=300).stdout
    assert f"<span>{NAME.replace('<', '&lt;').replace('>', '&gt;')}</span>" in dom
    assert "&lt;script&gt;Fighting&lt;/script&gt;" in dom and "trained on &lt;b&gt;drawings" in dom
    assert f"<title>ALARM {NAME.replace('<', '&lt;').replace('>', '&gt;')}</title>" in dom
    assert len(re.search(r'<polyline class="sas" points="([^"]+)"', dom)[1].split()) == 20
    assert "2 × person, car" in dom and "not connected" in dom and "25.0 FPS" in dom and "lag 0.12 s" in dom
    assert f'src="files/{EVENT["snapshot"]}"' in dom and "peak SAS 0.90" in dom
