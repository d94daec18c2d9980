"""The doctor: what is wrong with servers and flow, and the race that shows what a naive poller would lose."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from toolkit.app import App, open_project
from toolkit.cli.output import JsonOption, ProjectOption, emit, line, table
from toolkit.cli.stopping import stop_on_signals
from toolkit.core.ailments import Ailment
from toolkit.core.errors import ExitCode, UsageError
from toolkit.diagnosis import TABLE
from toolkit.questions.doctor import Examined
from toolkit.questions.race import Outcome
from toolkit.questions.race import race as run_race

doctor = typer.Typer(
    help="Look for what is wrong: servers, rights, clocks, capture, sessions that stall, sizes, indexes, topics. "
    "Ends with 1 when there is more than hints, with 3 when a server cannot be reached.",
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(doctor, name="doctor")


@doctor.callback()
def examine(context: typer.Context, project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Look for what is wrong: servers, rights, clocks, capture, sessions that stall, sizes, indexes, topics."""
    if context.invoked_subcommand is not None:
        return
    with open_project(project) as opened:
        found = opened.examined()
    emit(found, as_json, _show)
    raise typer.Exit(found.ending)


def _show(found: Examined) -> None:
    for one in found.findings:
        _show_finding(one)
    if found.unreachable:
        line(f"not reached: {', '.join(found.unreachable)}", style="red")
    if not found.findings:
        line(f"nothing is wrong, as far as {len(found.checks)} checks can see")


def _show_finding(one: Ailment) -> None:
    styles = {"broken": "bold red", "risk": "yellow", "hint": "cyan"}
    line(f"{one.severity}: {one.where}: {one.what}", style=styles[one.severity])
    line(f"  next: {one.next}")
    if one.evidence:
        line("  " + ", ".join(f"{name} {value}" for name, value in one.evidence.items()))


@doctor.command()
def race(
    source: Annotated[
        str, typer.Option("--source", help="The legacy source; the only one when left out.")
    ] = "",
    outbox: Annotated[
        str, typer.Option("--outbox", help="Run on a twin of this table; on a plain table when left out.")
    ] = "",
    writers: Annotated[int, typer.Option("--writers", help="Sessions that write at once.")] = 8,
    seconds: Annotated[float, typer.Option("--seconds", help="How long they write.")] = 10,
    write: Annotated[
        bool, typer.Option("--write", help="Do it; without this, what would be executed is printed.")
    ] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Race writers that commit out of order against two pollers: the usual one, which loses rows, and ours.

    Rows are written to a table that is made for it, in the legacy database, and dropped at the end.
    Your own outbox is never written to, and nothing of the race is ever relayed. Ctrl-C ends it early, with what was
    found. Ends with 1 when ours lost anything.
    """
    if writers < 1 or seconds <= 0:
        raise UsageError("--writers and --seconds have to be above 0")
    with open_project(project) as opened:
        name = _one_source(opened, source)
        with stop_on_signals() as stop, closing(opened.race_track(name, outbox, writers=writers)) as track:
            if not write:
                emit(list(track.statements()), as_json, _show_statements)
                return
            track.open()
            outcome = run_race(track, writers=writers, seconds=seconds, stop=stop)
    emit(outcome, as_json, _show_race)
    failed = outcome.ours.lost or outcome.ours.out_of_order
    raise typer.Exit(ExitCode.FINDINGS if failed else ExitCode.CLEAN)


def _one_source(opened: App, source: str) -> str:
    known = list(opened.project.settings.legacy)
    if source in known:
        return source
    if not source and len(known) == 1:
        return known[0]
    raise UsageError(f"--source: one of {', '.join(known)}")


def _show_statements(statements: list[str]) -> None:
    line(
        f"-- would be executed, then rows written, then {TABLE} dropped; give --write to do it", style="bold"
    )
    for one in statements:
        line(one + ";")


def _show_race(outcome: Outcome) -> None:
    line(
        f"{outcome.writers} writers, {outcome.seconds:g} s: {outcome.committed} rows committed, "
        f"{outcome.rolled_back} transactions rolled back"
    )
    rows = [
        (one.poller, one.committed, one.seen, one.lost, one.out_of_order, one.twice, len(one.subjects))
        for one in (outcome.naive, outcome.ours)
    ]
    heads = ("poller", "committed", "seen", "lost", "out of order", "twice", "subjects harmed")
    table("", heads, rows)
    line(", ".join(f"{name} {value}" for name, value in outcome.settings.items()))
    line(outcome.meaning, style="bold")
