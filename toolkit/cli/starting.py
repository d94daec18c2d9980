"""Commands to begin with: check the project, set up our tables, install capture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import typer

from toolkit import commands, registry
from toolkit.app import App, open_project
from toolkit.cli.options import SourceOption, YesOption
from toolkit.cli.output import JsonOption, ProjectOption, confirm, emit, emit_each, line, table
from toolkit.core.errors import ExitCode, Fault, ProjectError, Refused, StranglerError, UsageError
from toolkit.core.evolving import unfinished
from toolkit.cutover.facts import backfilled, resumed
from toolkit.golden import broken, examples
from toolkit.loader import Project, load
from toolkit.loops.purity import impure_steps, impurities
from toolkit.ports import Exclusive, Plan
from toolkit.settings import ENGINES_OWN

capture = typer.Typer(
    help="Capture changes in the legacy database: plan, install, status, remove.", no_args_is_help=True
)

_THEN_BACKFILL = f"{commands.BACKFILL} (with no relay running: both lead the source)"
_MISSED = (
    "captured before, and read beside another installation. What was inserted or updated in between, the backfill finds; "
    "rows that were deleted stay in the views, since no event tells of them"
)
_THEN_END = (
    "for each row that only a view has: insert it in the legacy database and delete it again, so that its end is captured "
    "(strangler repair key folds the same events, and keeps it)"
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(check)
    app.command()(setup)
    app.add_typer(capture, name="capture")


def check(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Load the project and report every fault, without touching a database."""
    loaded = load(Path(project))
    _known_captures(loaded)
    found = [
        {"projection": definition.identity, "finding": str(one)}
        for versions in loaded.projections.values()
        for definition in versions.values()
        for one in impurities(definition)
    ]
    kept, misnamed = examples(loaded.folder)
    definitions = [one for versions in loaded.projections.values() for one in versions.values()]
    evolution = [
        *unfinished(loaded.catalogue, definitions),
        *(one for kind in loaded.catalogue.types.values() for one in impure_steps(kind)),
        *misnamed,
        *broken(loaded.catalogue, kept),
    ]
    summary = {
        "project": loaded.settings.project.name,
        "events": len(loaded.catalogue.types),
        "projections": [one.identity for one in definitions],
        "capabilities": list(loaded.settings.capability),
        "golden": len(kept),
        "impure": found,
        "evolution": [{"where": one.where, "what": one.what, "next": one.next} for one in evolution],
    }
    emit(summary, as_json, lambda _: _show_check(loaded, len(kept), found, evolution))
    raise typer.Exit(ExitCode.FINDINGS if found or evolution else ExitCode.CLEAN)


def _known_captures(loaded: Project) -> None:
    """Raise ProjectError for ways of capture that this installation does not have."""
    known = [*ENGINES_OWN, *registry.names(registry.CAPTURE)]
    faults = [
        Fault(where=f"legacy.{name}.capture", what=f"{section.capture!r} is none of {', '.join(known)}")
        for name, section in loaded.settings.legacy.items()
        if section.capture not in known
    ]
    if faults:
        raise ProjectError(faults)


def _show_check(loaded: Project, golden: int, found: list[dict[str, str]], evolution: list[Fault]) -> None:
    versions = [one.identity for all_ in loaded.projections.values() for one in all_.values()]
    line(f"{loaded.settings.project.name}: no fault in {len(loaded.catalogue.types)} event types")
    line(f"  projections: {', '.join(versions)}")
    line(f"  capabilities: {', '.join(loaded.settings.capability) or 'none'}")
    line(f"  golden examples: {golden}")
    if found:
        rows = [(one["projection"], one["finding"]) for one in found]
        table("handlers that are not pure", ("projection", "finding"), rows)
    if evolution:
        table(
            "events that changed",
            ("where", "what", "next"),
            [(one.where, one.what, one.next) for one in evolution],
        )


def setup(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Create or upgrade the toolkit's own tables, and the topics. Never touches the legacy database."""
    with open_project(project) as opened:
        done = opened.setup()
    emit_each(done, as_json, line)


@capture.command()
def plan(source: SourceOption = "", project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Print what `install` would do in the legacy database, how `remove` undoes it, and what is guaranteed."""
    with open_project(project) as opened:
        plans = {name: _plan(opened, name) for name in _sources(opened, source)}
    emit(plans, as_json, _show_plans)


def _plan(opened: App, source: str) -> Plan:
    return opened.legacy(source).capture.plan(opened.project.captured(source))


def _sources(opened: App, source: str) -> list[str]:
    known = list(opened.project.settings.legacy)
    if source and source not in known:
        raise UsageError(f"there is no [legacy.{source}] in strangler.toml; there are: {', '.join(known)}")
    return [source] if source else known


def _show_plans(plans: dict[str, Plan]) -> None:
    for name, one in plans.items():
        line(f"-- capture of {name}: to be installed", style="bold")
        for statement in one.statements:
            line(statement.rstrip().rstrip(";") + ";")
        line(f"-- capture of {name}: to be removed", style="bold")
        for statement in one.removal:
            line(statement.rstrip().rstrip(";") + ";")
        table(f"what capture of {name} guarantees", ("", ""), one.guarantees.items())
        _show_escaping(one)


def _show_escaping(plan: Plan) -> None:
    for hole in plan.holes:
        line(f"{'HOLE' if hole.escapes else 'NOTE'}  {hole.where}: {hole.what}", style="bold")
        line(f"      {hole.next}")


@capture.command()
def install(
    source: SourceOption = "",
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Install capture in the legacy database, exactly as `plan` prints it."""
    with open_project(project) as opened:
        names = _sources(opened, source)
        for name in names:
            tell = _nothing if as_json else _show_escaping
            install_now(opened, name, tell, None if yes else _agreed(opened, name, tell))
        done = {name: _installed(opened, name) for name in names}
    emit(done, as_json, _show_installed)


def _nothing(_plan: Plan) -> None:
    """For machines, which read what is printed at the end."""


def _agreed(opened: App, source: str, tell: Callable[[Plan], None]) -> Plan:
    """What a person said yes to."""
    with _alone(opened, source):
        planned = _plan(opened, source)
    tell(planned)
    confirm(f"Execute {len(planned.statements)} statements in {source} (see: strangler capture plan)?")
    return planned


def install_now(opened: App, source: str, tell: Callable[[Plan], None], agreed: Plan | None = None) -> Plan:
    """Plan and install with nobody else doing so meanwhile: who comes second finds everything installed.

    Raises Refused when something else than what was agreed to is to be done by now; nothing to do is never refused.
    """
    with _alone(opened, source):
        planned = _plan(opened, source)
        if agreed is not None and planned.statements and planned.statements != agreed.statements:
            raise Refused(
                f"{source}: what is to be installed is not what it was: see {commands.CAPTURE_PLAN}"
            )
        if agreed is None:
            tell(planned)
        opened.legacy(source).capture.install(planned)
    return planned


def _alone(opened: App, source: str) -> AbstractContextManager[None]:
    capturing = opened.legacy(source).capture
    return capturing.alone() if isinstance(capturing, Exclusive) else nullcontext()


class _Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What is captured, the groups of tables whose history is still to be read, and what no reading of it will tell."""

    installed: tuple[str, ...]
    unread: tuple[str, ...] = ()
    missed: str = ""
    next: tuple[str, ...] = ()


def _installed(opened: App, source: str) -> _Installed:
    """Nothing of the history is told before our own tables are there."""
    installed = opened.legacy(source).capture.installed()
    try:
        unread = tuple(tables for tables, read in backfilled(opened.around, source).items() if not read)
        again = resumed(opened.around, source)
    except StranglerError:
        return _Installed(installed=installed)
    if not again:
        return _Installed(installed=installed, unread=unread, next=(_THEN_BACKFILL,) if unread else ())
    sections = opened.project.settings.capability.items()
    mine = [name for name, section in sections if opened.project.legacy_of(section) == source]
    looks = tuple(f"then, once it is relayed and projected: {commands.shadow_all(name)}" for name in mine)
    missed = f"{'; '.join(again)}: {_MISSED}"
    return _Installed(
        installed=installed, unread=unread, missed=missed, next=(_THEN_BACKFILL, *looks, _THEN_END)
    )


def _show_captured(done: dict[str, list[str]]) -> None:
    for name, tables in done.items():
        line(f"{name}: capturing {', '.join(tables) or 'nothing'}")


def _show_removed(done: dict[str, list[str]]) -> None:
    _show_captured(done)
    line(
        "what is written from now on is in no view; a row that is deleted before capture is installed again stays there"
    )
    found = commands.shadow_all("CAPABILITY")
    line(f"  next  once it is installed and backfilled again: {found} finds such rows")


def _show_installed(done: dict[str, _Installed]) -> None:
    for name, one in done.items():
        line(f"{name}: capturing {', '.join(one.installed) or 'nothing'}")
        if one.unread:
            line(f"{name}: the history is to be read: {'; '.join(one.unread)}")
        if one.missed:
            line(f"{name}: {one.missed}", style="bold")
        for step in one.next:
            line(f"  next  {step}")


@capture.command()
def remove(
    source: SourceOption = "",
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Remove capture from the legacy database without a trace. Changes that were not relayed yet go with it."""
    with open_project(project) as opened:
        names = _sources(opened, source)
        for name in names:
            planned = _plan(opened, name)
            if not yes:
                confirm(f"Execute {len(planned.removal)} statements in {name}?")
            with _alone(opened, name):
                opened.legacy(name).capture.remove(planned)
        done = {name: list(opened.legacy(name).capture.installed()) for name in names}
    emit(done, as_json, _show_removed)


@capture.command()
def status(source: SourceOption = "", project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show what is captured, how much waits, and the holes through which changes can escape. Ends with 1 when there are any."""
    with open_project(project) as opened:
        found = {name: _status(opened, name) for name in _sources(opened, source)}
    emit(found, as_json, _show_status)
    holes = any(hole["escapes"] for one in found.values() for hole in one["holes"])
    raise typer.Exit(ExitCode.FINDINGS if holes else ExitCode.CLEAN)


def _status(opened: App, source: str) -> dict[str, Any]:
    capturing = opened.legacy(source).capture
    installed = capturing.installed()
    return {
        "installed": installed,
        "waiting": capturing.behind(capturing.horizon()) if installed else 0,
        "holes": [msgspec.structs.asdict(one) for one in capturing.holes()],
    }


def _show_status(found: dict[str, dict[str, Any]]) -> None:
    for name, one in found.items():
        holes, installed = one["holes"], one["installed"]
        captured = ", ".join(installed) or "nothing"
        line(f"{name}: capturing {captured}; {one['waiting']} changes wait for the relay")
        if holes:
            table(
                "holes",
                ("where", "what", "next"),
                [(hole["where"], hole["what"], hole["next"]) for hole in holes],
            )
