"""The files of a proposed project, and what is left to decide in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to decide; `anchor` is a text in the line of `file` where it stands."""

    file: str
    anchor: str
    what: str
    next: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The same, with the line it stands in."""

    where: str
    what: str
    next: str


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the project and what it leaves open."""

    path: str
    text: str
    open: tuple[Open, ...] = ()


def decisions(files: Sequence[Written]) -> Iterator[Decision]:
    """Everything that is open, file by file, with its line."""
    texts = {one.path: one.text.splitlines() for one in files}
    for one in files:
        for question in one.open:
            lines = texts.get(question.file, [])
            at = next((at for at, line in enumerate(lines, 1) if question.anchor in line), 1)
            yield Decision(where=f"{question.file}:{at}", what=question.what, next=question.next)
