"""Events reach real servers of this machine, which refuse wrong secrets; servers that fail or go away are survived."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from conftest import REPOSITORY
from paho.mqtt.client import CallbackAPIVersion, Client
from pwdlib.hashers.argon2 import Argon2Hasher

from vadkit.core.errors import ConfigError
from vadkit.live import sinks
from vadkit.live.sinks import sinks_of

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while")  # of aiosmtpd, which is on this machine

SECRET = "correct horse, battery: staple"


def event(number=1, state="open", **changes) -> dict:
    over = state != "open"
    return {
        "id": f"20261127T1800{number:02d}000Z-00", "camera": "door", "state": state, "system": "2S", "run": "demo",
        "started_at": "2026-11-27T18:00:00+00:00", "ended_at": "2026-11-27T18:00:09+00:00" if over else None,
        "start_s": 1.0, "end_s": 10.0 if over else None, "peak": 0.9, "peak_s": 4.0, "confidence": 0.8,
        "curve": [[1.0, 0.8, 0.9]], "category": "Fighting", "snapshot": None, "clip": None, "box": None,
        "notes": ["trained on drawings"], "threshold": 0.5, **changes,
    }  # fmt: skip


def until(holds, seconds=60.0):
    """What `holds` gives, once that is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sinks, "WAITS", (0.02, 0.1))
    for name in ("VADKIT_WEBHOOK_SECRET", "VADKIT_SMTP_URL", "VADKIT_MQTT_USER", "VADKIT_MQTT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_sink():
    """Makes the one sink of an address, and ends it."""
    made = []

    def make(**addresses):
        made.extend(sinks_of(**{"say": lambda _: None, **addresses}))
        return made[-1]

    yield make
    for one in made:
        one.close(0.5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of "localhost", made and signed by itself: the files of certificate and key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    done = subprocess.run([*command.split(), "-out", files[0], "-keyout", files[1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return files


def tls(certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


# ---- webhook


def receiver() -> type[BaseHTTPRequestHandler]:
    """The receiver that docs/camera.md shows, as it stands there."""
    page = (REPOSITORY / "docs" / "camera.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"((?:^    .*\n|^\n)+)    HTTPServer\(", page, re.M)
    found: dict = {}
    exec(re.sub("^    ", "", lines, flags=re.M), found)
    return found["Receiver"]


@pytest.fixture
def http_server():
    """Starts a server whose handler's answers are given one after the other: a status, or None to verify."""
    servers = []

    def start(*answers, port=0, kind=None):
        got, answers = [], list(answers)

        class Receives(kind or receiver()):
            def do_POST(self):
                answer = answers.pop(0) if answers else None
                if answer is None:
                    super().do_POST()
                    return
                self.rfile.read(int(self.headers["Content-Length"]))
                if answer:
                    self.send_response(*answer)
                    self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
                    self.end_headers()

            def send_response(self, code, *words):
                got.append((code, dict(self.headers), self.path))
                super().send_response(code, *words)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Receives)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/alarms?to=me", got

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_webhook_is_signed_and_the_receiver_of_the_docs_takes_it(
    monkeypatch, http_server, open_sink, tmp_path, capsys
):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    url, got = http_server()
    sink = open_sink(webhook=url)
    sink.send(event(), tmp_path)
    sink.send(event(state="closed"), tmp_path)
    until(lambda: sink.status()["sent"] == 2)
    assert [(code, path) for code, _, path in got] == [(204, "/alarms?to=me")] * 2
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == event(state="closed")
    assert sink.status() == {"sent": 2, "waiting": 0, "failed": 0, "error": ""}


def test_a_wrong_secret_is_refused_by_the_receiver_and_shown_nowhere(monkeypatch, http_server, open_sink, tmp_path):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", "a wrong one")
    url, got = http_server()
    sink = open_sink(webhook=url)
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)  # the receiver's
    sink.send(event(), tmp_path)
    status = until(lambda: sink.status()["failed"] and sink.status())
    assert [code for code, *_ in got] == [401] and "answers 401" in status["error"]
    assert "wrong one" not in str((status, sink.name)) and "/alarms" not in str((status, sink.name))


def test_what_fails_is_tried_again_in_order_and_redirects_are_not_followed(
    monkeypatch, http_server, open_sink, tmp_path
):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    url, got = http_server((503, SECRET), (), None, (307,), (308,))  # (): hangs up without an answer
    sink = open_sink(webhook=url)
    for number in range(4):
        sink.send(event(number), tmp_path)
    until(lambda: sink.status()["waiting"] == 0)
    assert [(code, about["webhook-id"][13:15], path) for code, about, path in got] == [
        (503, "00", "/alarms?to=me"), (204, "00", "/alarms?to=me"), (307, "01", "/alarms?to=me"),
        (308, "02", "/alarms?to=me"), (204, "03", "/alarms?to=me"),
    ]  # fmt: skip
    assert (sink.status()["sent"], sink.status()["failed"], sink.status()["error"]) == (2, 2, "")


def test_a_dead_receiver_is_said_and_counted_and_delivery_goes_on_when_it_is_back(
    monkeypatch, http_server, open_sink, tmp_path
):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(sinks, "WAITING", 3)
    port = free_port()
    told = []
    sink = open_sink(webhook=f"http://127.0.0.1:{port}/", say=told.append)
    for number in range(5):
        sink.send(event(number), tmp_path)
    until(lambda: "refused" in sink.status()["error"])
    assert (sink.status()["waiting"], sink.status()["failed"]) == (3, 2)
    time.sleep(5 * sinks.WAITS[1])
    _, got = http_server(port=port)
    until(lambda: sink.status()["sent"] == 3)
    assert [about["webhook-id"][13:15] for _, about, _ in got] == ["02", "03", "04"]
    assert sink.status() == {"sent": 3, "waiting": 0, "failed": 2, "error": ""}
    assert len(told) == 2 and "refused" in told[0] and told[1] == f"webhook 127.0.0.1:{port}: it works again"


def test_a_receiver_that_never_answers_holds_up_nobody(monkeypatch, open_sink, tmp_path):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        sink = open_sink(webhook=f"http://127.0.0.1:{mute.getsockname()[1]}/")
        started = time.monotonic()
        for number in range(50):
            sink.send(event(number), tmp_path)
        sink.close(0.1)
        assert time.monotonic() - started < sinks.TIMEOUT / 2 and sink.status()["waiting"] == 50


def test_closing_delivers_what_waits(monkeypatch, http_server, open_sink, tmp_path):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    url, got = http_server()
    sink = open_sink(webhook=url)
    for number in range(20):
        sink.send(event(number), tmp_path)
    sink.close(60)
    assert len(got) == 20 and sink.status()["sent"] == 20


def test_an_event_that_is_no_json_costs_itself_alone(monkeypatch, http_server, open_sink, tmp_path):
    monkeypatch.setenv("VADKIT_WEBHOOK_SECRET", SECRET)
    url, got = http_server()
    sink = open_sink(webhook=url)
    sink.send(event(notes=[object()]), tmp_path)
    until(lambda: "JSON" in sink.status()["error"])
    sink.send(event(), tmp_path)
    until(lambda: sink.status()["sent"] == 1)
    assert sink.status()["failed"] == 1


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        ({"webhook": "https://example.org/x"}, {}, "VADKIT_WEBHOOK_SECRET"),
        ({"webhook": "ftp://example.org/x"}, {"VADKIT_WEBHOOK_SECRET": SECRET}, "--webhook: expected https"),
        ({"webhook": "https://me:hush@example.org/"}, {"VADKIT_WEBHOOK_SECRET": SECRET}, "without a password"),
        ({"webhook": "https://exa mple.org/"}, {"VADKIT_WEBHOOK_SECRET": SECRET}, "--webhook"),
        ({"webhook": "https://example.org:https/"}, {"VADKIT_WEBHOOK_SECRET": SECRET}, "--webhook"),
        ({"email": "a@example.org"}, {}, "VADKIT_SMTP_URL"),
        ({"email": "a@example.org"}, {"VADKIT_SMTP_URL": "me:hush@example.org"}, "smtp[s]://USER"),
        ({"email": "a@example.org"}, {"VADKIT_SMTP_URL": "smtp://me:hu/sh@example.org"}, "as %XX"),
        ({"email": "a@example.org, b@example.org"}, {"VADKIT_SMTP_URL": "smtp://example.org"}, "one address"),
        ({"mqtt": "http://broker"}, {}, "--mqtt: expected HOST"),
        ({"mqtt": "mqtts://me:hush@broker"}, {}, "--mqtt: expected HOST"),
        ({"mqtt": "broker:port"}, {}, "--mqtt: expected HOST"),
    ],
)
def test_a_wrong_address_or_a_missing_secret_is_said_before_anything_starts(monkeypatch, given, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        sinks_of(**given)
    assert said in str(error.value) and "hush" not in str(error.value) and SECRET not in str(error.value)


# ---- e-mail


class Mailbox:
    def __init__(self):
        self.got = []

    async def handle_DATA(self, server, session, envelope):
        self.got.append((session.ssl is not None, envelope.content.decode()))
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture
def smtp_server():
    """Starts a server that may ask for the user "me" and the password; options are aiosmtpd's."""
    running = []

    def start(password=None, **options):
        def check(server, session, envelope, mechanism, data):
            good = mechanism == "PLAIN" and (data.login, data.password) == (b"me@example.org", password.encode())
            return AuthResult(success=good, handled=False)

        if password is not None:
            options |= {"authenticator": check, "auth_required": True}
            options.setdefault("auth_require_tls", False)
        box = Mailbox()
        running.append(Controller(box, hostname="localhost", port=free_port(), **options))
        running[-1].start()
        return running[-1].port, box.got

    yield start
    for one in running:
        one.stop()


PASSWORD, ESCAPED = "p@ss/word: 1", "p%40ss%2Fword%3A%201"


def test_a_mail_comes_when_an_event_opens_and_when_it_is_over(monkeypatch, smtp_server, open_sink, tmp_path):
    port, got = smtp_server(PASSWORD)
    monkeypatch.setenv("VADKIT_SMTP_URL", f"smtp://me%40example.org:{ESCAPED}@localhost:{port}")
    (tmp_path / "snapshot.jpg").write_bytes(b"\xff\xd8 a picture \xff\xd9")
    sink = open_sink(email="you@example.org")
    first = event(camera="door\r\nBcc: all@example.org", snapshot="snapshot.jpg")
    for one in (
        first,
        first,
        event(2, snapshot="gone.jpg"),
        event(state="closed"),
        event(state="closed", clip="c.mp4"),
    ):
        sink.send(one, tmp_path)
    until(lambda: sink.status()["sent"] == 3)
    texts = [text for _, text in got]
    subjects = [re.search("^Subject: (.*)", text, re.M)[1].strip() for text in texts]
    assert subjects == [
        "Alarm: Fighting at door Bcc: all@example.org",
        "Alarm: Fighting at door",
        "Over: Fighting at door",
    ]
    assert "trained on drawings" in texts[0] and "From: me@example.org" in texts[0] and "\nBcc:" not in texts[0]
    assert ["image/jpeg" in text for text in texts] == [True, False, False]
    assert sink.status() == {"sent": 3, "waiting": 0, "failed": 0, "error": ""}


def test_a_wrong_password_is_refused_by_the_mail_server_and_tried_once(monkeypatch, smtp_server, open_sink, tmp_path):
    port, got = smtp_server("another")
    monkeypatch.setenv("VADKIT_SMTP_URL", f"smtp://me%40example.org:{ESCAPED}@localhost:{port}")
    sink = open_sink(email="you@example.org")
    sink.send(event(), tmp_path)
    status = until(lambda: sink.status()["failed"] and sink.status())
    assert not got and "535" in status["error"] and PASSWORD not in status["error"] and ESCAPED not in status["error"]


def test_an_address_that_the_mail_server_does_not_know_is_said(monkeypatch, smtp_server, open_sink, tmp_path):
    port, got = smtp_server()
    monkeypatch.setenv("VADKIT_SMTP_URL", f"smtp://localhost:{port}")
    sink = open_sink(email="nobody@example.org")
    sink.send(event(), tmp_path)
    assert "no such user" in until(lambda: sink.status()["failed"] and sink.status()["error"]) and not got


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_another_machines_mail_server_is_spoken_to_by_tls_alone(
    monkeypatch, smtp_server, open_sink, tmp_path, certificate, scheme
):
    monkeypatch.setattr(sinks, "LOCAL", ())  # this machine stands for another
    started = {"require_starttls": True, "tls_context": tls(certificate), "auth_require_tls": True}
    port, got = smtp_server(PASSWORD, **(started if scheme == "smtp" else {"ssl_context": tls(certificate)}))
    monkeypatch.setenv("VADKIT_SMTP_URL", f"{scheme}://me%40example.org:{ESCAPED}@localhost:{port}")
    sink = open_sink(email="you@example.org")
    sink.send(event(), tmp_path)
    until(lambda: "certificate verify failed" in sink.status()["error"])  # nobody vouches for it
    assert not got
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    until(lambda: sink.status()["sent"] == 1)
    assert len(got) == 1 and (scheme == "smtps" or got[0][0]) and sink.status()["error"] == ""


def test_another_machines_mail_server_without_tls_gets_nothing(monkeypatch, smtp_server, open_sink, tmp_path):
    monkeypatch.setattr(sinks, "LOCAL", ())
    port, got = smtp_server()
    monkeypatch.setenv("VADKIT_SMTP_URL", f"smtp://localhost:{port}")
    sink = open_sink(email="you@example.org")
    sink.send(event(), tmp_path)
    until(lambda: "STARTTLS" in sink.status()["error"])
    assert not got and sink.status()["waiting"] == 1


def test_mails_are_bounded_by_the_hour(monkeypatch, smtp_server, open_sink, tmp_path):
    monkeypatch.setattr(sinks, "MAILS_PER_HOUR", 2)
    port, got = smtp_server()
    monkeypatch.setenv("VADKIT_SMTP_URL", f"smtp://localhost:{port}")
    sink = open_sink(email="you@example.org")
    for number in range(4):
        sink.send(event(number), tmp_path)
    until(lambda: sink.status()["failed"] == 2)
    assert len(got) == 2 and "within an hour" in sink.status()["error"]


# ---- MQTT


@contextmanager
def broker(port, folder, password=None, **listeners):
    """amqtt in a process of its own, which is killed in the end; the user is "me"."""
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    if password is not None:
        users = folder / "users"
        users.write_text(f"me:{Argon2Hasher(time_cost=1, memory_cost=1024).hash(password)}\n")
        plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(users)}}
    settings = folder / "broker.yaml"
    listeners["default"] = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    settings.write_text(json.dumps({"listeners": listeners, "plugins": plugins}))
    command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            until(lambda: answers(port) or running.poll() is not None)
            yield
        finally:
            running.kill()


@pytest.fixture(scope="module")
def brokers(tmp_path_factory, certificate):
    """Ports of one broker that wants a password: in the clear, and by TLS."""
    port, by_tls = free_port(), free_port()
    files = {"certfile": str(certificate[0]), "keyfile": str(certificate[1])}
    secured = {"type": "tcp", "bind": f"127.0.0.1:{by_tls}", "ssl": True, **files}
    with broker(port, tmp_path_factory.mktemp("broker"), PASSWORD, secured=secured):
        yield port, by_tls


@pytest.fixture
def logged_in(monkeypatch):
    monkeypatch.setenv("VADKIT_MQTT_USER", "me")
    monkeypatch.setenv("VADKIT_MQTT_PASSWORD", PASSWORD)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def listening(port, password=PASSWORD):
    """What a subscriber to everything has got: (topic, payload, retained)."""
    got = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("me", password)
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_message = lambda _, __, message: got.append((message.topic, message.payload.decode(), message.retain))
    client.connect("localhost", port)
    client.loop_start()
    yield got
    client.disconnect()
    client.loop_stop()


def last(got, ending) -> str | None:
    """The last payload of the topic with this ending."""
    return next((payload for topic, payload, _ in reversed(got) if topic.endswith(ending)), None)


def test_a_broker_gets_state_event_and_what_home_assistant_needs(logged_in, brokers, open_sink, tmp_path):
    port, _ = brokers
    with listening(port) as got:
        sink = open_sink(mqtt=f"localhost:{port}", cameras=["door", "rtsp://me:***@door/1"])
        until(lambda: last(got, "/door/state") == "OFF" and last(got, "/door/available") == "online")
        sink.send(event(), tmp_path)
        until(lambda: last(got, "/door/state") == "ON" and last(got, "/door/event"))
        assert json.loads(last(got, "/door/event")) == {k: v for k, v in event().items() if k != "curve"}
        sink.send(event(state="closed"), tmp_path)
        until(lambda: last(got, "/door/state") == "OFF" and sink.status()["sent"] == 2)
        with listening(port) as late:
            until(lambda: len({topic for topic, *_ in late if "door" in topic}) == 6)
        topics = {topic: text for topic, text, kept in late if kept and "door" in topic}
        sensors = [json.loads(text) for topic, text in topics.items() if topic.endswith("/config")]
        for sensor in sensors:
            assert sensor["device_class"] == "problem"
            assert {sensor["state_topic"], sensor["availability_topic"]} <= topics.keys()
            assert f"homeassistant/binary_sensor/{sensor['unique_id']}/config" in topics
            assert re.fullmatch("[a-zA-Z0-9_-]+", sensor["unique_id"])
        assert {sensor["device"]["name"] for sensor in sensors} == {"door", "rtsp://me:***@door/1"}
        assert len({sensor["unique_id"] for sensor in sensors}) == 2
        sink.close(10)
        until(lambda: last(got, "/door/available") == "offline")
        until(lambda: not sink._client.is_connected())
        assert sink.status()["error"] == ""


def test_a_wrong_password_is_refused_by_the_broker_and_shown_nowhere(monkeypatch, brokers, open_sink, tmp_path):
    monkeypatch.setenv("VADKIT_MQTT_USER", "me")
    monkeypatch.setenv("VADKIT_MQTT_PASSWORD", "a wrong one")
    with listening(brokers[0]) as got:
        sink = open_sink(mqtt=f"localhost:{brokers[0]}", cameras=["hall"])
        sink.send(event(), tmp_path)
        error = until(lambda: sink.status()["error"])
        assert "VADKIT_MQTT_PASSWORD" in error and "a wrong one" not in error
        assert sink.status()["waiting"] == 1 and not any("hall" in topic for topic, *_ in got)


def test_a_watch_that_vanishes_is_offline_by_its_last_will(logged_in, brokers, open_sink):
    with listening(brokers[0]) as got:
        sink = open_sink(mqtt=f"localhost:{brokers[0]}", cameras=["gate"])
        until(lambda: last(got, "/gate/available") == "online")
        sink._client.socket().shutdown(socket.SHUT_RDWR)
        until(lambda: [text for topic, text, _ in got if "gate/av" in topic] == ["online", "offline", "online"])


def test_a_broker_may_be_reached_by_tls(monkeypatch, logged_in, brokers, open_sink, certificate):
    with listening(brokers[0]) as got:
        doubted = open_sink(mqtt=f"mqtts://localhost:{brokers[1]}")
        until(lambda: "certificate verify failed" in doubted.status()["error"])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        open_sink(mqtt=f"mqtts://localhost:{brokers[1]}", cameras=["yard"])
        until(lambda: last(got, "/yard/state") == "OFF")


@pytest.mark.slow
def test_a_broker_that_goes_away_is_said_and_delivery_goes_on_when_it_is_back(open_sink, tmp_path):
    port, told = free_port(), []
    sink = open_sink(mqtt=f"localhost:{port}", say=told.append)
    until(lambda: "refused" in sink.status()["error"])  # nobody there yet
    with broker(port, tmp_path):
        until(lambda: sink.status()["error"] == "")
    until(lambda: sink.status()["error"])
    sink.send(event(), tmp_path)
    with broker(port, tmp_path), listening(port) as got:
        until(lambda: sink.status()["sent"] == 1)
        until(lambda: last(got, "/door/state") == "ON")
        assert sink.status() == {"sent": 1, "waiting": 0, "failed": 0, "error": ""}
        assert len(told) == 4 and "refused" in told[0] and "connection is lost" in told[2]
