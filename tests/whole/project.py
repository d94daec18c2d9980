"""A project that knows nothing of what the rows mean: each change states its row, or says that it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SOURCE = "whole"
Aggregates = Mapping[str, Mapping[str, str]]
"""Aggregate to its tables, the main one first, each with the column of the subject."""

_EVENTS = """
from toolkit.core.events import Context, Event

rows = Context("rows")

@rows.event(subject="number", means="The row stands so from now on.")
class FactStated(Event):
    number: str
    table: str
    row: str

@rows.event(subject="number", means="The row with this key is gone.")
class FactWithdrawn(Event):
    number: str
    table: str
    row: str
"""
_TRANSLATORS = """
import msgspec
from toolkit.core.translators import Translators
from .events import FactWithdrawn, FactStated

acl = Translators("whole")
encode = msgspec.json.Encoder(decimal_format="number").encode

def row(change):
    before, after = change.before, change.after
    moved = before is not None and after is not None and any(before[one] != after[one] for one in change.key)
    if before is not None and (after is None or moved):
        yield FactWithdrawn(number=change.subject, table=change.table, row=encode(before).decode())
    if after is not None:
        yield FactStated(number=change.subject, table=change.table, row=encode(after).decode())

for name, tables in AGGREGATES.items():
    acl.aggregate(name, tables)
    for table in tables:
        acl.table(table)(row)
"""
_SETTINGS = """
[project]
name = "whole"
modules = ["events", "translators"]
[legacy.whole]
url = "{url}"
context = "rows"
capture = "trigger"
tables = {tables}
chunk = {chunk}
[read_store]
url = "sqlite:///read.db"
"""


def write_project(folder: Path, url: str, aggregates: Aggregates, *, chunk: int) -> Path:
    """Write it for these tables of the database at `url`."""
    given = {name: dict(tables) for name, tables in aggregates.items()}
    tables = [table for some in given.values() for table in some]
    (folder / "events.py").write_text(_EVENTS)
    (folder / "translators.py").write_text(_TRANSLATORS.replace("AGGREGATES", repr(given)))
    settings = _SETTINGS.format(url=url, tables=str(tables).replace("'", '"'), chunk=chunk)
    (folder / "strangler.toml").write_text(settings)
    return folder
