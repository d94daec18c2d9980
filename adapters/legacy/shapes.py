"""What became of a captured table since capture was installed, and what a person has to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.legacy.images import Captured, Shape
from toolkit.ports import Hole

AGAIN = "remove and install capture, then backfill: changes were missed since"
ACCEPT = "see what it means to the translators, then install capture again to accept it"

_LACKING = "the changes have it no more, and those whose translators read it are parked"


def altered(table: Captured, now: Shape, *, listed: bool = False) -> Iterator[Hole]:
    """The differences. `listed`: the triggers name the columns they know, so that a new one is not captured."""
    was = table.shape
    for what, next_step in (*_columns(table, was, now, listed), *_others(was, now)):
        yield Hole(where=table.table, what=what, next=next_step)


def _columns(table: Captured, was: Shape, now: Shape, listed: bool) -> Iterator[tuple[str, str]]:
    for name in (name for name in now.columns if name not in was.columns):
        if listed or table.chosen.columns:
            yield f"the column {name} was added and is not captured", ACCEPT
        else:
            yield f"the column {name} was added: it is captured, and translators do not know it", ACCEPT
    for name in was.columns:
        if name not in now.columns:
            if name not in table.subjects:
                yield f"the column {name} is gone (dropped or renamed): {_LACKING}", ACCEPT
        elif was.columns[name] != now.columns[name]:
            yield f"the column {name} is {now.columns[name]} now, and was {was.columns[name]}", ACCEPT


def _others(was: Shape, now: Shape) -> Iterator[tuple[str, str]]:
    if was.key != now.key:
        yield (
            f"its key is {', '.join(now.key) or 'gone'} now, and was {', '.join(was.key) or 'none'}",
            "install capture again, then backfill: rows are known by another key",
        )
    for name in (name for name in now.partitions if name not in was.partitions):
        yield (
            f"the partition {name} is new: rows that it came with are in no change, nor is a TRUNCATE of it alone",
            f"install capture again; if it came with rows, {AGAIN}",
        )
    for name in (name for name in was.partitions if name not in now.partitions):
        yield (
            f"the partition {name} is gone: the rows that went with it are in no change",
            "install capture again; the shadow run finds their rows in the views",
        )


def followed(child: str, parent: str, columns: Iterable[str]) -> Hole:
    """A foreign key takes rows to another subject, on an engine whose triggers cannot tell that it was one transaction."""
    what = (
        f"ON UPDATE CASCADE: when {', '.join(columns)} of {parent} changes, its rows come to the new subject before the row of "
        f"{parent} does, and a projection in which only {parent} creates a row parks what it hears of them"
    )
    said = "let the projection create the row from these events, too, or let the application insert, move and delete by itself"
    return Hole(where=child, what=what, next=said, escapes=False)
