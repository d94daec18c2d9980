"""Commands about versions of projections: list, rebuild, verify, compare, switch, drop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from toolkit import commands
from toolkit.app import App, open_project
from toolkit.cli.elsewhere import Elsewhere
from toolkit.cli.options import (
    ProjectionArgument,
    VersionOption,
    WhoOption,
    WhyOption,
    YesOption,
    login,
)
from toolkit.cli.output import (
    JsonOption,
    ProjectOption,
    confirm,
    emit,
    line,
    progress,
    promised,
    table,
    text_of,
)
from toolkit.cli.stopping import stop_on_signals
from toolkit.core.errors import ExitCode, UsageError
from toolkit.core.projections import Definition
from toolkit.cutover.facts import serving_versions
from toolkit.cutover.switching import let_serve, unfollowed
from toolkit.loops.differing import Cause, Explained, explained
from toolkit.loops.following import drop as remove
from toolkit.loops.history import Origin
from toolkit.loops.rebuild import Progress, Rebuilt, compare_versions
from toolkit.loops.verify import verify as replay_twice
from toolkit.ports import VersionState

logger = logging.getLogger("strangler.project")

ServingOption = Annotated[int, typer.Option("--version", "-v", help="Which version; 0: the one that serves.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(versions)
    app.command()(rebuild)
    app.command()(verify)
    app.command()(compare)
    app.command()(switch)
    app.command()(drop)


def versions(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """List the versions in the read store and in the code."""
    with open_project(project) as opened:
        found = opened.store.versions()
        stored = {(one.projection, one.version) for one in found}
        undecided = [one for name in opened.project.projections if (one := opened.wanted.undecided(name))]
        only_code = [
            one.identity
            for all_ in opened.project.projections.values()
            for one in all_.values()
            if (one.name, one.version) not in stored
        ]
    told = {"versions": found, "not_built": only_code, "undecided": undecided}
    emit(told, as_json, lambda _: _show_versions(found, only_code, undecided))


def _show_versions(
    found: list[VersionState], only_code: Sequence[str] = (), undecided: Sequence[str] = ()
) -> None:
    rows = [
        (f"{one.projection} v{one.version}", one.serving, one.state, one.detail, one.built_at, one.updated_at)
        for one in found
    ]
    table("versions", ("version", "serves", "state", "detail", "built", "last wrote"), rows)
    if only_code:
        line(f"in the code, not built: {', '.join(only_code)}")
    for one in undecided:
        line(one)


def _wanted(opened: App, projection: str, version: int) -> Definition:
    known = opened.project.projections.get(projection)
    if known is None:
        there = ", ".join(opened.project.projections)
        raise UsageError(f"there is no projection {projection} in this project; there are {there}")
    return opened.project.definition(projection, version or max(known))


def rebuild(
    projection: ProjectionArgument,
    version: VersionOption = 0,
    origin: Annotated[
        Origin,
        typer.Option(
            "--from", help="Where its events come from; both are asked first whether they have all."
        ),
    ] = Origin.ARCHIVE,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Build a version from its history, beside the one that serves. Can be stopped; goes on where it was."""
    with open_project(project) as opened, stop_on_signals() as stop, progress() as bar:
        definition = _wanted(opened, projection, version)
        task = bar.add_task(f"rebuild {definition.identity}", total=None)

        def advance(seen: Progress) -> None:
            bar.update(task, total=seen.total, completed=seen.done)

        done = opened.rebuild(definition, origin).run(stop, advance)
        serving = serving_versions(opened.store, [projection]).get(projection)
        alone = unfollowed(opened.leases, projection, serving, definition.version, opened.clock())
    if done.complete and alone:
        logger.warning("%s: %s", definition.identity, alone)
    emit(done, as_json, _show_rebuilt)
    raise typer.Exit(ExitCode.CLEAN if done.complete else ExitCode.FINDINGS)


def _show_rebuilt(done: Rebuilt) -> None:
    parked = f", {done.parked} parked" if done.parked else ""
    seconds = done.took.total_seconds()
    line(
        f"{done.projection} v{done.version}: {done.events:,} events in {seconds:.1f} s{parked}; {promised(done.as_of)}"
    )
    line("complete" if done.complete else done.detail)


def verify(
    projection: ProjectionArgument,
    version: ServingOption = 0,
    here: Annotated[bool, typer.Option("--here", help="In this process alone.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Replay a version's history twice, in different orders and batches, and once in another process with other hashes,
    time zone and language; compare with each other and with the live table, which may be written meanwhile. Recorded. Ends
    with 1 when something differs, or cannot be told now (which is not recorded).
    """
    with open_project(project) as opened:
        serving = serving_versions(opened.store, [projection])
        definition = _wanted(opened, projection, version or serving.get(projection, 0))
        done = replay_twice(
            definition,
            opened.project.catalogue,
            opened.store,
            opened.state.archive,
            opened.clock,
            elsewhere=None if here else Elsewhere(opened.project.folder, definition),
        )
        opened.evidence.save_verification(done.record)
    told = {
        **msgspec.structs.asdict(done.record),
        "differing": done.found.differing,
        "undecided": done.found.undecided,
    }
    emit(told, as_json, lambda _: line(f"{definition.identity}: {done.record.detail}"))
    raise typer.Exit(ExitCode.CLEAN if done.record.holds else ExitCode.FINDINGS)


def compare(
    projection: ProjectionArgument,
    old: Annotated[int, typer.Option("--old", help="The one version.")],
    new: Annotated[int, typer.Option("--new", help="The other version.")],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Compare two versions row by row: how many differ, in which columns, with examples, and the event since which they do.
    Ends with 1 when some do.
    """
    with open_project(project) as opened:
        versions = _comparable(opened, projection, old), _comparable(opened, projection, new)
        found = compare_versions(opened.store, *versions)
        done = explained(found, *versions, opened.project.catalogue, opened.store, opened.state.archive)
    emit(done, as_json, _show_compared)
    differ = done.different or done.only_old or done.only_new
    raise typer.Exit(ExitCode.FINDINGS if differ else ExitCode.CLEAN)


def _comparable(opened: App, projection: str, version: int) -> Definition:
    """A version that is in the code and in the read store: the one says what its rows are, the other has them."""
    built = [one.version for one in opened.store.versions(projection)]
    known = opened.project.projections.get(projection, {})
    if version in built and version not in known:
        there = ", ".join(f"v{one}" for one in known) or "none"
        raise UsageError(
            f"{projection} v{version} is in the read store, and no longer in the code (which has {there}), so that nobody knows "
            f"what its rows are: take its class back into the project, or `{commands.drop(projection, version)}`"
        )
    if version in known and version not in built:
        raise UsageError(
            f"{projection} v{version} is not built: run `{commands.rebuild(projection, version)}` first"
        )
    return opened.project.definition(projection, version)


def _show_compared(done: Explained) -> None:
    line(
        f"{done.same:,} rows are the same, {done.different:,} differ, "
        f"{done.only_old:,} only in v{done.old}, {done.only_new:,} only in v{done.new}"
    )
    for column, count in done.by_column.items():
        one = next(example for example in done.examples if example.column == column)
        was, becomes = text_of(one.old), text_of(one.new)
        line(f"  {column}: {count:,} rows, e.g. {one.key}: v{done.old} {was}, v{done.new} {becomes}")
    for what, columns in (("gone", done.columns_gone), ("new", done.columns_new)):
        if columns:
            line(f"columns {what}: {', '.join(columns)}")
    for cause in done.why:
        where = f"{cause.column} of {cause.key}" if cause.column else f"the row {cause.key}"
        if cause.time is not None:
            line(
                f"why: {where} differs since {cause.event} of {cause.time:%Y-%m-%d %H:%M:%S} ({cause.event_id})"
            )
        for reason in cause.behind:
            line(f"  {reason}")
        for reason in cause.parked:
            line(f"  not applied by {reason}")
        for drift in cause.drifted:
            has, given = (_shown(cause, value) for value in (drift.has, drift.given))
            line(
                f"why: {where} in v{drift.version} is not what its events give: it has {has}, they give {given}"
            )
            line(f"  next  {drift.next}")


def _shown(cause: Cause, value: object) -> str:
    return text_of(value) if cause.column else "a row" if value else "no row"


def switch(
    projection: ProjectionArgument,
    version: VersionOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Whatever stands against it; needs --why.")] = False,
    why: WhyOption = "",
    who: WhoOption = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Let another version serve, in one transaction. The former one keeps running, for the way back. Where a capability is
    served by the view, it has to be verified and kept up to date.
    """
    if force and not why.strip():
        raise UsageError("to force a switch, say why: --why WHY")
    with open_project(project) as opened:
        number, person = _wanted(opened, projection, version).version, who or login()
        opened.wanted.note(projection)
        ledger = opened.state.serving
        let_serve(opened.inside, ledger, projection, number, who=person, why=why, force=force)
        found = opened.store.versions(projection)
        if not found:
            logger.warning("%s v%d is not in the read store: it serves once it is there", projection, number)
    emit(found, as_json, _show_versions)


def drop(
    projection: ProjectionArgument,
    version: Annotated[int, typer.Option("--version", "-v", help="Which version.")],
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Remove a version that does not serve, with its table. Whoever follows it stops by itself."""
    with open_project(project) as opened:
        known = {one.version for one in opened.store.versions(projection)}
        if version not in known:
            raise UsageError(f"the read store has no {projection} v{version}")
        if not yes:
            confirm(f"Drop {projection} v{version} and its table?")
        opened.wanted.note(projection)
        remove(opened.store, projection, version, opened.state.leases, opened.owner, opened.clock)
    emit({"dropped": f"{projection} v{version}"}, as_json, lambda one: line("; ".join(one.values())))
