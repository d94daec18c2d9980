"""`strangler init`: a project to start from, made from the legacy database itself."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from adapters.legacy.reflect.database import Wanted, read_facts
from adapters.read_store.trial import SqliteTrial
from toolkit.cli.output import JsonOption, emit, line, table
from toolkit.core.errors import Fault, ProjectError, UsageError
from toolkit.loader import load
from toolkit.starting import names
from toolkit.starting.facts import Database
from toolkit.starting.files import Written
from toolkit.starting.project import ALWAYS, render
from toolkit.starting.proposal import Choices, propose
from toolkit.starting.reads import reads
from toolkit.starting.report import Report, TableReport, report

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        envvar="LEGACY_URL",
        help="SQLAlchemy URL of the legacy database; LEGACY_URL in the environment keeps a password off the command line.",
    ),
]
_NAMES = "Patterns (`order*`), separated by commas or given again."


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(init)


def init(
    folder: Annotated[
        str, typer.Argument(help="Where the project is written; nothing there is overwritten.")
    ],
    url: FromOption,
    schema: Annotated[
        str, typer.Option("--schema", help="The schema; the database's usual one by default.")
    ] = "",
    tables: Annotated[
        list[str] | None, typer.Option("--tables", help=f"Only these tables and views. {_NAMES}")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help=f"Without these tables and views. {_NAMES}")
    ] = None,
    name: Annotated[
        str,
        typer.Option("--name", help="The project's name; it prefixes the topics. The database's by default."),
    ] = "",
    context: Annotated[
        str, typer.Option("--context", help="The bounded context that owns the data; the name by default.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Read a legacy database (read-only, limited in time, in samples) and write a project to start from."""
    target = Path(folder)
    _refuse(target, ALWAYS)
    wanted = Wanted(schema=schema, tables=_patterns(tables), exclude=_patterns(exclude))
    database = read_facts(url, wanted)
    proposal = propose(database, _choices(database, name, context))
    if not proposal.entries:
        told = [
            Fault(where=one.table, what=f"not captured: {one.why}", next=one.next) for one in proposal.skipped
        ]
        raise ProjectError(told)
    proposed = reads(proposal, SqliteTrial())
    files = render(proposal, proposed)
    _loads(files)
    _write(target, files)
    emit(report(folder, proposal, proposed, files), as_json, _show)


def _patterns(given: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for one in given or () for part in one.split(",") if part.strip())


def _choices(database: Database, name: str, context: str) -> Choices:
    source = _plain(database.name, "_") or "legacy"
    called = _plain(name, "-") if name else _plain(database.name, "-") or "legacy"
    if name and called != name:
        raise UsageError(
            f"--name: {name!r} would be part of topics: use letters, digits and -, e.g. {called or 'shop'}"
        )
    read_store = os.environ.get("READ_STORE_URL", "").partition(":")[0].partition("+")[0].lower()
    own_state = read_store in ("mariadb", "mysql")
    return Choices(name=called, source=source, context=context or called, own_state=own_state)


def _plain(name: str, between: str) -> str:
    """The name in letters that topics and TOML's bare keys may have."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", between, between.join(names.words(ascii_only))).strip(between)


def _refuse(target: Path, paths: Sequence[str]) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file: name a folder")
    there = [path for path in paths if (target / path).exists()]
    if there:
        raise UsageError(
            f"nothing was written: {target} has {', '.join(there)} already; name another folder, or move them away"
        )


def _loads(files: Sequence[Written]) -> None:
    """Judged elsewhere, so that what does not load is not left behind in the way of the next try."""
    with TemporaryDirectory(prefix="strangler-init-") as folder:
        elsewhere = Path(folder).resolve()
        _write(elsewhere, files)
        try:
            load(elsewhere)
        except ProjectError as error:
            told = [replace(one, where=one.where.replace(f"{elsewhere}/", "")) for one in error.faults]
            raise ProjectError(told) from error


def _write(target: Path, files: Sequence[Written]) -> None:
    """All of them, or none where one is there."""
    _refuse(target, [one.path for one in files])
    for one in files:
        path = target / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(one.text)


def _show(found: Report) -> None:
    table(
        "tables",
        ("table", "rows", "key", "aggregate", "why"),
        [(one.table, _rows(one), one.key or "none", _place(one), _why(one)) for one in found.tables],
    )
    marks = [
        (f"{one.table}.{mark.column}", "; ".join(mark.warnings) or "indexed, never empty in the sample")
        for one in found.tables
        for mark in one.watermarks
    ]
    if marks:
        table("columns that say when a row was written", ("column", ""), marks)
    columns = [
        (f"{one.table}.{column}", note) for one in found.tables for column, note in one.columns.items()
    ] + [(one.table, reference) for one in found.tables for reference in one.references]
    if columns:
        table("columns to know of", ("column", ""), columns)
    if found.codes:
        rows = [(f"{one.table}.{one.column}", one.values, one.unnamed or "none") for one in found.codes]
        coded = [(where, _counted(values), unnamed) for where, values, unnamed in rows]
        table("codes", ("column", "values, as often as sampled", "without a name"), coded)
    table("capabilities", ("capability", "projections"), found.capabilities.items())
    if found.trouble:
        table("could not be read", ("", ""), found.trouble.items())
    table(
        "to decide", ("where", "what", "next"), [(one.where, one.what, one.next) for one in found.to_decide]
    )
    line(f"{found.folder}: {len(found.files)} files, and it loads. Next, in that folder:")
    line("  strangler check && strangler setup && strangler capture plan")


def _rows(one: TableReport) -> str:
    return f"{'>' if one.at_least else '~'}{one.rows:,}"


def _place(one: TableReport) -> str:
    return f"{one.aggregate} ({one.role})" if one.aggregate else "not captured"


def _why(one: TableReport) -> str:
    return one.reason or one.not_captured


def _counted(values: dict[str, int]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in values.items())
