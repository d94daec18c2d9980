"""Commands about the end of the archive: what is kept since when, and prune."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from toolkit.app import App, open_project
from toolkit.cli.options import YesOption
from toolkit.cli.output import JsonOption, ProjectOption, confirm, emit, line, table, text_of
from toolkit.cli.stopping import stop_on_signals
from toolkit.core.errors import ExitCode, UsageError
from toolkit.loops.prune import Prune, Pruned, PrunePlan
from toolkit.questions.retention import Archived, archived, limits, losses

archive = typer.Typer(help="How far back history reaches: status, prune.", no_args_is_help=True)

ForgoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--forgo", help="A projection that need not be rebuilt or verified from the archive any more."
    ),
]
_MEGABYTE = 1024**2


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(archive, name="archive")


def _prune(opened: App) -> Prune:
    return Prune(
        opened.state.retention,
        opened.store,
        opened.log,
        opened.state.leases,
        opened.project.topics,
        opened.clock,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        losses=lambda: losses(opened.around),
        tally=opened.state.kinds.seen,
    )


@archive.command()
def status(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Say since when events are kept, in the archive and in the log, and what `prune` would do by strangler.toml."""
    with open_project(project) as opened:
        plan = _prune(opened).plan(limits(opened.around))
        found = archived(opened.around, opened.state.retention, plan)
    emit(found, as_json, _show_archived)


def _show_archived(found: Archived) -> None:
    since = "since the beginning" if found.whole else f"since {found.since and text_of(found.since)}"
    since = since if found.whole or found.since else "no more"
    since += "" if found.whole else ", not from the beginning"
    size = "" if found.size is None else f", {found.size / _MEGABYTE:,.1f} MB"
    line(
        f"events are kept {since}{size}; archive.keep = {found.keep}, log.keep = {found.log_keep}",
        style="bold",
    )
    rows = [
        (f"{one.topic}[{one.partition}]", one.first, one.since, one.events, one.log_first, one.log_records)
        for one in found.partitions
    ]
    table("", ("partition", "first event", "of", "events", "log from offset", "records"), rows)
    if found.stray:
        line(f"{found.stray:,} events lie in no time partition of their own: they are removed row by row")
    if found.next:
        line(f"next  {found.next}")
    _show_plan(found.plan)


def _show_plan(plan: PrunePlan) -> None:
    if plan.before is None and plan.log_before is None:
        line("a prune removes nothing: archive.keep and log.keep say forever")
    for what, limit, parts in (
        ("events archived", plan.before, plan.events),
        ("records", plan.log_before, plan.records),
    ):
        if limit is None:
            continue
        gone = sum(one.count for one in parts)
        line(f"a prune removes {gone:,} {what} before {text_of(limit)}")
        for one in parts:
            if one.held:
                line(f"  held  {one.topic}[{one.partition}], from {one.until} on: {one.held}")
    for loss in plan.losses:
        line(f"  lost  {loss.projection}", style="yellow")
        for why in loss.why:
            line(f"        {why}")


@archive.command()
def prune(
    forgo: ForgoOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and what it costs.")
    ] = False,
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Remove what is older than archive.keep and log.keep say, and needed by nobody. Can be stopped; goes on where it was.

    The first prune takes the beginning of history, without which nothing is rebuilt: each projection has to be named.
    """
    named = forgo or []
    with open_project(project) as opened, stop_on_signals() as stop:
        unknown = sorted(set(named) - opened.project.projections.keys())
        if unknown:
            raise UsageError(f"there is no projection {', '.join(unknown)} in this project")
        work, wanted = _prune(opened), limits(opened.around)
        if dry_run:
            plan = work.plan(wanted)
            emit(plan, as_json, _show_plan)
            raise typer.Exit(ExitCode.FINDINGS if plan.unnamed(named) else ExitCode.CLEAN)
        opened.prepare_archive()
        if wanted.archive is not None and named and not yes:
            confirm(f"Remove the beginning of the history of {', '.join(named)}?")
        done = work.run(wanted, named, stop)
    emit(done, as_json, _show_pruned)
    raise typer.Exit(ExitCode.CLEAN if done.complete else ExitCode.FINDINGS)


def _show_pruned(done: Pruned) -> None:
    line(f"{done.events:,} events and {done.records:,} records of the log removed")
    if done.dropped:
        line(f"dropped: {', '.join(done.dropped)}")
    if done.busy:
        line(f"held by somebody, emptied row by row, dropped the next time: {', '.join(done.busy)}")
    for who in done.spared:
        line(f"spared: {who}")
    if not done.complete:
        line("stopped; the same command goes on")
