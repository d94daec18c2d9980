"""Commands that move routes: the checklist, plan and apply, the way back, the guard."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from toolkit.app import App, open_project
from toolkit.cli.options import (
    CapabilityArgument,
    ConsumerOption,
    OptionalCapability,
    WhoOption,
    WhyOption,
    login,
)
from toolkit.cli.output import JsonOption, ProjectOption, emit, line, span, table, text_of
from toolkit.core.errors import ExitCode, UsageError
from toolkit.core.evidence import Rehearsal, Waiver
from toolkit.core.routes import ANY_CONSUMER, BUCKETS, Moved, Route, Stage, forward
from toolkit.cutover import moves as cutover
from toolkit.cutover.facts import gather, reading_once
from toolkit.cutover.gates import Checklist, evaluate, faults_of
from toolkit.cutover.guard import Watch, guard

route = typer.Typer(
    help="Where reads go: plan, apply, rollback, rehearse, history, guard.", no_args_is_help=True
)

StageArgument = Annotated[Stage, typer.Argument(help="The stage to move to.")]
ShareOption = Annotated[
    float,
    typer.Option(
        "--share",
        help="Per cent of subjects that the canary serves; `share_bp` in JSON is in hundredths of it.",
    ),
]
MARKS = {"passed": "✓", "waived": "~", "failed": "✗", "insufficient": "?"}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(route, name="route")
    app.command()(checklist)
    app.command()(waive)


def checklist(
    capability: CapabilityArgument,
    consumer: ConsumerOption = ANY_CONSUMER,
    to: Annotated[Stage | None, typer.Option("--to", help="The stage; the next one when left out.")] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Judge the gates of a capability's next stage: each with its evidence and how old that is."""
    with open_project(project) as opened:
        judged = _judge(opened, capability, consumer, to)
    emit(judged, as_json, show_checklist)
    raise typer.Exit(ExitCode.CLEAN if judged.passed else ExitCode.FINDINGS)


def _judge(opened: App, capability: str, consumer: str, to: Stage | None) -> Checklist:
    facts = gather(opened.around, capability, consumer)
    return evaluate(facts, to or forward(facts.route.stage) or Stage.RETIRED)


def show_checklist(judged: Checklist) -> None:
    """Gates as a table, and what to do next."""
    rows = [
        (MARKS[gate.outcome], gate.name, gate.outcome.value, gate.evidence, span(gate.age), gate.next)
        for gate in judged.gates
    ]
    title = f"{judged.capability} for {judged.consumer} -> {judged.stage}"
    table(title, ("", "gate", "outcome", "evidence", "age", "next"), rows)
    line("the move may be made" if judged.passed else "the move is refused", style="bold")


@route.command()
def show(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show every route."""
    with open_project(project) as opened:
        known = {(one.capability, one.consumer): one for one in opened.routes.all()}
        for name in opened.project.settings.capability:
            known.setdefault((name, ANY_CONSUMER), opened.routes.get(name))
    emit(list(known.values()), as_json, _show_routes)


def _show_routes(routes: list[Route]) -> None:
    rows = [(one.capability, one.consumer, one.label, one.revision) for one in routes]
    table("routes", ("capability", "consumer", "stage", "revision"), rows)


@route.command()
def plan(
    capability: CapabilityArgument,
    stage: StageArgument,
    share: ShareOption = 0,
    consumer: ConsumerOption = ANY_CONSUMER,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Print what `apply` would do, and what its gates say. Changes nothing."""
    with open_project(project) as opened:
        planned = _plan(opened, capability, stage, share, consumer, login(), "")
    emit({"effects": planned.effects, "checklist": planned.checklist}, as_json, lambda _: _show_plan(planned))
    raise typer.Exit(ExitCode.CLEAN if planned.nothing or planned.checklist.passed else ExitCode.FINDINGS)


def _plan(
    opened: App, capability: str, stage: Stage, share: float, consumer: str, who: str, why: str
) -> cutover.Plan:
    facts = gather(opened.around, capability, consumer)
    part = hundredths(share)
    _needs_share(facts.route, capability, consumer, stage, part)
    return cutover.plan(
        facts.route, stage, part, evaluate(facts, stage, part or None), consumer=consumer, who=who, why=why
    )


def _needs_share(route: Route, capability: str, consumer: str, stage: Stage, part: int) -> None:
    """Raise UsageError for a canary of nobody: how many is for a person to say."""
    if stage is Stage.CANARY and not part:
        raise UsageError(
            f"{capability} for {consumer}: which part of the subjects? Give --share with a per cent above 0 and up to 100 "
            f"(the route is at {route.label} now)"
        )


def hundredths(share: float) -> int:
    """Per cent as people say it, in the hundredths that routes keep."""
    part = round(share * BUCKETS / 100)
    if not 0 <= part <= BUCKETS:
        raise UsageError(f"--share {share:g} is not between 0 and 100 per cent")
    return part


def _show_plan(planned: cutover.Plan) -> None:
    show_checklist(planned.checklist)
    for effect in planned.effects:
        line(f"  {effect}")


@route.command()
def apply(
    capability: CapabilityArgument,
    stage: StageArgument,
    share: ShareOption = 0,
    consumer: ConsumerOption = ANY_CONSUMER,
    who: WhoOption = "",
    why: WhyOption = "",
    force: Annotated[str, typer.Option("--force", help="Move against the gates, for this reason.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Move a route forward, if its gates let it."""
    person = who or login()
    with open_project(project) as opened:
        planned = _plan(opened, capability, stage, share, consumer, person, why)
        forced = cutover.Force(owner=person, reason=force) if force else None
        now_at = cutover.apply(planned, opened.routes, opened.clock(), forced)
    emit(now_at, as_json, lambda _: line("\n".join(planned.effects)))


@route.command()
def rollback(
    capability: CapabilityArgument,
    to: Annotated[Stage, typer.Option("--to", help="The former stage.")] = Stage.SHADOW,
    share: ShareOption = 0,
    consumer: ConsumerOption = ANY_CONSUMER,
    who: WhoOption = "",
    why: WhyOption = "rollback",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Move a route back. No gate: the way back is always open before `retired`."""
    with open_project(project) as opened:
        was = opened.routes.get(capability, consumer)
        opened.project.capability(capability)
        _needs_share(was, capability, consumer, to, hundredths(share))
        back = cutover.rollback(
            opened.routes,
            capability,
            to,
            consumer=consumer,
            share=hundredths(share),
            who=who or login(),
            why=why,
            now=opened.clock(),
        )
    followed = (
        "" if was.consumer == back.consumer else f" (a route of its own; so far it followed {was.consumer})"
    )
    said = f"{capability} for {consumer}: {was.label} -> {back.label}{followed}"
    emit(back, as_json, lambda _: line(said))


@route.command()
def rehearse(
    capability: CapabilityArgument,
    keys: Annotated[int, typer.Option("--keys", help="How many keys are asked for on both ways.")] = 20,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Walk the way back, really, for a consumer that is nobody. The result is evidence for the checklist."""
    with open_project(project) as opened:
        result = rehearsal(opened, capability, keys)
    emit(result, as_json, lambda _: line(f"{'passed' if result.passed else 'FAILED'}: {result.detail}"))
    raise typer.Exit(ExitCode.CLEAN if result.passed else ExitCode.FINDINGS)


def rehearsal(opened: App, capability: str, keys: int) -> Rehearsal:
    """Rehearse with the first keys of the capability."""
    reader = opened.reader()
    around = cutover.Rehearsing(
        reader=reader, store=opened.routes, evidence=opened.evidence, clock=opened.clock
    )
    wanted = reader.paths(capability).keys(opened.clock().date())[:keys]
    return cutover.rehearse(around, capability, wanted, who=login())


@route.command()
def history(
    capability: CapabilityArgument,
    limit: Annotated[int, typer.Option("--limit", help="At most so many moves.")] = 20,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show who moved a route, when, why, and on what evidence."""
    with open_project(project) as opened:
        moves = opened.routes.history(capability, limit)
    emit(moves, as_json, _show_history)


def _show_history(moves: list[Moved]) -> None:
    rows = [
        (
            one.at,
            one.move.becomes.consumer,
            one.move.action.value,
            one.move.was.label,
            one.move.becomes.label,
            one.move.who,
            one.move.why,
        )
        for one in moves
    ]
    table("history", ("at", "consumer", "action", "from", "to", "who", "why"), rows)


@route.command(name="guard")
def guard_command(
    capability: OptionalCapability = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Look once at every route, and move back those whose budgets are passed. Run it on a schedule.

    Ends with 1 where a budget is passed, with 3 where it could not be seen whether one is.
    """
    with open_project(project) as opened:
        names = [capability] if capability else list(opened.project.settings.capability)
        around = reading_once(opened.around)
        seen = [one for name in names for one in guard(around, name)]
    emit(seen, as_json, _show_watch)
    if any(one.reasons for one in seen):
        raise typer.Exit(ExitCode.FINDINGS)
    raise typer.Exit(ExitCode.INFRASTRUCTURE if any(one.untold for one in seen) else ExitCode.CLEAN)


def _outcome(seen: Watch) -> str:
    if seen.move:
        return "moved back"
    if seen.held or seen.untold:
        return seen.held or "nobody can tell"
    return "holds, with differences" if seen.noted else "holds"


def _show_watch(seen: list[Watch]) -> None:
    rows = [
        (
            one.capability,
            one.consumer,
            one.route.label,
            _outcome(one),
            "; ".join((*one.reasons, *one.untold)),
        )
        for one in seen
    ]
    table("guard", ("capability", "consumer", "stage", "outcome", "reasons"), rows)
    for one in seen:
        for note in one.noted:
            line(f"  note  {one.capability} for {one.consumer}: {note}")


def waive(
    capability: CapabilityArgument,
    gate: Annotated[str, typer.Argument(help="The gate that does not hold.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be passed all the same.")],
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")],
    days: Annotated[int, typer.Option("--days", help="For how long.", min=1)],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Answer for a gate that does not hold, by name and for a while. It stays visible, and covers what is wrong now alone."""
    with open_project(project) as opened:
        facts = gather(opened.around, capability)
        now = opened.clock()
        granted = Waiver(
            capability=capability,
            gate=gate,
            owner=owner,
            reason=reason,
            expires_at=now + dt.timedelta(days=days),
            covers=faults_of(facts, gate),
        )
        opened.evidence.grant(granted, now)
    emit(
        granted, as_json, lambda _: line(f"{gate} of {capability} waived until {text_of(granted.expires_at)}")
    )
