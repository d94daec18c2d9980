"""What the sections share: their base, durations and sizes."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

from toolkit.core.errors import Fault


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file: an unknown key is a fault, not a wish granted in silence."""


DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> dt.timedelta:
    """`30s`, `500ms`, `5m`, `1h`, `7d` as a timedelta. Raises ValueError saying so."""
    match = DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number and ms, s, m, h or d, e.g. 30s")
    return dt.timedelta(seconds=float(match.group(1)) * _UNITS[match.group(2)])


_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)$")
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def size(text: str) -> int:
    """`512MB`, `2GB` in bytes, by 1024 as databases count. Raises ValueError saying so."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number and B, kB, MB, GB or TB, e.g. 2GB")
    return int(float(match.group(1)) * _BYTES[match.group(2)])


def check_url(url: str, path: str, faults: list[Fault]) -> None:
    """Add a fault when a password holds a character that ends it: half of it would be taken for the host, and shown."""
    rest = url.partition("://")[2].partition("?")[0]
    user, _, host = (rest.rpartition("/")[0] or rest).partition("@")
    if not rest.startswith("/") and ":" in user and "@" in host:
        what = "the user or password of the URL has an @"
        faults.append(Fault(where=path, what=what, next="write it as %40 (and : as %3A, / as %2F)"))


def check_duration(text: str, path: str, faults: list[Fault]) -> None:
    """Add a fault when the text is no duration."""
    try:
        duration(text)
    except ValueError as error:
        faults.append(Fault(where=path, what=str(error)))


FOREVER = "forever"


def age(text: str) -> dt.timedelta | None:
    """How old something has to be to go: a duration, or None for `forever`."""
    return None if text == FOREVER else duration(text)


def check_age(text: str, least: dt.timedelta, path: str, faults: list[Fault]) -> None:
    """Add a fault when the text is neither `forever` nor a duration of at least `least`."""
    try:
        found = age(text)
    except ValueError as error:
        faults.append(Fault(where=path, what=f"{error}, or {FOREVER}"))
        return
    if found is not None and found < least:
        faults.append(
            Fault(where=path, what=f"{text} is too short", next=f"at least {least / _DAY:g}d, or {FOREVER}")
        )


_DAY = dt.timedelta(days=1)
