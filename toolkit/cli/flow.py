"""Commands that make events flow: backfill, relay, project, run."""

from __future__ import annotations

import dataclasses
import getpass
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import Progress

from toolkit import commands
from toolkit.app import App, open_project
from toolkit.cli.options import SourceOption, sources_of
from toolkit.cli.output import JsonOption, ProjectOption, emit, line, progress, promised, table
from toolkit.cli.stopping import stop_on_signals
from toolkit.cli.telling import Standby, Telling, log_to_stderr
from toolkit.core.errors import ExitCode, Infrastructure, LeaseHeld, UsageError
from toolkit.core.projections import Definition
from toolkit.core.shards import WHOLE, Shard
from toolkit.inbox import Beforehand
from toolkit.loops.backfill import Progress as Step
from toolkit.loops.forecast import Forecaster
from toolkit.loops.relay import Relay
from toolkit.loops.sharing import Sharing
from toolkit.loops.supervise import Loop, Supervisor
from toolkit.loops.translate import Translation
from toolkit.ports import Pause
from toolkit.questions.backfilling import unread, unread_in
from toolkit.questions.leading import relay_leases

logger = logging.getLogger("strangler.run")

_REPORT_EVERY = 5.0
_PREPARE_EVERY = 3600

ShardOption = Annotated[
    int | None,
    typer.Option(
        "--shard", help="Lead this shard alone, counted from 0; by default as many as are free.", min=0
    ),
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="Stop when everything committed so far has gone through.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(backfill)
    app.add_typer(relaying, name="relay")
    app.command()(project)
    app.command()(run)


def backfill(
    source: SourceOption = "",
    skip: Annotated[
        bool, typer.Option("--skip", help="Read nothing: events begin with the changes from now on.")
    ] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Read what the legacy source holds already, in chunks, beside the live stream. Can be stopped; goes on where it was.

    Rows a second, subjects left and the time left are shown on stderr; with --json as one JSON object a line, every few seconds.
    """
    with open_project(project) as opened, stop_on_signals() as stop:
        done = {name: _backfill(opened, name, skip, stop, as_json) for name in sources_of(opened, source)}
    emit(done, as_json, _show_backfill)
    raise typer.Exit(ExitCode.CLEAN if all(one["done"] for one in done.values()) else ExitCode.FINDINGS)


@contextmanager
def _leading(opened: App, source: str, shard: Shard = WHOLE) -> Iterator[tuple[Translation, Relay]]:
    """Lead a source, or a shard of it, for the time of a command."""
    translation = opened.translation(source, shard)
    leader = opened.relay(source, translation, shard)
    with leader.leading():
        yield translation, leader


def _backfill(opened: App, source: str, skip: bool, stop: threading.Event, as_json: bool) -> dict[str, Any]:
    with _leading(opened, source) as (translation, leader), progress() as bar:
        work = opened.backfill(source, translation)
        capture = translation.source.capture
        elsewhere = {"history": capture.history()} if isinstance(capture, Beforehand) else {}
        if skip:
            work.skip(leader.epoch)
            return {"rows": 0, "events": 0, "parked": 0, "done": True, **elsewhere}
        total, rows, events, parked = work.estimate(), 0, 0, 0
        report = _Reports(bar, source, total, as_json)
        while not stop.is_set():
            leader.keep_leading()
            step = work.step(leader.epoch)
            if step is None:
                break
            rows, events, parked = rows + step.rows, events + step.events, parked + step.parked
            report.after(step, work.left)
        return {"rows": rows, "events": events, "parked": parked, "done": not stop.is_set(), **elsewhere}


class _Reports:
    """Tells how a backfill comes on: a bar on a terminal, elsewhere a line on stderr every few seconds."""

    def __init__(self, bar: Progress, source: str, total: int, as_json: bool) -> None:
        self._bar, self._source, self._total, self._as_json = bar, source, total, as_json
        self._task = bar.add_task(f"backfill {source}", total=total)
        self._forecaster, self._due = Forecaster(total, time.monotonic()), 0.0

    def after(self, step: Step, remaining: int) -> None:
        """One more chunk was read."""
        now = time.monotonic()
        told = self._forecaster.after(step, remaining, now)
        self._bar.update(
            self._task,
            completed=max(0, self._total - remaining),
            description=f"backfill {self._source}, {told.group}, {told.rows_per_second:,.0f} rows/s",
        )
        if now < self._due or not (self._as_json or self._bar.disable):
            return
        self._due = now + _REPORT_EVERY
        report = {"source": self._source, **dataclasses.asdict(told)}
        typer.echo(
            msgspec.json.encode(report).decode() if self._as_json else f"{self._source}, {told}", err=True
        )


def _show_backfill(done: Mapping[str, dict[str, Any]]) -> None:
    for name, one in done.items():
        if one["done"] and "history" in one:
            line(f"{name}: nothing to read here, and done: {one['history']}; next: {commands.RELAY}")
            continue
        state = "done" if one["done"] else "stopped; the same command goes on"
        parked = f", {one['parked']} changes parked (strangler repair show)" if one["parked"] else ""
        line(f"{name}: {one['rows']:,} rows read, {one['events']:,} events archived{parked}; {state}")


relaying = typer.Typer(
    help="Translate what is captured, publish it, and promise how far: until stopped, or once.",
    invoke_without_command=True,
)


@relaying.callback()
def relay(
    context: typer.Context,
    source: SourceOption = "",
    once: OnceOption = False,
    shard: ShardOption = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Translate what is captured, publish it, and promise how far: until stopped, or once.

    Processes that relay a source with `shards` divide them evenly; what one that died has led, the others take over.
    """
    if context.invoked_subcommand is not None:
        return
    standby = Standby()
    _loops(
        project,
        as_json,
        once,
        lambda opened: _relay_once(opened, source, shard),
        lambda opened: relays(opened, source, shard, standby),
    )


@relaying.command()
def pause(
    source: SourceOption = "",
    who: Annotated[str, typer.Option("--who", help="Who says so.")] = "",
    why: Annotated[str, typer.Option("--why", help="What for: it is shown to everybody.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Let relays rest: what is under way is ended, capture goes on, and views grow visibly older."""
    with open_project(project) as opened:
        who = who or getpass.getuser()
        told = [
            opened.state.pauses.pause(name, who, why or "no reason was given", opened.clock())
            for name in sources_of(opened, source)
        ]
    emit(told, as_json, _show_paused)


def _show_paused(told: list[Pause]) -> None:
    for one in told:
        line(f"{one.source}: paused by {one.who}; {commands.RESUME} lets it go on")


@relaying.command()
def resume(source: SourceOption = "", project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Let paused relays go on."""
    with open_project(project) as opened:
        told = {name: opened.state.pauses.resume(name) for name in sources_of(opened, source)}
    emit(told, as_json, _show_resumed)


def _show_resumed(told: Mapping[str, bool]) -> None:
    for name, was in told.items():
        line(f"{name}: {'goes on' if was else 'was not paused'}")


def project(
    name: Annotated[str, typer.Argument(help="A projection; all of them when left out.")] = "",
    once: OnceOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Apply events to the read models: until stopped, or once."""
    _loops(
        project,
        as_json,
        once,
        lambda opened: _project_once(opened, name, alone=True),
        lambda opened: projectors(opened, name),
    )


def run(once: OnceOption = False, project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Relay and project everything in one process: until stopped, or once."""
    standby = Standby()

    def all_once(opened: App) -> dict[str, Any]:
        return {**_relay_once(opened, ""), **_project_once(opened, "")}

    _loops(
        project,
        as_json,
        once,
        all_once,
        lambda opened: relays(opened, "", standby=standby),
        lambda opened: projectors(opened, ""),
    )


def _loops(
    project_folder: str, as_json: bool, once: bool, do_once: Any, *wanted: Callable[[App], Mapping[str, Loop]]
) -> None:
    log_to_stderr()
    with open_project(project_folder) as opened, stop_on_signals() as stop:
        if once:
            done = do_once(opened)
            emit(done, as_json, _show_done)
            blocked = any(one.get("problem") for one in done.values())
            raise typer.Exit(ExitCode.FINDINGS if blocked else ExitCode.CLEAN)
        with suppress(Infrastructure):  # it is waited for
            opened.leases.leases()  # raises NotSetUp: before the first setup there is nothing to wait for
        supervisor = Supervisor(*(partial(one, opened) for one in wanted))
        supervisor.run(stop)
    failures = {name: str(error) for name, error in supervisor.failures.items()}
    emit({"failed": failures}, as_json, _show_failures)
    raise typer.Exit(ExitCode.FINDINGS if failures else ExitCode.CLEAN)


def _show_failures(done: dict[str, dict[str, str]]) -> None:
    if done["failed"]:
        table("stopped by an error", ("loop", "error"), done["failed"].items())


def relays(
    opened: App, source: str, shard: int | None = None, standby: Standby | None = None
) -> Mapping[str, Loop]:
    """A loop for each source, or for each shard that this process should lead now: relay it, what is parked first.

    Where there is no shard for it, `standby` says so.
    """
    loops: dict[str, Loop] = {}
    for name in sources_of(opened, source):
        chosen = _chosen(opened, name, shard)
        if shard is not None or chosen == [WHOLE]:
            loops |= {_title(name, one): partial(_lead, opened, name, one) for one in chosen}
            continue
        sharing = opened.sharing(name)
        wanted = sharing.look()
        if standby is not None:
            standby.look(name, [] if wanted else _leaders(opened, name))
        loops |= {_title(name, one): partial(_lead_a_while, opened, name, one, sharing) for one in wanted}
    return {**loops, "time partitions of the archive": partial(_prepare, opened)}


def _leaders(opened: App, source: str) -> list[str]:
    now = opened.clock()
    return [one.owner for one in relay_leases(source, opened.leases.leases()) if one.expires_at > now]


def _chosen(opened: App, source: str, shard: int | None) -> list[Shard]:
    shards = opened.shards(source)
    if shard is not None and shard >= len(shards):
        known = "it is relayed as a whole" if shards == [WHOLE] else f"its shards are 0 to {len(shards) - 1}"
        raise UsageError(f"there is no shard {shard} of {source}: {known} (shards in [legacy.{source}])")
    return shards if shard is None else [shards[shard]]


def _prepare(opened: App, stop: threading.Event) -> None:
    """A time partition that is missing costs nothing today: its events are kept elsewhere, and go row by row later."""
    while not stop.is_set():
        try:
            opened.prepare_archive()
        except Infrastructure as error:
            logger.warning("time partitions of the archive: %s; again in %d s", error, _PREPARE_EVERY)
        stop.wait(_PREPARE_EVERY)


def _title(source: str, shard: Shard) -> str:
    return f"relay of {source}" if shard.whole else f"relay of {source} {shard}"


def _lead(opened: App, source: str, shard: Shard, stop: threading.Event) -> None:
    """Lead whenever nobody else does."""
    translation = opened.translation(source, shard)
    leader = opened.relay(source, translation, shard, alone=not shard.whole)
    leader.run(stop, standby=True, first=_first(source, shard, translation), report=_relayed(source, shard))


def _lead_a_while(
    opened: App, source: str, shard: Shard, sharing: Sharing[Shard], stop: threading.Event
) -> None:
    """Lead until another process should; the supervisor begins again when it is this one's turn."""
    translation = opened.translation(source, shard)
    leader = opened.relay(source, translation, shard)
    try:
        told = _relayed(source, shard)
        leader.run(
            stop, gives=lambda: sharing.gives(shard), first=_first(source, shard, translation), report=told
        )
    except (LeaseHeld, Infrastructure) as error:
        sharing.refused(shard, error)


def _first(source: str, shard: Shard, translation: Translation) -> Callable[[int], object]:
    """What a leader does first: say so, and try what is parked again with the rules of now."""

    def first(epoch: int) -> object:
        logger.info("%s: leads", _title(source, shard))
        return translation.replay(epoch)

    return first


def _relayed(source: str, shard: Shard) -> Telling:
    return Telling(_title(source, shard), "changes", "published", "parked")


def projectors(opened: App, name: str) -> Mapping[str, Loop]:
    """A loop for each version that is kept up to date; those of all projections read the log together, but for those
    that are shared with other processes.
    """
    shared = opened.project.settings.read_store.shared
    return {
        definition.identity: (
            opened.worker(definition, _applied(definition))
            if definition.name in shared
            else opened.following(definition, _applied(definition), together=not name)
        ).run
        for definition in opened.running_versions(name or None)
    }


def _applied(definition: Definition) -> Telling:
    return Telling(definition.identity, "applied", "parked", "duplicates")


def _relay_once(opened: App, source: str, shard: int | None = None) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for name in sources_of(opened, source):
        captured = bool(opened.legacy(name).capture.installed())
        for one in _chosen(opened, name, shard):
            done[_title(name, one)] = _drained(opened, name, one) if captured else _uncaptured(name)
    return done


def _drained(opened: App, source: str, shard: Shard) -> dict[str, Any]:
    with _leading(opened, source, shard) as (translation, leader):
        translation.replay(leader.epoch)
        total = leader.drain()
        waits = unread(source, translation.cursors())
    done = {"changes": total.changes, "published": total.published, "as_of": total.watermark}
    return {**done, "waits": waits} if waits else done


def _uncaptured(source: str) -> dict[str, Any]:
    """Where capture is to read, there is nothing yet, on some engines not even a table."""
    problem = f"nothing of {source} is captured: run `{commands.INSTALL_CAPTURE}` first"
    return {"changes": 0, "published": 0, "as_of": None, "problem": problem}


def _project_once(opened: App, name: str, *, alone: bool = False) -> dict[str, Any]:
    done: dict[str, Any] = {}
    projectors = [opened.projector(definition) for definition in opened.running_versions(name or None)]
    with ExitStack() as stack:
        for projector in projectors:
            stack.callback(projector.close)
            stack.enter_context(opened.borrowed(projector.definition))
        counted = opened.catch_up(projectors)
    for projector in projectors:
        identity = projector.definition.identity
        as_ofs = [one.as_of for one in projector.checkpoints]
        as_of = None if None in as_ofs else min(one for one in as_ofs if one is not None)
        done[identity] = {
            "applied": counted[identity].applied,
            "parked": counted[identity].parked,
            "as_of": as_of,
        }
        if alone and (
            waits := _unread(opened, {one.topic for one in projector.checkpoints if one.as_of is None})
        ):
            done[identity]["waits"] = waits
    return done


def _unread(opened: App, topics: Collection[str]) -> str:
    """Why no watermark has come in these topics, where it is the backfill. A relay of the same command has said so."""
    project, archive = opened.project, opened.state.archive
    found = [
        unread_in(archive, source, project.groups(source))
        for source in project.settings.legacy
        if project.topic(source) in topics
    ]
    return "; ".join(filter(None, found))


def _show_done(done: dict[str, dict[str, Any]]) -> None:
    for name, one in done.items():
        told = ", ".join(f"{count:,} {what}" for what, count in one.items() if isinstance(count, int))
        line(f"{name}: {told}; {promised(one['as_of'])}")
        for said in (one.get("problem"), one.get("waits")):
            if said:
                line(f"! {said}", style="yellow")
