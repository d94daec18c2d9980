"""Renders events.py and codes.py: what happens in the business, and what the legacy codes stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.starting import names
from toolkit.starting.codes import Codes, member
from toolkit.starting.fields import MAY_BE_CENTS, Field
from toolkit.starting.files import Open, Written
from toolkit.starting.proposal import Entry, Proposal, literal, spelled
from toolkit.starting.python import call, comment, docstring, source

EVENTS, CODES = "events.py", "codes.py"


def events(proposal: Proposal) -> Written:
    """The module of events."""
    body = [block for entry in proposal.entries for block in _events_of(entry)]
    head = [
        *docstring(
            f"What happens in {proposal.choices.name}. Say what each event means, and what it does not."
        ),
        "",
        "from __future__ import annotations",
        "",
        *imports(proposal, "from toolkit import Context, Event"),
        "",
        f"business = Context({literal(proposal.choices.context)})",
    ]
    return Written(
        path=EVENTS,
        text=source(head, *body),
        open=(_NAMES, *(question for entry in proposal.entries for question in _open(entry))),
    )


_NAMES = Open(
    file=EVENTS,
    anchor="@business.event",
    what="the events are named after tables and columns",
    next="name each fact as the business says it, say what it means and what it does not imply",
)


def imports(proposal: Proposal, ours: str, own: tuple[str, ...] = ()) -> list[str]:
    """The import lines of a module that annotates fields."""
    types = {field.type for entry in proposal.entries for field in entry.fields}
    types |= {part.type for entry in proposal.entries for part in entry.parts}
    standard = ["import datetime as dt"] if any(one.startswith("dt.") for one in types) else []
    standard += ["from decimal import Decimal"] if "Decimal" in types else []
    local = ["from . import codes"] if any(one.startswith("codes.") for one in types) else []
    parts = (standard, [ours], [*local, *own])
    return "\n\n".join("\n".join(part) for part in parts if part).splitlines()


def plain(noun: str) -> str:
    """The words of a class's name, as a sentence has them."""
    return " ".join(names.words(noun))


def _events_of(entry: Entry) -> Iterator[list[str]]:
    what = plain(entry.noun)
    yield _event(entry, entry.recorded, f"The {what} is on record, with these details.", entry.fields)
    if entry.details:
        yield _event(entry, entry.changed, f"Details of the {what} are these from now on.", entry.details)
    for status in entry.statuses:
        told = f"The {plain(status.field.name)} of the {what} is this one from now on."
        yield _event(entry, status.event, told, [status.field])
    yield _event(entry, entry.withdrawn, f"The {what} is not on record any more.", [])


def _event(entry: Entry, name: str, means: str, fields: Sequence[Field]) -> list[str]:
    subject = spelled([part.name for part in entry.subject])
    decorated = call("@business.event(", [f"subject={subject}", f"means={literal(means)}"])
    lines = [*decorated, f"class {name}(Event):"]
    lines += [f"    {part.name}: {part.type}" for part in entry.parts]
    for field in fields:
        if field.note and name == entry.recorded:
            lines += comment(field.note, indent=4)
        lines.append(f"    {field.name}: {field.hint}")
    return lines


def _open(entry: Entry) -> Iterator[Open]:
    for field in entry.fields:
        if MAY_BE_CENTS in field.note:
            yield Open(
                file="translators.py",
                anchor=f"{field.name}={field.reader.format(v='v')}",
                what=f"{entry.table.name}.{field.column.name}: {MAY_BE_CENTS}",
                next="ask what it counts; then v.decimal(...) / 100 and Decimal in the event",
            )


def codes(proposal: Proposal) -> Written:
    """The module of code tables."""
    tables = [one for one in proposal.codes if not one.truth]
    truths = [one for one in proposal.codes if one.truth]
    head = [
        *docstring("What the legacy codes stand for. A code without a name here parks the row that has it."),
        "",
        "from __future__ import annotations",
        "",
        *(["from enum import StrEnum", ""] if any(one.enum for one in tables) else []),
        'UNNAMED = ""',
        *docstring("Stands for the name of a code until somebody who knows it gives it one."),
    ]
    blocks = [head, *(_enum(one) if one.enum else _mapping(one) for one in tables), *map(_truth, truths)]
    return Written(
        path=CODES,
        text=source(*blocks),
        open=tuple(one for table in proposal.codes for one in _unnamed(table)),
    )


def _told(table: Codes, code: str) -> str:
    count = table.values[code]
    return f"# {count:,} of {table.sampled:,} sampled rows" if count else "# in no sampled row"


def _enum(table: Codes) -> list[str]:
    taken: set[str] = set()
    lines = [f"class {table.name}(StrEnum):", *docstring(_about(table), indent=4), ""]
    for code in table.values:
        lines.append(f"    {member(code, taken)} = {literal(code)}  {_told(table, code)}")
    return lines


def _mapping(table: Codes) -> list[str]:
    lines = [*comment(_about(table)), f"{table.name}: dict[str, str] = {{"]
    for code in table.values:
        word = literal(table.named[code]) if code in table.named else "UNNAMED"
        lines.append(f"    {literal(code)}: {word},  {_told(table, code)}")
    return [*lines, "}"]


def _truth(table: Codes) -> list[str]:
    lines = [*comment(_about(table)), f"{table.name}: dict[str, bool] = {{"]
    for code in table.values:
        lines.append(f"    {literal(code)}: {table.named[code]},  {_told(table, code)}")
    return [*lines, "}"]


def _about(table: Codes) -> str:
    return f"{table.table}.{table.column}, taken for codes for {table.reason}."


def _unnamed(table: Codes) -> Iterator[Open]:
    anchor = f"class {table.name}(" if table.enum else f"{table.name}: dict"
    where = f"{table.table}.{table.column}"
    if table.unnamed:
        yield Open(
            file=CODES,
            anchor=anchor,
            what=f"{where}: nobody has said what {', '.join(table.unnamed)} stand for; rows that have them are parked",
            next="name them, then: strangler repair changes",
        )
    elif table.truth:
        yield Open(
            file=CODES,
            anchor=anchor,
            what=f"{where}: {', '.join(table.values)} are taken for yes and no",
            next="ask whether they are, and whether a third one exists",
        )
