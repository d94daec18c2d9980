"""Which keys a run asks for: the same key is always in the sample, or always out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from toolkit.core.errors import UsageError
from toolkit.settings import CapabilitySection

_SPACE = 1 << 32


@dataclass(frozen=True, slots=True)
class Key:
    """One thing to ask both sides for, as a consumer would."""

    values: tuple[tuple[str, object], ...]
    subject: str

    @property
    def parameters(self) -> dict[str, object]:
        """Name to value, as the reads take them."""
        return dict(self.values)

    @property
    def label(self) -> str:
        """The key as a person writes it: `P-100`, or `B-7/motor` when it has parts."""
        return "/".join(str(value) for _, value in self.values)


def read_keys(name: str, section: CapabilitySection, rows: Iterable[Mapping[str, object]]) -> Iterator[Key]:
    """The rows of a key list as keys. Raises UsageError naming the column that is missing or empty.

    Text loses its padding: both sides are asked as a consumer asks, who does not know the column's width.
    """
    for row in rows:
        found = {column.lower(): value for column, value in row.items()}
        values = tuple((part, _part(name, part, found)) for part in section.key)
        subject = section.subject or section.key[0]
        yield Key(values=values, subject=str(dict(values)[subject]))


def _part(name: str, part: str, row: Mapping[str, object]) -> object:
    value = row.get(part.lower())
    if value is None:
        what = f"has no column {part}" if part.lower() not in row else f"gave a row whose {part} is NULL"
        raise UsageError(
            f"capability.{name}.keys_sql {what}: select every column of key = [...], and only rows that have one"
        )
    return value.rstrip(" ") if isinstance(value, str) else value


def distinct(*lists: Iterable[Key]) -> list[Key]:
    """All keys once, in order of first appearance; what names the same thing on both sides is one key."""
    return list({key.label: key for keys in reversed(lists) for key in keys}.values())


def place(capability: str, key: Key) -> int:
    """The key's place in the sample, 0 to 2**32 - 1; the same for ever."""
    return zlib.crc32(f"{capability}\x1f{key.label}".encode("utf-8", "surrogatepass"))


def sample(capability: str, keys: Iterable[Key], share: float) -> list[Key]:
    """The keys below `share`, lowest place first, so that a cap takes the same ones in every run.

    Whatever happens to a key does not move its place: what these show, they show of all.
    """
    placed = ((place(capability, key), key) for key in keys)
    return [key for at, key in sorted(placed, key=lambda one: one[0]) if at < share * _SPACE]


def besides(
    capability: str, keys: Iterable[Key], drawn: Iterable[Key], subjects: frozenset[str]
) -> list[Key]:
    """The keys of these subjects (recently changed: where drift begins) that were not drawn, lowest place first.

    They are compared, too, but say nothing of how many of all keys differ.
    """
    taken = {key.label for key in drawn}
    found = [key for key in keys if key.subject in subjects and key.label not in taken]
    return sorted(found, key=lambda key: place(capability, key))
