"""Commands that repair: show what can be done, replay what is parked, fold a key again."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from toolkit import commands
from toolkit.app import App, open_project
from toolkit.cli.options import OptionalCapability, ProjectionArgument, YesOption
from toolkit.cli.output import JsonOption, ProjectOption, confirm, emit, emit_each, line, table, text_of
from toolkit.core.errors import ExitCode, LeaseHeld, Refused, UsageError
from toolkit.core.projections import Definition
from toolkit.core.unclassified import Unclassified
from toolkit.cutover.facts import Around, open_shapes, reading_once, serving_versions
from toolkit.loops.replay import Reprojected, key_of, replay_parked, reproject, skip_parked
from toolkit.loops.verify import code_hash
from toolkit.ports import SkippedEvent
from toolkit.questions.parked import ParkedOne, ParkedReason, alike, parked_ones, parked_reasons
from toolkit.questions.repair import Action, Kind, plan

repair = typer.Typer(
    help="How do we repair it: show, parked, unclassified, changes, events, skip, key.", no_args_is_help=True
)
ParkedForOption = Annotated[
    str, typer.Option("--parked-for", help="Only what is parked for a reason with this text in it.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(repair, name="repair")


@repair.command()
def show(
    capability: OptionalCapability = "", project: ProjectOption = ".", as_json: JsonOption = False
) -> None:
    """Say what is to be repaired, why, and with which commands.

    Ends with 1 when there is something, with 3 when something that would tell does not answer.
    """
    with open_project(project) as opened:
        names = [capability] if capability else list(opened.project.settings.capability)
        around = reading_once(opened.around)
        found = {name: _actions(opened, around, name) for name in names}
    emit(found, as_json, _show_actions)
    if any(one.kind is Kind.REACH for actions in found.values() for one in actions):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    raise typer.Exit(ExitCode.FINDINGS if any(found.values()) else ExitCode.CLEAN)


def _actions(opened: App, around: Around, capability: str) -> list[Action]:
    opened.project.capability(capability)
    discrepancies = opened.evidence.open_discrepancies(capability, opened.clock())
    return plan(around, capability, discrepancies)


def _show_actions(found: dict[str, list[Action]]) -> None:
    for name, actions in found.items():
        if not actions:
            line(f"{name}: nothing to repair")
            continue
        table(name, ("do", "why", "command"), [(one.kind, one.why, one.command) for one in actions])


@repair.command()
def parked(
    capability: OptionalCapability = "",
    each: Annotated[
        bool, typer.Option("--all", help="Each thing on a line, instead of each reason.")
    ] = False,
    because: ParkedForOption = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """List what is parked, by reason: how much, how much is held back behind it, and the first row in full.

    With `--all` every single change and event. Ends with 1 when there are any.
    """
    found: list[ParkedOne] | list[ParkedReason]
    with open_project(project) as opened:
        names = [capability] if capability else []
        if each:
            found = ones = parked_ones(opened.around, names, because)
            emit(ones, as_json, _show_ones)
        else:
            found = reasons = parked_reasons(opened.around, names, because)
            emit(reasons, as_json, _show_parked)
    raise typer.Exit(ExitCode.FINDINGS if found else ExitCode.CLEAN)


def _show_ones(found: list[ParkedOne]) -> None:
    if not found:
        line("nothing is parked")
    for where in dict.fromkeys(one.where for one in found):
        some = [one for one in found if one.where == where]
        rows = [(one.id, one.what, one.subject, one.parked_at, one.reason) for one in some]
        heads = ("event" if where.startswith("events") else "position", "what", "subject", "since", "reason")
        table(f"{where}: {len(some)}", heads, rows)


def _show_parked(found: list[ParkedReason]) -> None:
    if not found:
        line("nothing is parked")
    for one in found:
        line(f"{one.where}: {one.count} parked, {one.held} held back behind them", style="bold")
        line(f"  reason  {one.reason}")
        line(f"  row     {one.what} of {one.subject}: {one.row}")
        line(f"  next    mend the rule, then {one.command}")
        if one.or_skip:
            line(f"  or      {one.or_skip}")


@repair.command()
def unclassified(
    source: Annotated[str, typer.Argument(help="A legacy source; all of them when left out.")] = "",
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also those that somebody answered for, or that mean nothing by now."),
    ] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """List the kinds of change that gave no event and that no rule declares meaningless. Ends with 1 when there are any."""
    with open_project(project) as opened:
        names = [source] if source else list(opened.project.settings.legacy)
        wanted = opened.state.unclassified.of if everything else partial(open_shapes, opened.around)
        found = [one for name in names for one in wanted(_known(opened, name))]
    emit(found, as_json, _show_unclassified)
    raise typer.Exit(ExitCode.FINDINGS if any(one.open for one in found) else ExitCode.CLEAN)


def _known(opened: App, source: str) -> str:
    if source not in opened.project.settings.legacy:
        raise UsageError(f"there is no [legacy.{source}] in strangler.toml")
    return source


def _show_unclassified(found: list[Unclassified]) -> None:
    if not found:
        line("every change gave an event, is parked, or is declared meaningless")
        return
    rows = [
        (
            one.source,
            one.shape,
            one.count,
            one.subject,
            one.last_at,
            one.owner and f"{one.owner}: {one.reason}",
        )
        for one in found
    ]
    table("gave no event", ("source", "change", "times", "last of", "at", "answered by"), rows)
    first = found[0]
    line(
        f"next  give {first.shape.table} a rule for it, or declare it: acl.meaningless({first.shape.table!r}, ..., why=...);"
    )
    line(f"      or {commands.answer(first.source, str(first.shape))}")


@repair.command()
def answer(
    source: Annotated[str, typer.Argument(help="A legacy source.")],
    shape: Annotated[str, typer.Argument(help="The kind of change, as `repair unclassified` prints it.")],
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why no event was right.")],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Answer for a kind of change that gave no event, until it comes again."""
    with open_project(project) as opened:
        ledger, now = opened.state.unclassified, opened.clock()
        found = {str(one.shape): one for one in ledger.of(_known(opened, source))}
        if shape not in found:
            raise UsageError(
                f"{source} has nothing unclassified like {shape!r}; there is: {', '.join(found) or 'nothing'}"
            )
        ledger.answer(source, found[shape].shape, owner, reason, now)
    emit(
        {"source": source, "shape": shape, "owner": owner},
        as_json,
        lambda _: line(f"{owner} answers for {shape}"),
    )


@repair.command()
def changes(
    source: Annotated[str, typer.Argument(help="A legacy source; all of them when left out.")] = "",
    because: ParkedForOption = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Translate the parked changes again, with the translators as they are now. What is mended flows, in order.

    With `--parked-for`, those subjects alone that have a change parked for that reason, each with all of its changes.
    """
    with open_project(project) as opened:
        names = [source] if source else list(opened.project.settings.legacy)
        done = {name: _replay(opened, name, because) for name in names}
    if because and not any(one["tried"] for one in done.values()):
        raise UsageError(f"no change is parked for {because!r}: see `{commands.PARKED}`")
    rows = [(name, one["tried"], one["events"], one["parked"]) for name, one in done.items()]
    emit(done, as_json, lambda _: table("", ("source", "tried again", "events", "still parked"), rows))
    raise typer.Exit(ExitCode.FINDINGS if any(one["parked"] for one in done.values()) else ExitCode.CLEAN)


def _replay(opened: App, source: str, because: str) -> dict[str, int]:
    translation = opened.translation(_known(opened, source))
    relay = opened.relay(source, translation)
    try:
        with relay.leading():
            done = translation.replay(relay.epoch, lambda one: not one.held and because in alike(one))
    except LeaseHeld as error:
        raise Refused(
            f"a relay leads {source}",
            [
                str(error),
                "restart it with the mended project: it tries what is parked again before anything else",
            ],
        ) from error
    return {"tried": done.changes, "events": done.events, "parked": done.parked}


@repair.command()
def events(projection: ProjectionArgument, project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Apply the parked events of the serving version again, with the code as it is now."""
    with open_project(project) as opened:
        definition = opened.project.definition(projection, _serving(opened, projection))
        with opened.borrowed(definition, _tell):
            done = replay_parked(definition, opened.project.catalogue, opened.store, opened.clock)
    reasons = sorted({one.reason for one in done.waiting if not one.held})
    summary = {"applied": done.applied, "waiting": len(done.waiting), "reasons": reasons}
    said = f"{definition.identity}: {done.applied} applied, {len(done.waiting)} still parked"
    emit(summary, as_json, lambda _: line("\n  ".join([said, *reasons])))
    raise typer.Exit(ExitCode.FINDINGS if done.waiting else ExitCode.CLEAN)


@repair.command()
def skip(
    projection: ProjectionArgument,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the view is right without it.")],
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="Events, as `repair parked` prints them.")
    ] = None,
    because: ParkedForOption = "",
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Never apply these parked events in the serving version: what waits behind them goes on, the ledger keeps them.

    With `--parked-for` instead of events, all that are parked for that reason now; it asks before. What they held back
    is tried, and is parked itself where it fails. A rebuild of the version passes them by, too; another version meets
    them anew.
    """
    if bool(event_ids) == bool(because):
        raise UsageError(
            "name the events that are to be skipped, or give --parked-for with a text of their reason"
        )
    with open_project(project) as opened:
        definition = opened.project.definition(projection, _serving(opened, projection))
        chosen = event_ids or _parked_for(opened, definition, because, yes)
        with opened.borrowed(definition, _tell):
            done = skip_parked(
                definition,
                opened.project.catalogue,
                opened.store,
                opened.clock,
                chosen,
                owner=owner,
                reason=reason,
                code_hash=code_hash(definition),
            )
    summary = {
        "skipped": [one.event_id for one in done.skipped],
        "applied": done.applied,
        "waiting": len(done.waiting),
    }
    said = (
        f"{definition.identity}: {owner} answers for {len(done.skipped)} skipped; "
        f"{done.applied} behind them applied, {len(done.waiting)} still parked"
    )
    emit(summary, as_json, lambda _: line(said))
    raise typer.Exit(ExitCode.FINDINGS if done.waiting else ExitCode.CLEAN)


def _parked_for(opened: App, definition: Definition, because: str, yes: bool) -> list[str]:
    """The events that are parked for a reason now. Raises UsageError where there are none, or nobody says yes."""
    waiting = opened.store.parked(definition.name, definition.version)
    found = [one for one in waiting if not one.held and because in one.reason]
    if not found:
        raise UsageError(f"{definition.identity}: nothing is parked for {because!r}: see `{commands.PARKED}`")
    if not yes:
        reasons = "; ".join(sorted({one.reason for one in found}))
        confirm(f"Skip {len(found)} events of {definition.identity}, parked for: {reasons}?")
    return [one.record.envelope.id for one in found]


@repair.command()
def skipped(
    projection: Annotated[str, typer.Argument(help="A projection; all of them when left out.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """List the events that were never applied, with who answers for each and why. Ends with 1 when there are any."""
    with open_project(project) as opened:
        names = [projection] if projection else list(opened.project.projections)
        serving = serving_versions(opened.store, names)
        found = {
            f"{name} v{version}": ledger
            for name, version in serving.items()
            if (ledger := opened.store.skipped(name, version))
        }
    emit(found, as_json, _show_skipped)
    raise typer.Exit(ExitCode.FINDINGS if found else ExitCode.CLEAN)


def _show_skipped(found: dict[str, list[SkippedEvent]]) -> None:
    if not found:
        line("no event was skipped")
    for name, ledger in found.items():
        line(f"{name}: {len(ledger)} skipped", style="bold")
        for one in ledger:
            envelope = one.parked.record.envelope
            line(f"  {one.event_id}  {envelope.type} of {envelope.subject}")
            line(f"    was parked for  {one.parked.reason}")
            line(f"    data            {one.parked.record.data.decode()}")
            line(f"    answered by     {one.owner}, {text_of(one.skipped_at)}: {one.reason}")


@repair.command()
def key(
    projection: ProjectionArgument,
    values: Annotated[list[str], typer.Argument(help="The keys of the rows, as `repair show` prints them.")],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Fold rows of the serving version again, from the archive."""
    with open_project(project) as opened:
        definition = opened.project.definition(projection, _serving(opened, projection))
        for value in values:
            key_of(definition, value)  # nobody has to stand back for a key that is none
        catalogue, archive = opened.project.catalogue, opened.state.archive
        with opened.borrowed(definition, _tell):
            done = [
                reproject(definition, catalogue, opened.store, archive, value, opened.clock)
                for value in values
            ]
    emit_each(done, as_json, _show_reprojected)
    raise typer.Exit(ExitCode.FINDINGS if any(one.waiting for one in done) else ExitCode.CLEAN)


def _show_reprojected(done: Reprojected) -> None:
    state = "as it was" if done.before == done.after else "changed"
    line(f"{done.key}: folded again from {done.events} events; the row is {state}")
    before, after = done.before or {}, done.after or {}
    rows = [(name, before.get(name), after.get(name)) for name in {**before, **after}]
    table("", ("column", "before", "after"), [row for row in rows if row[1] != row[2]])


def _tell(said: str) -> None:
    typer.echo(said, err=True)


def _serving(opened: App, projection: str) -> int:
    if projection not in opened.project.projections:
        known = ", ".join(opened.project.projections) or "none"
        raise UsageError(f"there is no projection {projection} in this project; there are: {known}")
    versions = serving_versions(opened.store, [projection])
    if projection not in versions:
        raise UsageError(f"no version of {projection} serves: run `strangler project {projection}` first")
    return versions[projection]
