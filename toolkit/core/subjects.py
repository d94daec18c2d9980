"""A subject's text: the value of one column, or the values of several joined so that no two subjects share a text."""

from __future__ import annotations

from collections.abc import Sequence

Columns = str | tuple[str, ...]
"""What holds a subject: one column, or several in their order."""


def columns_of(subject: Columns) -> tuple[str, ...]:
    """The columns, however many."""
    return (subject,) if isinstance(subject, str) else subject


def simplest(names: Sequence[str]) -> Columns:
    """The same columns: one is its name."""
    return names[0] if len(names) == 1 else tuple(names)


def joined(values: Sequence[object]) -> str:
    """The values separated by slashes. A slash inside one becomes %2F, so that two subjects never have one text."""
    return "/".join(str(value).replace("%", "%25").replace("/", "%2F") for value in values)


def parted(text: str) -> tuple[str, ...]:
    """The values in a joined text."""
    return tuple(part.replace("%2F", "/").replace("%25", "%") for part in text.split("/"))


def subject_text(parts: Sequence[str]) -> str:
    """The text of a subject from those of its columns (without padding; empty for NULL). Without any value it is empty."""
    if len(parts) == 1:
        return parts[0]
    return joined(parts) if any(parts) else ""
