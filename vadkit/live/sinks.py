"""Tell others of an event: a webhook, e-mail, an MQTT broker. None holds up the analysis, and none shows a secret."""

from __future__ import annotations

import base64
import hmac
import json
import math
import os
import re
import smtplib
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from vadkit import __version__
from vadkit.core.errors import ConfigError, shown

WAITING = 100  # events; beyond, the oldest goes
WAITS = (1, 60)  # seconds between tries: the first, and the longest; each is twice the one before
TIMEOUT, MAILS_PER_HOUR = 10, 20  # seconds for an answer; the most mails
LOCAL = ("localhost", "127.0.0.1", "::1")
FORMS = {"--webhook": "https://HOST/PATH, without a password", "--mqtt": "HOST[:PORT], or mqtts://HOST[:PORT] for TLS"}
FORMS["VADKIT_SMTP_URL"] = "smtp[s]://USER:PASSWORD@HOST[:PORT], special characters as %XX"


class Sink:
    """A queue of events, and a thread that tries each until it is taken or refused. say: told once of what is wrong."""

    def __init__(self, say: Callable[[str], None], name: str, *secrets: str | None):
        self.name, self._say, self._secrets, self._error = name, say, [one for one in secrets if one], ""
        self._waiting, self._sent, self._failed = deque(), 0, 0
        self._changed, self._until = threading.Condition(), math.inf  # when to end: finite once it closes
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def deliver(self, event: dict, folder: Path) -> None:
        """Raises OSError, HTTPException where a later try may do better; another error costs the event."""

    def send(self, event: dict, folder: Path) -> None:
        """Take an event (`Event.as_json`) and the folder that its paths are relative to; returns at once."""
        with self._changed:
            self._waiting.append((event, folder))
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._failed += 1
            self._changed.notify_all()

    def status(self) -> dict:
        """Events "sent", "waiting" and "failed", and the "error" that is there now, "" without one."""
        error = self._error and f"{self.name}: {self._error}"
        return {"sent": self._sent, "waiting": len(self._waiting), "failed": self._failed, "error": error}

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered in so many seconds, then end."""
        with self._changed:
            self._until = time.monotonic() + timeout
            self._changed.notify_all()
        self._thread.join(timeout)

    def _says(self, error: object) -> None:
        """What is wrong now, or nothing: without secrets, and without what would steer a terminal."""
        text = " ".join(str(error or "").split()) or (type(error).__name__ if error else "")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        before, self._error = self._error, shown(text, 200)
        if bool(before) != bool(text):
            self._say(f"{self.name}: {self._error or 'it works again'}")

    def _work(self) -> None:
        wait = WAITS[0]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._until < math.inf)
                if not self._waiting or time.monotonic() >= self._until:
                    return
                item, error = self._waiting[0], None
            try:
                self.deliver(*item)
            except Exception as problem:
                error = problem
            self._says(error)
            with self._changed:
                if isinstance(error, OSError | HTTPException):
                    if self._changed.wait_for(lambda: self._until < math.inf, wait):
                        return  # it closes, and nobody is there
                    wait = min(2 * wait, WAITS[1])
                    continue
                wait = WAITS[0]
                if self._waiting and self._waiting[0] is item:  # else it went as the oldest meanwhile
                    self._waiting.popleft()
                    self._sent, self._failed = self._sent + (not error), self._failed + bool(error)


class Webhook(Sink):
    """POSTs an event as JSON, signed as Standard Webhooks are: HMAC-SHA256 over a message's id, time and body."""

    def __init__(self, say: Callable[[str], None], url: str):
        parts, port = _address("--webhook", url, {"http": 80, "https": 443})
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connect = lambda: closing(kind(parts.hostname, port, timeout=TIMEOUT))
        self._secret, self._path = _secret("VADKIT_WEBHOOK_SECRET"), f"{parts.path or '/'}?{parts.query}".rstrip("?")
        super().__init__(say, f"webhook {parts.hostname}:{port}", self._secret)  # a path is often a secret, too

    def deliver(self, event: dict, folder: Path) -> None:
        body, mark, now = json.dumps(event).encode(), f"{event['id']}-{event['state']}", str(int(time.time()))
        digest = hmac.digest(self._secret.encode(), f"{mark}.{now}.".encode() + body, "sha256")
        headers = {"Content-Type": "application/json", "User-Agent": f"vadkit/{__version__}", "webhook-id": mark}
        headers |= {"webhook-timestamp": now, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
        with self._connect() as there:
            there.request("POST", self._path, body, headers)
            answer = there.getresponse()
        if answer.status >= 300:  # a redirect as well: the body goes nowhere else
            kind = OSError if answer.status in (408, 425, 429) or answer.status >= 500 else ValueError
            raise kind(f"it answers {answer.status} {answer.reason}")


class Email(Sink):
    """Mails when an event opens and when it is over. Only a server of this machine gets mails in the clear."""

    def __init__(self, say: Callable[[str], None], to: str):
        parts, port = _address("VADKIT_SMTP_URL", _secret("VADKIT_SMTP_URL"), {"smtp": 587, "smtps": 465})
        if not re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+", to):
            raise ConfigError(f"--email {shown(to)}: expected one address, NAME@HOST")
        self._to, self._server, self._smtps = to, (parts.hostname, port), parts.scheme == "smtps"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._mailed, self._times = deque(maxlen=10 * WAITING), deque(maxlen=MAILS_PER_HOUR)
        super().__init__(say, f"e-mail by {parts.hostname}:{port}", self._password, parts.password)

    def send(self, event: dict, folder: Path) -> None:
        if (mark := (event["id"], event["state"] == "open")) not in self._mailed:
            self._mailed.append(mark)
            super().send(event, folder)

    def deliver(self, event: dict, folder: Path) -> None:
        if len(self._times) == MAILS_PER_HOUR and time.monotonic() - self._times[0] < 3600:
            raise ValueError(f"{MAILS_PER_HOUR} mails went out within an hour; event {event['id']} is not mailed")
        mail, tls = self._mail(event, folder), {"context": ssl.create_default_context()}
        kind, secure = (smtplib.SMTP_SSL, tls) if self._smtps else (smtplib.SMTP, {})
        try:
            with kind(*self._server, timeout=TIMEOUT, **secure) as server:
                if not self._smtps and self._server[0] not in LOCAL:
                    server.starttls(**tls)
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(mail)
        except smtplib.SMTPException as error:  # 5xx is for good
            raise (ValueError if re.search(r"\(5\d\d, ", str(error)) else OSError)(f"it answers {error}") from None
        self._times.append(time.monotonic())

    def _mail(self, event: dict, folder: Path) -> EmailMessage:
        mail, word = EmailMessage(), "Alarm" if event["state"] == "open" else "Over"
        subject = " ".join(f"{word}: {event['category'] or 'anomaly'} at {event['camera']}".split())
        mail["Subject"], mail["To"], mail["Date"] = shown(subject, 150), self._to, datetime.now().astimezone()
        mail["From"] = self._user if "@" in self._user else self._to
        told = {name: value for name, value in event.items() if name not in ("curve", "notes") and value is not None}
        lines = [*event["notes"], *(f"{name.replace('_', ' ')}: {value}" for name, value in told.items())]
        mail.set_content("\n".join(shown(" ".join(line.split()), 500) for line in lines) + "\n")
        with suppress(OSError, TypeError):  # better without its picture, which may be None, than not at all
            picture = (folder / event["snapshot"]).read_bytes()
            mail.add_attachment(picture, maintype="image", subtype="jpeg", filename=f"{event['id']}.jpg")
        return mail


class Mqtt(Sink):
    """Publishes events, cameras' states and Home Assistant's discovery messages (MQTT binary sensor); all retained."""

    def __init__(self, say: Callable[[str], None], address: str, cameras: Sequence[str]):
        url = address if "://" in address else f"mqtt://{address}"
        parts, port = _address("--mqtt", url, {"mqtt": 1883, "mqtts": 8883})
        try:
            from paho.mqtt.client import CallbackAPIVersion, Client
        except ImportError:
            raise ConfigError("--mqtt needs paho-mqtt: pip install 'vadkit[camera]'") from None
        self._root, self._states = f"vadkit/{_level(socket.gethostname())}", dict.fromkeys(cameras, "OFF")
        self._alive = "/".join([self._root, *map(_level, cameras[:1]), "available"])
        self._up, self._client = threading.Event(), Client(CallbackAPIVersion.VERSION2)
        user, password = (os.environ.get(f"VADKIT_MQTT_{name}") for name in ("USER", "PASSWORD"))
        self._client.username_pw_set(user, password)
        self._client.will_set(self._alive, "offline", qos=1, retain=True)
        self._client.reconnect_delay_set(*WAITS)
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        self._client.on_connect = self._met
        self._client.on_disconnect = lambda *_: self._up.is_set() and self._lost("the connection is lost")
        self._client.on_connect_fail = lambda *_: self._lost(sys.exc_info()[1])  # called from where it is caught
        super().__init__(say, f"MQTT broker {parts.hostname}:{port}", password)
        self._client.connect_async(parts.hostname, port, keepalive=30)
        self._client.loop_start()

    def deliver(self, event: dict, folder: Path) -> None:
        while not self._up.wait(0.2):
            if self._until < math.inf:
                raise OSError(self._error or "not connected yet")
        self._states[event["camera"]] = "ON" if event["state"] == "open" else "OFF"
        try:
            for message in self._announce(event["camera"], event):
                message.wait_for_publish(TIMEOUT)
                if not message.is_published():
                    raise OSError("it does not confirm")
        except (RuntimeError, ValueError) as error:  # paho's, for a message that is not gone
            raise OSError(error) from None

    def close(self, timeout: float) -> None:
        super().close(timeout)
        with suppress(RuntimeError, ValueError):
            self._publish(self._alive, "offline").wait_for_publish(0.5)
        self._up.clear()  # so that nothing is called lost
        self._client.disconnect()

    def _publish(self, topic: str, text: str):
        return self._client.publish(topic, text, qos=1, retain=True)

    def _announce(self, camera: str, event: dict | None = None) -> list:
        """Publish what a camera is, its state, and its event without the curve."""
        base = f"{self._root}/{_level(camera)}"
        name, state, told = base.replace("/", "_"), f"{base}/state", f"{base}/event"
        sensor = {"name": "Anomaly", "unique_id": name, "device_class": "problem", "state_topic": state, "qos": 1}
        sensor |= {"json_attributes_topic": told, "availability_topic": self._alive, "origin": {"name": "vadkit"}}
        sensor |= {"device": {"identifiers": [name], "name": shown(camera, 100), "sw_version": __version__}}
        messages = {f"homeassistant/binary_sensor/{name}/config": json.dumps(sensor), state: self._states[camera]}
        if event:
            messages[told] = json.dumps({name: value for name, value in event.items() if name != "curve"})
        return [self._publish(*message) for message in messages.items()]

    def _met(self, client, data, flags, reason, properties) -> None:
        if reason.is_failure:
            return self._lost(f"it refuses: {reason}; see VADKIT_MQTT_USER and VADKIT_MQTT_PASSWORD")
        self._publish(self._alive, "online")
        for camera in [*self._states]:
            self._announce(camera)
        self._says(None)
        self._up.set()

    def _lost(self, why: object) -> None:
        self._up.clear()
        self._says(why)


def sinks_of(webhook=None, email=None, mqtt=None, cameras: Sequence[str] = (), say=print) -> list[Sink]:
    """The sinks asked for; MQTT announces `cameras` at once. ConfigError: an address is none, a secret is not set."""
    kinds = {Webhook: (webhook,), Email: (email,), Mqtt: (mqtt, cameras)}
    return [kind(say, *given) for kind, given in kinds.items() if given[0]]


def _address(what: str, text: str, ports: dict[str, int]) -> tuple[SplitResult, int]:
    """The parts of an address and its port, by default its scheme's. ConfigError, which does not repeat it: none."""
    with suppress(ValueError, KeyError):
        parts = urlsplit(text)
        port, known = ports[parts.scheme], parts.hostname and re.fullmatch("[!-~]+", text)
        logs_in = "smtp" in ports and parts.username and parts.password
        if known and ("@" not in parts.netloc or logs_in):
            return parts, parts.port or port
    raise ConfigError(f"{what}: expected {FORMS[what]}")


def _secret(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise ConfigError(f"the environment has no {name}; export it first (docs/camera.md says what it is)")
    return value


def _level(name: str) -> str:
    """A name as a topic's level and in Home Assistant's: letters, digits, - and _; others by their number."""
    return re.sub("[^A-Za-z0-9_-]", lambda found: f"_{ord(found[0]):x}", name)
