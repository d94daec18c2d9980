"""Commands that compare: run, report, accept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from shadow.capability import Shadowing
from shadow.report import evidence, to_dict, to_junit
from shadow.run import Progress, RunResult
from toolkit import commands
from toolkit.app import App, open_project
from toolkit.cli.options import CapabilityArgument, OptionalCapability, login
from toolkit.cli.output import (
    JsonOption,
    ProjectOption,
    emit,
    emit_each,
    line,
    progress,
    span,
    table,
    text_of,
)
from toolkit.cli.stopping import stop_on_signals
from toolkit.core.errors import ExitCode, UsageError
from toolkit.core.evidence import Acceptance
from toolkit.questions.lagging import lagging

shadow = typer.Typer(
    help="Compare the legacy read path with the projection: run, report, accept.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(shadow, name="shadow")


@shadow.command()
def run(
    capability: OptionalCapability = "",
    keys: Annotated[
        int,
        typer.Option(
            "--keys",
            help="At most so many keys of the sample, and as many besides that changed lately; 0: the whole sample.",
            min=0,
        ),
    ] = 0,
    version: Annotated[
        list[str] | None,
        typer.Option(
            "--version", "-v", help="PROJECTION=N: compare this version instead of the serving one."
        ),
    ] = None,
    catch_up: Annotated[
        float, typer.Option("--catch-up", help="Seconds to wait for the view's as-of.")
    ] = 30.0,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write JUnit XML to this file or folder.")
    ] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Compare old and new, store what was found, and end with 0 (clean) or 1 (findings, or too little to tell).

    Fit for a scheduler: one command, an exit code, machine output.
    """
    versions = _versions(version or [])
    with open_project(project) as opened, stop_on_signals() as stop:
        names = [capability] if capability else list(opened.project.settings.capability)
        results = [
            one
            for name in names
            if not stop.is_set()
            for one in [
                run_one(opened, name, versions=versions, keys=keys, catch_up=catch_up, stopping=stop.is_set)
            ]
        ]
    if junit is not None:
        _write_junit(junit, results)
    emit_each([to_dict(one) for one in results], as_json, show_run)
    clean = bool(results) and all(one.verdict.value == "clean" for one in results)
    raise typer.Exit(ExitCode.CLEAN if clean else ExitCode.FINDINGS)


def run_one(
    opened: App,
    capability: str,
    *,
    versions: dict[str, int] | None = None,
    keys: int = 0,
    catch_up: float = 30.0,
    stopping: Any = lambda: False,
) -> RunResult:
    """Run one capability with a progress bar, and store the evidence."""
    section = opened.project.capability(capability)
    mine = {name: number for name, number in (versions or {}).items() if name in section.projections}
    shadowing = Shadowing(
        project=opened.project,
        capability=capability,
        legacy=opened.legacy(opened.project.legacy_of(section)),
        store=opened.store,
        archive=opened.state.archive,
        clock=opened.clock,
        versions=mine,
        catch_up=catch_up,
        why_behind=lambda: "; ".join(lagging(opened.around, capability).causes),
    )
    with progress() as bar:
        task = bar.add_task(f"shadow {capability}", total=None)

        def advance(seen: Progress) -> None:
            bar.update(task, total=seen.total, completed=seen.done)

        acceptances = opened.evidence.acceptances(capability)
        result = shadowing.run(acceptances, keys=keys, progress=advance, stopping=stopping)
    opened.evidence.save_run(*evidence(result))
    return result


def _versions(given: Sequence[str]) -> dict[str, int]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        if not number.isdigit():
            raise UsageError(f"--version {text}: write PROJECTION=N, e.g. customer_policy=2")
        found[name] = int(number)
    return found


def _write_junit(target: Path, results: Sequence[RunResult]) -> None:
    if len(results) == 1 and target.suffix == ".xml":
        target.write_text(to_junit(results[0]), encoding="utf-8")
        return
    target.mkdir(parents=True, exist_ok=True)
    for one in results:
        (target / f"{one.capability}.xml").write_text(to_junit(one), encoding="utf-8")


def show_run(found: dict[str, Any]) -> None:
    """One run: what was judged, how sure that makes us, and one line for each fingerprint."""
    judged, keys = found["evidence"], found["keys"]
    counts = ", ".join(f"{number} {name}" for name, number in found["counts"].items() if number) or "nothing"
    versions = ", ".join(f"{name} v{number}" for name, number in found["versions"].items())
    line(f"{found['capability']}: {found['verdict']}", style="bold")
    line(
        f"  {keys['asked']} of {keys['known']} keys in {found['seconds']:.1f} s against {versions or 'nothing'}: {counts}"
    )
    line(
        f"  {judged['judged']} pairs judged, {judged['mismatched']} differ: at 95 % the mismatch rate is below "
        f"{judged['mismatch_rate_below']:.2%} ({judged['proven']})"
    )
    if found.get("cause"):
        line(f"  given up: {found['cause']}", style="bold red")
        line(f"  next  {commands.freshness(found['capability'])}")
    for note in found.get("notes", ()):
        line(f"  note: {note}")
    for one in found["lines"]:
        _show_line(one)


def _show_line(found: dict[str, Any]) -> None:
    """One fingerprint: what it is, how often, and the first example with both values."""
    status = "accepted" if found["accepted"] else "" if found["finding"] else "told only"
    head = f"  {found['kind']:<16} {found['fingerprint']}  {found['title']}"
    line(
        f"{head}  ({found['keys']} keys{', ' + status if status else ''})",
        style="bold red" if not status else "",
    )
    for example in found["examples"][:1]:
        if found["kind"] == "error" and example.get("projection"):
            line(f"{'':19}e.g. {example['key']}: {text_of(example['projection'])}")
        else:
            line(f"{'':19}e.g. {example['key']}{_values(example)}")
    if found["kind"] == "parked":
        line(f"{'':19}reason and row: strangler repair parked")
    if found["kind"] == "temporal":
        seen, healed = (
            dt.timedelta(seconds=found[name]) for name in ("lasted_seconds", "healed_within_seconds")
        )
        longest = f"lasted at least {span(seen)}, " if seen else ""
        line(f"{'':19}{longest}gone within {span(healed)}")
    if found["lost_at"]:
        line(f"{'':19}lost at the stage: {found['lost_at']}")


def _values(example: dict[str, Any]) -> str:
    legacy, projection = example.get("legacy"), example.get("projection")
    if legacy in (None, "") and projection in (None, ""):
        return ""
    return f": legacy {_short(legacy)}, projection {_short(projection)}"


def _short(value: object) -> str:
    text = text_of(value)
    return text if len(text) <= 100 else text[:97] + "..."


@shadow.command()
def report(
    capability: CapabilityArgument,
    limit: Annotated[int, typer.Option("--limit", help="At most so many runs.")] = 10,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show former runs: the last one in full, those before it in a line each."""
    with open_project(project) as opened:
        opened.project.capability(capability)
        reports = [one.report for one in opened.evidence.runs(capability, limit)]
    emit(reports, as_json, _show_reports)


def _show_reports(reports: list[dict[str, Any]]) -> None:
    if not reports:
        line("no run yet: strangler shadow run")
        return
    show_run(reports[0])
    rows = [
        (
            one["ended_at"],
            one["verdict"],
            one["evidence"]["judged"],
            one["evidence"]["mismatched"],
            len(one["lines"]),
        )
        for one in reports
    ]
    table("runs", ("ended", "verdict", "judged", "differ", "lines"), rows)


@shadow.command()
def accept(
    capability: CapabilityArgument,
    fingerprint: Annotated[str, typer.Argument(help="The fingerprint, from a run.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the difference may stand.")],
    days: Annotated[int, typer.Option("--days", help="For how long.", min=1)],
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it; your login by default.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Answer for a known difference, by name and for a while. It stays in every report, and bars `retired`."""
    with open_project(project) as opened:
        opened.project.capability(capability)
        now = opened.clock()
        accepted = Acceptance(owner=owner or login(), reason=reason, expires_at=now + dt.timedelta(days=days))
        opened.evidence.accept(capability, fingerprint, accepted, now)
    emit(accepted, as_json, lambda _: line(f"{fingerprint} accepted until {text_of(accepted.expires_at)}"))
