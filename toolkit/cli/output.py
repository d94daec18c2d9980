"""How a command speaks: one JSON document for machines, tables and lines for people, errors with an exit code."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TextIO, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from toolkit import commands
from toolkit.core.errors import (
    ExitCode,
    Infrastructure,
    LeaseHeld,
    NotSetUp,
    ProjectError,
    Refused,
    StranglerError,
    UsageError,
)

T = TypeVar("T")

ProjectOption = Annotated[
    str, typer.Option("--project", "-C", envvar="STRANGLER_PROJECT", help="Folder with strangler.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

WIDE = 200
"""Columns of a table that no terminal shows: what is piped is read by a pager, a mail, or a log."""


def _console(stream: TextIO, *, stderr: bool) -> Console:
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, highlight=False, width=width)


console = _console(sys.stdout, stderr=False)
errors = _console(sys.stderr, stderr=True)


def emit(value: T, as_json: bool, render: Callable[[T], None]) -> None:
    """Print a value: as JSON on one line that no terminal width can break, or through its renderer."""
    if as_json:
        encoded = msgspec.json.encode(value, enc_hook=_builtin)
        sys.stdout.write(encoded.decode() + "\n")
    else:
        render(value)


def emit_each(values: Sequence[T], as_json: bool, render: Callable[[T], None]) -> None:
    """Print several values: one JSON array, or each through the renderer."""

    def render_all(some: Sequence[T]) -> None:
        for one in some:
            render(one)

    emit(values, as_json, render_all)


def _builtin(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value)


def confirm(question: str) -> None:
    """Ask before something that cannot be undone lightly. Raises UsageError unless the answer is yes."""
    if not sys.stdin.isatty() or not typer.confirm(question, err=True):
        raise UsageError("nothing was done: say yes, or give --yes")


def line(text: str = "", style: str = "") -> None:
    """Print one line of text; brackets in it are text, not markup."""
    console.print(escape(text), style=style or None, soft_wrap=True)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, none: str = "none"
) -> None:
    """Print rows under headings; an empty table says so, in the words of `none`."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        made.add_row(*(escape(text_of(value)) for value in row))
        count += 1
    if count:
        console.print(made)
    else:
        line(f"{title}: {none}" if title else none)


def text_of(value: object) -> str:
    """A value as a person wants to read it."""
    if value is None:
        return "-"
    if isinstance(value, dt.timedelta):
        return span(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(text_of(one) for one in value)
    return str(value)


def promised(as_of: dt.datetime | None) -> str:
    """How far a view's promise reaches, for a sentence."""
    return "nothing is promised yet" if as_of is None else f"as of {text_of(as_of)}"


def span(length: dt.timedelta | None) -> str:
    """A length of time with the unit a person would choose."""
    if length is None:
        return "-"
    seconds = length.total_seconds()
    for limit, unit, divisor in ((1, "ms", 0.001), (120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            number = seconds / divisor
            return f"{number:.0f} {unit}" if unit == "ms" or number >= 100 else f"{number:.1f} {unit}"
    return f"{seconds / 86400:.1f} d"


def progress() -> Progress:
    """A progress bar on stderr, so that what is piped stays clean; silent when stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def fail(error: StranglerError, as_json: bool, usage: str) -> ExitCode:
    """Say what went wrong, on stderr (or as one JSON document on stdout when asked for), and return the exit code.

    `usage` is the command that tells how the one that failed is used.
    """
    if as_json:
        document: dict[str, object] = {
            "error": type(error).__name__,
            "kind": error.exit_code.name.lower(),
            "exit_code": error.exit_code,
            "message": str(error),
            "next": _next(error, usage),
        }
        if isinstance(error, ProjectError):
            document["faults"] = [
                {"where": one.where, "what": one.what, "next": one.next} for one in error.faults
            ]
        if isinstance(error, Refused):
            document["reasons"] = list(error.reasons)
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    else:
        advice = error.advice if isinstance(error, LeaseHeld) else ""
        said = str(error) + (f": {advice}" if advice else "")
        errors.print(escape(said), style="red", soft_wrap=True)
    return error.exit_code


def _next(error: StranglerError, usage: str) -> str:
    """What to do about an error, as far as its kind tells; its message may tell more."""
    match error:
        case LeaseHeld(advice=advice) if advice:
            return advice
        case ProjectError():
            return f"mend each fault, then {commands.CHECK}"
        case NotSetUp():
            return commands.SETUP
        case UsageError():
            return usage
        case Refused(reasons=reasons) if reasons:
            return "; ".join(reasons)
        case Infrastructure():
            return f"{commands.DOCTOR} tells what does not answer; run it again once that does"
        case _:
            return "the message says what stands in the way; run it again once that is mended"
