"""The three questions, and all of them on one screen: read, authority, freshness, status."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable
from typing import Annotated

import typer

from toolkit import commands
from toolkit.app import App, open_project
from toolkit.cli.options import CapabilityArgument, ConsumerOption, OptionalCapability, TimeoutOption
from toolkit.cli.output import (
    JsonOption,
    ProjectOption,
    emit,
    emit_each,
    line,
    promised,
    span,
    table,
    text_of,
)
from toolkit.core.errors import ExitCode, NotYet, UsageError
from toolkit.core.freshness import Token
from toolkit.core.routes import ANY_CONSUMER
from toolkit.cutover.facts import reading_once
from toolkit.questions.hops import Hop
from toolkit.questions.lagging import Lag, Projected, lagging
from toolkit.questions.overview import Authority, Status, status_of_all
from toolkit.questions.overview import authority as who_is_right
from toolkit.router.read import Reading


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(read)
    app.command()(authority)
    app.command()(freshness)
    app.command()(status)


def read(
    capability: CapabilityArgument,
    key: Annotated[list[str], typer.Argument(help="The key: its value, or COLUMN=VALUE for each column.")],
    consumer: ConsumerOption = ANY_CONSUMER,
    today: Annotated[str, typer.Option("--today", help="The business date, e.g. 2026-06-30.")] = "",
    not_before: Annotated[
        str,
        typer.Option("--not-before", help="Only an answer with all that was committed by then will do."),
    ] = "",
    timeout: TimeoutOption = 5.0,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Answer a read through its route, with all that its reader must know to trust it."""
    with open_project(project) as opened:
        reading = opened.reader().read(
            capability,
            _key(key),
            consumer=consumer,
            today=_date(today),
            parameters=_today(today),
            not_before=_token(opened, capability, not_before) if not_before else None,
            timeout=dt.timedelta(seconds=timeout),
        )
    emit(reading, as_json, _show_reading)


def _key(given: list[str]) -> str | dict[str, object]:
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    parts = [one.partition("=") for one in given]
    if not all(equals for _, equals, _ in parts):
        raise UsageError(f"{' '.join(given)}: write COLUMN=VALUE for each column of the key")
    return {column: value for column, _, value in parts}


def _token(opened: App, capability: str, text: str) -> Token:
    """What is to be waited for; `now` is all that is committed when the command is run."""
    source = opened.project.legacy_of(opened.project.capability(capability))
    return opened.token(source) if text == "now" else Token.parse(text, source)


def _date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError(f"--today {text}: write it as 2026-06-30") from error


def _today(text: str) -> dict[str, object]:
    return {"today": text} if text else {}


def _show_reading(reading: Reading) -> None:
    for row in reading.rows:
        table("", ("column", "value"), row.items())
    if not reading.rows:
        line("no row")
    position = ", ".join(
        f"{topic}[{partition}]@{offset}"
        for topic, partitions in reading.position.items()
        for partition, offset in sorted(partitions.items())
    )
    versions = ", ".join(f"{name} v{version}" for name, version in reading.versions.items())
    facts = (
        ("served by", f"{reading.served_by} ({versions})" if versions else reading.served_by),
        ("confidence", reading.confidence),
        ("as of", reading.as_of or _NOTHING),
        ("lag", "cannot be told" if reading.lag is None else reading.lag),
        ("position", position or None),
        ("context", reading.context),
        ("read class", reading.read_class),
        ("stage", reading.stage),
    )
    table("", ("this answer", ""), facts)
    for warning in reading.warnings:
        line(f"! {warning}", style="yellow")


def _each(given: str, known: Iterable[str]) -> list[str]:
    return [given] if given else list(known)


def authority(
    capability: OptionalCapability = "", project: ProjectOption = ".", as_json: JsonOption = False
) -> None:
    """What is authoritative here?

    Ends with 3 when a server does not answer, with 1 when something else could not be told: what is known is told all the same.
    """
    with open_project(project) as opened:
        names = _each(capability, opened.project.settings.capability)
        found = [who_is_right(opened.inside, name) for name in names]
    emit_each(found, as_json, _show_authority)
    if any(one.unreachable for one in found):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    raise typer.Exit(ExitCode.FINDINGS if any(one.problems for one in found) else ExitCode.CLEAN)


def _show_authority(found: Authority) -> None:
    line(f"{found.capability}: {found.means}", style="bold")
    facts = [
        ("system of record", f"{found.record} ({found.record_context})"),
        ("read class", found.read_class),
        ("freshness objective", f"{found.objective}; when stale: {found.when_stale}"),
        *((f"answers for {consumer}", who) for consumer, who in found.answers.items()),
        *((("stays on legacy", found.stays),) if found.stays else ()),
    ]
    table("", ("", ""), facts)
    for contract in found.contracts:
        columns = ", ".join(
            column.name + (f" ({'|'.join(column.vocabulary)})" if column.vocabulary else "")
            for column in contract.columns
        )
        line(f"  {contract.projection} v{contract.version} in {contract.context}: {columns}")
        made_from = [
            event.name + (f" (meaning {event.meaning})" if event.meaning > 1 else "")
            for event in contract.events
        ]
        line(f"    made from {', '.join(made_from)}")
    for part, problem in found.problems.items():
        line(f"! {part}: cannot be told: {' '.join(problem.split())}", style="yellow")


def freshness(
    capability: OptionalCapability = "",
    wait_for: Annotated[
        str,
        typer.Option(
            "--wait-for",
            help="Wait until the view has all that was committed by then: now, INSTANT, a token.",
        ),
    ] = "",
    timeout: TimeoutOption = 5.0,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """How far behind is the view I am looking at, and what is it waiting for?

    Ends with 1 when one is too old (or did not come so far in time), with 3 when a server does not answer: what is known
    is told all the same.
    """
    with open_project(project) as opened:
        names = _each(capability, opened.project.settings.capability)
        late = _wait(opened, names, wait_for, timeout) if wait_for else []
        around = reading_once(opened.around)
        found = [lagging(around, name) for name in names]
    emit_each(found, as_json, _show_lag)
    for error in late:
        typer.echo(str(error), err=True)
    if any(one.unreachable for one in found):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    clean = not late if wait_for else all(one.fresh for one in found)
    raise typer.Exit(ExitCode.CLEAN if clean else ExitCode.FINDINGS)


def _wait(opened: App, names: list[str], text: str, timeout: float) -> list[NotYet]:
    """Wait for each view, all together no longer than the time; those that did not come so far."""
    tokens = {name: _token(opened, name, text) for name in names}
    end, late, reader = time.monotonic() + timeout, [], opened.reader()
    for name, token in tokens.items():
        try:
            reader.wait(name, token, dt.timedelta(seconds=max(0.0, end - time.monotonic())))
        except NotYet as error:
            late.append(error)
    return late


def _show_lag(found: Lag) -> None:
    behind = "" if found.lag is None else f", {span(found.lag)} behind"
    line(
        f"{found.capability}: {found.confidence}{behind} (objective {span(found.objective)}), "
        f"{promised(found.as_of)}, by {found.clock}",
        style="bold",
    )
    line("  " + "; ".join(f"{leg.name} {_long(leg.behind)}" for leg in found.legs))
    for given in found.served:
        line(f"  {given.consumer} at {given.stage}: {given.side} answers: {given.how}")
    table("", ("hop", "waiting", ""), [(hop.name, hop.waiting, _unit(hop)) for hop in found.hops])
    for hop in found.hops:
        if hop.cause:
            line(f"! {hop.name}: {hop.cause}", style="yellow")
            line(f"  next  {hop.next}")
    ages = [
        (
            f"{one.projection} v{one.version}",
            f"{one.topic}[{one.partition}]",
            one.as_of or _NOTHING,
            one.behind,
            one.next_offset,
            one.waiting,
            one.reader or None,
        )
        for one in found.partitions
    ]
    heads = ("view", "partition", "as of", "behind", "offset", "waiting", "read by")
    table("", heads, ages, none="nothing is projected yet: no version of its projections was ever begun")
    for view in found.projected:
        state = view.state + (f": {view.detail}" if view.detail else "")
        lacks = f"; {lacking}" if (lacking := _lacking(view)) else ""
        written = "never written" if view.at is None else f"last written at {text_of(view.at)}"
        line(f"  {view.context}: {view.projection} v{view.version} {written} ({state}){lacks}")
    if shards := [one for one in found.leases if "/" in one.name]:
        held = [(one.name, one.owner, one.epoch, text_of(one.expires_at)) for one in shards]
        table("", ("shard", "leader", "epoch", "until"), held)
    for problem in found.problems:
        line(f"! {problem}", style="yellow")


_NOTHING = "nothing promised yet"


def _long(length: dt.timedelta | None) -> str:
    return "cannot be told" if length is None else span(length)


def _unit(hop: Hop) -> str:
    return hop.unit + (f", the oldest of {text_of(hop.oldest)}" if hop.oldest is not None else "")


def _lacking(view: Projected) -> str:
    """What a view waits for that somebody has to mend."""
    counts = ((view.parked_changes or 0, "changes"), (view.parked_events, "events"))
    told = " and ".join(f"{count} parked {what}" for count, what in counts if count)
    return f"may lack {told}" if told else ""


def status(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show every capability on one screen. Ends with 3 when a server does not answer, with 1 when something else could not be told, or nothing is captured."""
    with open_project(project) as opened:
        found = status_of_all(opened.around)
    emit(found, as_json, _show_status)
    if any(one.unreachable for one in found):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    wrong = any(one.problems or not one.lag.captured for one in found)
    raise typer.Exit(ExitCode.FINDINGS if wrong else ExitCode.CLEAN)


def _waiting(one: Status) -> str:
    """How many changes and events are parked, and how many events are never to be applied."""
    skipped = sum(map(len, one.skipped.values()))
    counts = {what: sum(some.count for some in one.parked if some.where.startswith(what)) for what in _PARKED}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "0"
    return told + (f" ({skipped} skipped)" if skipped else "")


_PARKED = ("changes", "events")


def _show_status(found: list[Status]) -> None:
    rows = [
        (
            one.capability,
            one.read_class.replace("_", " "),
            ", ".join(
                route.label if route.consumer == ANY_CONSUMER else f"{route.consumer}: {route.label}"
                for route in one.routes
            ),
            one.lag.confidence,
            one.lag.lag,
            _waiting(one),
            None if one.judged is None else f"{one.mismatched} of {one.judged}",
        )
        for one in found
    ]
    table("", ("capability", "read class", "route", "view", "lag", "parked", "differ"), rows)
    blind = {(one.lag.as_of, one.lag.clock): one.lag for one in found if not one.lag.trusted}
    for lag in blind.values():
        ago = "" if lag.lag is None else f"{span(lag.lag)} ago "
        line(f"! {promised(lag.as_of)}, {ago}by {lag.clock}", style="yellow")
    for problem, where in _gathered(found).items():
        line(f"! {problem} ({where})", style="yellow")
    for hop, where in _standing(found).values():
        line(f"! {hop.name}: {hop.cause} ({where})", style="yellow")
        line(f"  next  {hop.next}")
    for source, count in {name: count for one in found for name, count in one.holes.items()}.items():
        line(
            f"! {source}: {count} hole{'s' if count != 1 else ''} through which changes escape",
            style="yellow",
        )
        line(f"  next  {commands.CAPTURE_STATUS}")
    for warning in dict.fromkeys(one.history for one in found if one.history):
        line(f"! {warning}", style="yellow")


def _standing(found: list[Status]) -> dict[tuple[str, str], tuple[Hop, str]]:
    """What stands in the way in each place, once, with the capabilities that wait for it."""
    hops: dict[tuple[str, str], tuple[Hop, list[str]]] = {}
    for one in found:
        for hop in one.lag.hops:
            if hop.cause:
                hops.setdefault((hop.name, hop.cause), (hop, []))[1].append(one.capability)
    return {key: (hop, _shown(some, len(found))) for key, (hop, some) in hops.items()}


def _shown(capabilities: list[str], of: int) -> str:
    return "every capability" if len(capabilities) == of > 1 else ", ".join(capabilities)


def _gathered(found: list[Status]) -> dict[str, str]:
    """Each problem once, with the capabilities that have it: what is wrong with a server is wrong for all of them."""
    names: dict[str, list[str]] = {}
    for one in found:
        for problem in dict.fromkeys(" ".join(said.split()) for said in one.problems.values()):
            names.setdefault(problem, []).append(one.capability)
    return {problem: _shown(some, len(found)) for problem, some in names.items()}
