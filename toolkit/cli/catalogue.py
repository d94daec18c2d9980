"""Commands about the catalogue: show it, what of the archive it covers, golden examples, and how it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.app import App, open_project
from toolkit.cli.options import YesOption
from toolkit.cli.output import JsonOption, ProjectOption, confirm, emit, line, table
from toolkit.core.compatibility import Change, changes_of_events
from toolkit.core.compatibility_of_projections import changes_of_projections
from toolkit.core.contracts import encoded
from toolkit.core.errors import ExitCode, Unprojectable, UsageError
from toolkit.core.events import EventType
from toolkit.cutover.coverage import Covered, coverage
from toolkit.golden import example_of, examples, name_of
from toolkit.loader import Project, load
from toolkit.ports import SeenKind
from toolkit.questions.revisions import contracts_at, contracts_of

catalogue = typer.Typer(
    help="The event types: what each means and does not imply; what covers the archive; how the catalogue changed.",
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(catalogue, name="catalogue")


@catalogue.callback()
def every(context: typer.Context, project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show the event types: what each means, and what it does not imply."""
    if context.invoked_subcommand is None:
        _show(load(Path(project)), "", as_json)


@catalogue.command()
def show(
    event: Annotated[str, typer.Argument(help="One event type; all of them when left out.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show the event types, or one: what it means, what it meant before, and what it does not imply."""
    _show(load(Path(project)), event, as_json)


def _show(loaded: Project, event: str, as_json: bool) -> None:
    if event and event not in loaded.catalogue.types:
        raise UsageError(
            f"there is no event {event} in the catalogue; there are {', '.join(loaded.catalogue.types)}"
        )
    types = [loaded.catalogue.types[event]] if event else list(loaded.catalogue.types.values())
    emit([_described(one) for one in types], as_json, lambda _: _show_types(types))


def _described(one: EventType) -> dict[str, object]:
    return {
        "event": one.name,
        "context": one.context,
        "subject": one.subject,
        "version": one.version,
        "meaning": one.meaning,
        "means": one.means,
        "not_implied": list(one.not_implied),
        "formerly": {
            str(number): {
                "means": former.means,
                "not_implied": list(former.not_implied),
                "given": former.given,
            }
            for number, former in one.formerly.items()
        },
        "maps": {f"{meaning} > {to}": by.loses for (meaning, to), by in one.maps.items()},
        "fields": {name: str(hint) for name, hint in one.cls.__annotations__.items()},
    }


def _show_types(types: list[EventType]) -> None:
    rows = []
    for one in types:
        rows.append((one.name, f"v{one.version} m{one.meaning}", one.context, one.means, one.not_implied))
        for number, former in sorted(one.formerly.items(), reverse=True):
            given = "still given" if former.given else "given no more"
            rows.append(("", f"m{number}", given, former.means, former.not_implied))
    table("catalogue", ("event", "version", "context", "means", "does not imply"), rows)


# --- the archive


def _seen(opened: App) -> list[SeenKind]:
    return [one for topic in opened.project.topics for one in opened.state.kinds.seen(topic)]


@catalogue.command("coverage")
def covers(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show each kind of event that was ever archived: its path to today, its golden examples, its readers."""
    with open_project(project) as opened:
        kept, _ = examples(opened.project.folder)
        definitions = [one for versions in opened.project.projections.values() for one in versions.values()]
        found = coverage(opened.project.catalogue, definitions, kept, _seen(opened))
    emit(found, as_json, _show_covered)
    raise typer.Exit(ExitCode.FINDINGS if any(one.findings for one in found) else ExitCode.CLEAN)


def _show_covered(found: list[Covered]) -> None:
    rows = [
        (
            one.event,
            f"v{one.version} m{one.meaning}",
            f"{one.events:,}",
            one.first_at,
            one.last_at,
            one.path,
            one.golden or None,
            one.read_by or "not read by any",
        )
        for one in found
    ]
    columns = ("event", "kind", "events", "first", "last", "path", "golden", "read by")
    table("coverage", columns, rows)
    for one in found:
        for finding in one.findings:
            line(f"! {one.event} v{one.version} m{one.meaning}: {finding}", style="yellow")


@catalogue.command("examples")
def golden(
    as_they_are: Annotated[
        bool, typer.Option("--as-they-are", help="With what the events say: it may be about real people.")
    ] = False,
    yes: YesOption = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Write a golden example for each kind in the archive that has none: only its form, letters and digits masked."""
    if as_they_are and not yes:
        confirm("Write what events of the archive say, unmasked, into the project's folder?")
    with open_project(project) as opened:
        kept, _ = examples(opened.project.folder)
        known = {one.kind for one in kept}
        missing = [one for one in _seen(opened) if (one.type, one.version, one.meaning) not in known]
        done = [_write(opened, one, as_they_are) for one in missing]
    emit(
        done,
        as_json,
        lambda some: table(
            "golden examples", ("file", "written"), [(one["file"], one["written"]) for one in some]
        ),
    )
    failed = any(one["written"] != "yes" for one in done)
    raise typer.Exit(ExitCode.FINDINGS if failed else ExitCode.CLEAN)


def _write(opened: App, seen: SeenKind, as_they_are: bool) -> dict[str, str]:
    name = name_of((seen.type, seen.version, seen.meaning))
    record, kind = opened.state.kinds.example(seen), opened.project.catalogue.types.get(seen.type)
    if record is None or kind is None:
        return {
            "file": name,
            "written": "the archive holds none any more" if kind else "it is in no catalogue",
        }
    try:
        text = example_of(kind, record.data, seen.version, as_it_is=as_they_are)
    except Unprojectable as error:
        return {"file": name, "written": str(error)}
    path = opened.project.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return {"file": name, "written": "yes"}


# --- another time


@catalogue.command()
def export(
    to: Annotated[str, typer.Option("--to", help="A file; printed when left out.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Write the catalogue and the projections' contracts as one JSON document, to be compared later."""
    document = contracts_of(load(Path(project)))
    if to:
        Path(to).write_bytes(encoded(document))
    shown = {"written": to} if to else document
    emit(shown, as_json, lambda _: line(f"written: {to}" if to else encoded(document).decode().rstrip()))


@catalogue.command()
def diff(
    old: Annotated[str, typer.Argument(help="An exported file, or a git revision of the project.")],
    new: Annotated[str, typer.Argument(help="Another one; the project as it is when left out.")] = "",
    same_meaning: Annotated[
        list[str] | None,
        typer.Option(
            "--same-meaning", help="An event whose new words say what the old ones meant. Repeatable."
        ),
    ] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Grade what changed: documentation, additive, breaking, meaning. Ends with 1 when nothing makes a change safe."""
    folder = Path(project).resolve()
    before = contracts_at(folder, old)
    after = contracts_at(folder, new) if new else contracts_of(load(folder))
    if unknown := sorted({*(same_meaning or [])} - after.events.keys()):
        raise UsageError(f"--same-meaning {', '.join(unknown)}: there is no such event")
    found = [*changes_of_events(before, after, same_meaning or ()), *changes_of_projections(before, after)]
    emit([_graded(one) for one in found], as_json, lambda _: _show_changes(found))
    raise typer.Exit(ExitCode.CLEAN if all(one.safe for one in found) else ExitCode.FINDINGS)


def _graded(one: Change) -> dict[str, object]:
    return {
        "where": one.where,
        "what": one.what,
        "grade": one.grade.value,
        "compatible": one.compatible,
        "safe": one.safe,
        "covered": one.covered,
        "next": one.next,
    }


def _show_changes(found: list[Change]) -> None:
    rows = [
        (
            "" if one.safe else "!",
            one.grade.value,
            one.where,
            one.what,
            one.compatible,
            one.covered or one.next,
        )
        for one in found
    ]
    table("changes", ("", "grade", "where", "what", "compatible", "made safe by, or next"), rows)
