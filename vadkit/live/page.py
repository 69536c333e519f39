"""The live page: pictures, scores, events. A browser asks for the newest when it has time, so nothing waits for it."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import threading
from collections import Counter, deque
from ipaddress import ip_address
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from vadkit.core.errors import ConfigError
from vadkit.evaluation.sas import ALARM
from vadkit.views.objects import COCO_CLASSES

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
POINTS, EVENTS, TOKEN = 600, 50, 16  # kept of each curve; events kept; the fewest characters of a token
POLICY = "default-src 'none'; img-src 'self' data:; media-src 'self'; connect-src 'self'; frame-ancestors 'none'"
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
HEADERS |= {"Content-Security-Policy": POLICY, "Cross-Origin-Resource-Policy": "same-origin"}


class Page:
    """A server in a thread of its own. folder: of events; it gives out their snapshots and clips, and no other file.

    token: asked for where there is one, and needed where others than this machine get in. Port 0: a free one.
    Raises ConfigError: no token, one too short, a port that is taken.
    """

    def __init__(self, host: str, port: int, folder: Path, token: str | None):
        self.local, self.token = _local(host), token or ""
        if not self.local and len(self.token) < TOKEN:
            raise ConfigError(f"--serve {host}: others get in; set VADKIT_PAGE_TOKEN, {TOKEN} characters or more")
        try:
            sockets = bind_sockets(port, host)
        except (OSError, OverflowError, UnicodeError) as error:
            raise ConfigError(f"--serve {host}:{port}: {error}; give another address") from None
        port = sockets[0].getsockname()[1]
        self.url, self.cookie = f"http://{f'[{host}]' if ':' in host else host}:{port}/", f"vadkit_{port}"
        self._lock, self.cameras, self._events = threading.Lock(), {}, {}
        files = r"/files/(\w[\w.-]*/(?:snapshot\.jpg|clip\.mp4))", _Files, {"path": str(folder.resolve())}
        rest = {"default_handler_class": _Guarded, "compress_response": True, "log_function": lambda _: None}
        app = Application([(r"/(|state\.json|picture)", _Live), files], page=self, cookie_secret=self.token, **rest)
        self._server = HTTPServer(app, max_body_size=1024, max_header_size=16384)
        self._serving = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve(sockets)], name="page", daemon=True)
        self._thread.start()
        self._serving.wait()

    async def _serve(self, sockets: list) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._server.add_sockets(sockets)
        self._serving.set()
        await self._end.wait()
        self._server.stop()
        await self._server.close_all_connections()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(2)

    def show(self, camera: str, jpeg: bytes, reading: dict) -> None:
        """Take a camera's newest picture, or b"" for none, and what is known with it; returns at once."""
        seen = Counter(COCO_CLASSES[int(box[5])] for box in reading["boxes"])
        with self._lock:
            my = self.cameras.setdefault(camera, {"jpeg": b"", "number": 0, "curve": deque(maxlen=POINTS)})
            my |= {name: value for name, value in reading.items() if name != "boxes"} | {"name": camera, "seen": seen}
            if jpeg:
                my |= {"jpeg": jpeg, "number": my["number"] + 1}
            if my["curve"] and reading["time_s"] < my["curve"][-1][0]:  # the stream came back with another clock
                my["curve"].clear()
            if not my["curve"] or reading["time_s"] > my["curve"][-1][0]:
                my["curve"].append(tuple(round(float(reading[name]), 3) for name in ("time_s", "confidence", "sas")))

    def event(self, event: dict) -> None:
        """Take an event when it opens and when it closes; the last word on an id stands."""
        with self._lock:
            self._events[event["id"]] = {name: value for name, value in event.items() if name != "curve"}
            if len(self._events) > EVENTS:
                del self._events[next(iter(self._events))]

    def state(self) -> str:
        """What a browser shows, in JSON."""
        with self._lock:
            cameras = [{**one, "jpeg": "", "curve": [*one["curve"]]} for one in self.cameras.values()]
            state = {"cameras": cameras, "events": [*self._events.values()][::-1], "threshold": ALARM}
        return json.dumps(state, default=float)


class _Guarded(RequestHandler):
    """Answers who comes by a name of this machine, where it is local, and with the token, where there is one."""

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        page = self.page = self.settings["page"]
        if page.local and not _local(self.request.host_name.strip("[]")):  # a name rebound to this machine
            raise HTTPError(403, reason="Only as localhost")
        if page.token and not self.get_signed_cookie(page.cookie):
            if not hmac.compare_digest(self.get_query_argument("token", "").encode(), page.token.encode()):
                raise HTTPError(403, reason="Come once by /?token=...")
            self.set_signed_cookie(page.cookie, "in", httponly=True, samesite="Lax")
            self.redirect("/")  # the token leaves the address

    def get(self, *_) -> None:
        raise HTTPError(404)


class _Live(_Guarded):
    """The page, what it shows, and a camera's newest picture."""

    def get(self, what: str) -> None:
        if what == "picture":
            camera = self.page.cameras.get(self.get_query_argument("camera", "", strip=False))
            if not camera or not camera["jpeg"]:
                raise HTTPError(404)
            self.set_header("Content-Type", "image/jpeg")
            self.finish(camera["jpeg"])
        elif what:
            self.set_header("Content-Type", "application/json")
            self.finish(self.page.state())
        else:
            nonce = secrets.token_hex(16)
            own = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
            self.set_header("Content-Security-Policy", f"{POLICY}; {own}")
            self.finish(PAGE.replace("NONCE", nonce))


class _Files(_Guarded, StaticFileHandler):
    get = StaticFileHandler.get

    def compute_etag(self) -> None:
        """None: tornado keeps digests by name, and a snapshot may change."""


def _local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
