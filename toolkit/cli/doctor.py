"""The doctor: what is wrong with servers and flow, and the race that shows what a naive poller would lose."""

from __future__ import annotations

import typer

from toolkit.app import open_project
from toolkit.cli.output import JsonOption, ProjectOption, emit, line
from toolkit.core.ailments import Ailment
from toolkit.questions.doctor import Examined

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
