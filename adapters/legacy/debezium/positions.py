"""What the inbox keeps of this capture by name: how far each partition was taken, what was seen and what is promised."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping

import msgspec

from adapters.kafka import Partition
from toolkit.inbox import Inbox
from toolkit.ports import CapturedTable

INSTALLED, BEGAN, TOLD, PROVED = "installed", "began", "told", "proved"
_LONGEST = 160


class Told(msgspec.Struct, kw_only=True):
    """What the messages told besides changes.

    `instants` by connector: everything committed before was sent before the message that told it.
    """

    instants: dict[str, dt.datetime] = {}
    ignored: dict[str, int] = {}
    truncated: dict[str, str] = {}
    broken: int = 0


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """All that was committed by `instant` has a number up to `number`."""

    instant: dt.datetime
    number: int


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """The tables that are captured, and since when."""

    tables: list[CapturedTable]
    since: dt.datetime


class Positions:
    """Named values of one inbox; a step gathers what it moves, with what it was."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._known: dict[str, str | None] = {}
        self._moved: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """The value as it is stored."""
        if name not in self._known:
            self._known[name] = self._inbox.position(name)
        return self._known[name]

    def set(self, name: str, value: str) -> None:
        """What the next `put` is to store."""
        if self.get(name) != value:
            self._moved[name] = value
        else:
            self._moved.pop(name, None)

    @property
    def moved(self) -> Mapping[str, tuple[str | None, str]]:
        """What `put` is to be given."""
        return {name: (self._known[name], value) for name, value in self._moved.items()}

    def stored(self) -> None:
        """After `put`."""
        self._known |= self._moved
        self._moved.clear()


def at_name(at: Partition) -> str:
    """The name of a partition's position."""
    return f"at:{_short(at[0])}:{at[1]}"


def topic_name(topic: str) -> str:
    """The name under which a topic's id is kept."""
    return f"topic:{_short(topic)}"


def _short(topic: str) -> str:
    if len(topic) <= _LONGEST:
        return topic
    return topic[: _LONGEST - 32] + hashlib.sha256(topic.encode()).hexdigest()[:32]


def installed(inbox: Inbox) -> Installed | None:
    """What is installed, if anything."""
    text = inbox.position(INSTALLED)
    return msgspec.json.decode(text, type=Installed) if text else None


def proved(inbox: Inbox) -> Proved | None:
    """What was proved last, by whichever process."""
    text = inbox.position(PROVED)
    return msgspec.json.decode(text, type=Proved) if text else None


def told(inbox: Inbox) -> Told:
    """What the messages told so far."""
    text = inbox.position(TOLD)
    return msgspec.json.decode(text, type=Told) if text else Told()
