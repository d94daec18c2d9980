"""Renders a proposal: strangler.toml, the modules, the SQL files, and what is left to decide in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files as resources

from toolkit import commands
from toolkit.starting import rules, vocabulary
from toolkit.starting.fields import Field
from toolkit.starting.files import Open, Written
from toolkit.starting.proposal import Proposal
from toolkit.starting.reads import Read, toml

SETTINGS, VALUES = "strangler.toml", "values.py"
ALWAYS = (
    SETTINGS,
    vocabulary.EVENTS,
    vocabulary.CODES,
    rules.TRANSLATORS,
    VALUES,
    rules.PROJECTIONS,
    "__init__.py",
)
"""The files that every project has; those in `sql` depend on what there is."""
URL_VARIABLE = "LEGACY_URL"
STATE_URL = 'url = "${STATE_URL:-sqlite:///state.db}"'


def render(proposal: Proposal, reads: Sequence[Read]) -> list[Written]:
    """Every file of the project, in the order in which a person reads them."""
    modules = [vocabulary.events(proposal)]
    if proposal.codes:
        modules.append(vocabulary.codes(proposal))
    return [
        settings(proposal, reads),
        *modules,
        rules.translators(proposal),
        _values(proposal),
        rules.projections(proposal),
        Written(path="__init__.py", text=""),
        *(file for read in reads for file in _sql(read)),
    ]


def settings(proposal: Proposal, reads: Sequence[Read]) -> Written:
    """strangler.toml."""
    choices, url = proposal.choices, proposal.database.url
    # A default that the reader of the file would cut short or fill in is worse than none.
    default = f":-{url}" if url and "}" not in url and "$" not in url else ""
    lines = [
        f"# Read from a {proposal.database.dialect} database. Passwords belong in the environment: {URL_VARIABLE}.",
        "",
        "[project]",
        f"name = {toml(choices.name)}",
        'modules = ["events", "translators", "projections"]',
        "",
        f"[legacy.{choices.source}]",
        f"url = {toml(f'${{{URL_VARIABLE}{default}}}')}",
        f"context = {toml(choices.context)}",
        'capture = "trigger"',
        "tables = [",
        *(
            f"    {toml(entry.table.name)},{_estimate(entry.table.rows, entry.table.at_least)}"
            for entry in proposal.entries
        ),
        "]",
        *(f"# {one.table} is not captured: {one.why}." for one in proposal.skipped),
        "",
        "[read_store]",
        'url = "${READ_STORE_URL:-sqlite:///read.db}"',
        *_state(choices.own_state),
    ]
    for read in reads:
        lines += ["", *_capability(read)]
    return Written(path=SETTINGS, text="\n".join(lines) + "\n", open=tuple(_open(proposal, reads)))


def _state(own: bool) -> Iterator[str]:
    """Where the toolkit keeps its own: in the read store's database, where that is SQLite or PostgreSQL."""
    yield ""
    if own:
        yield "# The toolkit's own state cannot be in a MariaDB read store: it is in SQLite, or in PostgreSQL, which several hosts share."
    else:
        yield "# The toolkit's own state is in the read store's database. A MariaDB read store cannot keep it: take these two lines in."
    yield from ("[state]", STATE_URL) if own else ("# [state]", f"# {STATE_URL}")


def _estimate(rows: int, at_least: bool) -> str:
    return f"  # {'more than' if at_least else 'about'} {rows:,} {'row' if rows == 1 else 'rows'}"


def _capability(read: Read) -> Iterator[str]:
    yield f"[capability.{_bare(read.name)}]"
    yield f"means = {toml(read.means)}"
    yield f"projection = [{', '.join(map(toml, read.projections))}]"
    for kind in ("legacy", "read", "keys"):
        yield f"{kind}_sql = {toml(_path(read, kind))}"
    yield f"key = [{', '.join(map(toml, read.key))}]"
    if read.rows:
        yield f"rows = [{', '.join(map(toml, read.rows))}]"
    if read.subject:
        yield f"subject = {toml(read.subject)}"
    yield 'read_class = "operational"'
    yield 'freshness = "30s"'
    if read.redact:
        yield f"redact = [{', '.join(map(toml, read.redact))}]"
    if read.rules:
        yield ""
        yield f"[capability.{_bare(read.name)}.compare]"
        for column, rule in read.rules.items():
            waits = "# the words of codes.py, once they are there: " if '= ""' in rule else ""
            yield f"{waits}{toml(column)} = {rule}"


def _bare(name: str) -> str:
    return name if name.isascii() else toml(name)


def _path(read: Read, kind: str) -> str:
    return f"sql/{read.name.replace('-', '_')}.{kind}.sql"


def _sql(read: Read) -> Iterator[Written]:
    legacy = [
        Open(file=_path(read, "legacy"), anchor="SELECT", what=one, next=f"see [capability.{read.name}]")
        for one in read.open
    ]
    yield Written(path=_path(read, "legacy"), text=f"-- {_commented(read.means)}\n{read.legacy_sql}")
    yield Written(path=_path(read, "read"), text=read.read_sql, open=tuple(legacy))
    yield Written(path=_path(read, "keys"), text=read.keys_sql)


def _commented(text: str) -> str:
    """A colon would be taken for a parameter there, too."""
    return " ".join(text.replace(":", " ").split())


def _values(proposal: Proposal) -> Written:
    local = [
        f"{entry.table.name}.{one.column.name}"
        for entry in proposal.entries
        for one in entry.fields
        if _is_local(one)
    ]
    text = resources("toolkit.starting").joinpath("values.py.tmpl").read_text(encoding="utf-8")
    if not local:
        return Written(path=VALUES, text=text)
    more = f" and {len(local) - 3} more" if len(local) > 3 else ""
    question = Open(
        file=VALUES,
        anchor="ZONE = ",
        what=f"{', '.join(local[:3])}{more} have no time zone, and are taken for UTC",
        next="say whose clock wrote them, here and as `zone` in the compare rules",
    )
    return Written(path=VALUES, text=text, open=(question,))


def _is_local(field: Field) -> bool:
    return field.type == "dt.datetime" and field.column.kind.value == "local"


def _open(proposal: Proposal, reads: Sequence[Read]) -> Iterator[Open]:
    for one in proposal.skipped:
        anchor = f"# {one.table} is not captured"
        yield Open(
            file=SETTINGS, anchor=anchor, what=f"{one.table} is not captured: {one.why}", next=one.next
        )
    for table in (entry.table for entry in proposal.entries):
        sample = table.column(table.key[0]).sample if len(table.key) == 1 else None
        if sample is not None and sample.alike:
            spelt = " and ".join(map(repr, sample.alike))
            yield Open(
                file=SETTINGS,
                anchor=f"    {toml(table.name)},",
                what=f"{table.name}: the keys {spelt} differ in nothing but blanks at their end, so that they would be one "
                "subject: both rows will be parked",
                next=f"give one of them another key, or delete it; {commands.CAPTURE_PLAN} says how many there are",
            )
    if proposal.choices.context == proposal.choices.name:
        yield Open(
            file=SETTINGS,
            anchor="context = ",
            what="everything is one bounded context, called after the database",
            next="name it, and give contexts of their own to what other people own (events.py)",
        )
    if reads:
        yield Open(
            file=SETTINGS,
            anchor="read_class = ",
            what="every read is taken for an operational one that may be 30 s behind",
            next="say read_class, freshness and when_stale of each capability",
        )
