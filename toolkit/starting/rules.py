"""Renders translators.py and projections.py: legacy rows in, events out; events in, rows of read models out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.starting.aggregates import Group, Member, Role
from toolkit.starting.fields import Field
from toolkit.starting.files import Open, Written
from toolkit.starting.proposal import Entry, Proposal, literal, spelled
from toolkit.starting.python import call, comment, docstring, source
from toolkit.starting.vocabulary import imports, plain

TRANSLATORS, PROJECTIONS = "translators.py", "projections.py"


def translators(proposal: Proposal) -> Written:
    """The module of translators."""
    uses_codes = any(one.codes is not None for entry in proposal.entries for one in entry.fields)
    head = [
        *docstring(
            f"The rows of {proposal.choices.source} as facts of the business. Legacy names and codes end here."
        ),
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Iterator",
        "",
        "from toolkit import Change, Event, Op, Translators",
        "",
        *(["from . import codes"] if uses_codes else []),
        "from . import events as e",
        "from . import values as v",
        "",
        f"acl = Translators({literal(proposal.choices.source)})",
    ]
    for one in proposal.groups:
        head += ["", *_aggregate(one)]
    return Written(
        path=TRANSLATORS,
        text=source(head, *(_rule(entry) for entry in proposal.entries)),
        open=tuple(question for entry in proposal.entries for question in _open(entry)),
    )


def _aggregate(one: Group) -> Iterator[str]:
    for member in one.members:
        told = {Role.ROOT: "root", Role.REFERENCE: "reference data", Role.CHILD: f"part of {one.name}"}
        yield from comment(f"{member.table.name}: {told[member.role]}; {member.reason}.")
    yield "acl.aggregate("
    yield f"    {literal(one.name)},"
    yield "    {"
    for member in one.members:
        yield f"        {_placed(member)},"
    yield "    },"
    yield ")"


def _placed(member: Member) -> str:
    subject = spelled([name.upper() for name in member.subject])
    return f"{literal(member.table.name.upper())}: {subject}"


def _rule(entry: Entry) -> list[str]:
    lines = [
        f"@acl.table({literal(entry.table.name.upper())})",
        f"def {entry.function}(change: Change) -> Iterator[Event]:",
        *docstring(f"A row of {entry.table.name} is a {plain(entry.noun)}.", indent=4),
    ]
    for part in entry.parts:
        lines.append(f"    {part.name} = {part.reader}")
    lines += ["    if change.op is Op.DELETE:", *_yield(entry, entry.withdrawn, [], 8), "        return"]
    if entry.own:
        lines += _moved(entry)
    else:
        lines.append("    if change.before is None:")
    lines += [*_yield(entry, entry.recorded, entry.fields, 8), "        return"]
    if entry.details:
        lines += _if_changed(entry.details)
        lines += _yield(entry, entry.changed, entry.details, 8)
    for status in entry.statuses:
        lines += _if_changed([status.field])
        lines += _yield(entry, status.event, [status.field], 8)
    if not entry.details and not entry.statuses:
        del lines[-1]
    return lines


def _moved(entry: Entry) -> list[str]:
    """A row whose own key changes within its subject is another row from then on."""
    columns = [literal(column.upper()) for part in entry.own for column in part.columns]
    changed = call("moved = change.before is not None and change.changed(", columns, indent=4)
    arguments = [f"{part.name}={part.name}" for part in entry.subject]
    arguments += [
        f"{part.name}={part.reader.replace('(change', '(v.before(change)', 1)}" for part in entry.own
    ]
    return [
        *changed,
        "    if moved:",
        *call(f"yield e.{entry.withdrawn}(", arguments, indent=8),
        "    if moved or change.before is None:",
    ]


def _if_changed(fields: Sequence[Field]) -> list[str]:
    return call("if change.changed(", [literal(one.upper) for one in fields], "):", indent=4)


def _yield(entry: Entry, event: str, fields: Sequence[Field], indent: int) -> list[str]:
    arguments = [f"{part.name}={part.name}" for part in entry.parts]
    arguments += [f"{one.name}={one.reader.format(v='v')}" for one in fields]
    return call(f"yield e.{event}(", arguments, indent=indent)


def _open(entry: Entry) -> Iterator[Open]:
    anchor = f"def {entry.function}("
    for one in entry.left_out:
        if one.ask:
            yield Open(
                file=TRANSLATORS,
                anchor=anchor,
                what=f"{entry.table.name}.{one.column} is left out: it {one.why}",
                next="leave it, or give it a field and a way to be read",
            )
    member = entry.member
    if member.role is Role.CHILD or len(entry.table.key) > len(member.subject):
        told = "an aggregate's root" if member.role is Role.ROOT else f"part of the aggregate {entry.group}"
        yield Open(
            file=TRANSLATORS,
            anchor=f"{_placed(member)},",
            what=f"{entry.table.name} is taken for {told}: {member.reason}",
            next="move its line to another acl.aggregate if the business sees it otherwise",
        )


def projections(proposal: Proposal) -> Written:
    """The module of projections."""
    head = [
        *docstring(f"The read models of {proposal.choices.name}, one for each captured table to begin with."),
        "",
        "from __future__ import annotations",
        "",
        *imports(
            proposal,
            "from toolkit import DELETE, Projection, on\nfrom toolkit.core.projections import Verb",
            ("from . import events as e",),
        ),
    ]
    return Written(
        path=PROJECTIONS, text=source(head, *(_projection(proposal, one) for one in proposal.entries))
    )


def _projection(proposal: Proposal, entry: Entry) -> list[str]:
    key, context = spelled([part.name for part in entry.key]), literal(proposal.choices.context)
    arguments = ["Projection", "version=1", f"context={context}", f"key={key}"]
    lines = call(f"class {entry.noun}(", arguments, "):")
    lines += [f"    {part.name}: {part.type}" for part in (*entry.key, *entry.besides)]
    lines += [f"    {one.name}: {one.hint}" for one in entry.fields]
    lines += _handler(entry, "recorded", entry.recorded, entry.fields, creates=True)
    if entry.details:
        lines += _handler(entry, "details_changed", entry.changed, entry.details)
    for status in entry.statuses:
        lines += _handler(entry, f"{status.field.name}_changed", status.event, [status.field])
    method = _free(entry, "withdrawn")
    lines += ["", f"    @on(e.{entry.withdrawn})"]
    lines += call(f"def {method}(", ["self", f"event: e.{entry.withdrawn}"], ") -> Verb:", indent=4)
    return [*lines, "        return DELETE"]


def _handler(
    entry: Entry, method: str, event: str, fields: Sequence[Field], creates: bool = False
) -> list[str]:
    made = ", creates=True" if creates else ""
    lines = ["", f"    @on(e.{event}{made})"]
    lines += call(f"def {_free(entry, method)}(", ["self", f"event: e.{event}"], ") -> None:", indent=4)
    names = [part.name for part in entry.besides] if creates else []
    names += [one.name for one in fields]
    body = [f"        self.{name} = event.{name}" for name in names]
    return [*lines, *(body or docstring("The key is all there is.", indent=8))]


def _free(entry: Entry, wanted: str) -> str:
    taken = {one.name for one in entry.fields} | {part.name for part in entry.parts}
    while wanted in taken:
        wanted += "_"
    return wanted
