"""What is in the log: the events of a subject, or where its partitions begin and end."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from toolkit.app import App, open_project
from toolkit.cli.options import SourceOption, sources_of
from toolkit.cli.output import JsonOption, ProjectOption, emit_each, table
from toolkit.core.records import Record


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(name="log")(show_log)


def show_log(
    source: SourceOption = "",
    limit: Annotated[int, typer.Option("--limit", help="At most so many events a source.", min=1)] = 20,
    subject: Annotated[str, typer.Option("--subject", help="Only the events of this subject.")] = "",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show the events of a subject, or where the log's partitions begin and end."""
    with open_project(project) as opened:
        found = [_log(opened, name, subject, limit) for name in sources_of(opened, source)]
    emit_each(found, as_json, _show_log)


def _log(opened: App, source: str, subject: str, limit: int) -> dict[str, Any]:
    topic = opened.project.topic(source)
    if not subject:
        bounds = opened.log.bounds(topic)
        return {"topic": topic, "partitions": {number: list(bound) for number, bound in bounds.items()}}
    records = opened.state.archive.of_subject(topic, subject)[-limit:]
    return {"topic": topic, "subject": subject, "events": [_event(one) for one in records]}


def _event(record: Record) -> dict[str, Any]:
    envelope = record.envelope
    return {
        "time": envelope.time,
        "type": envelope.type,
        "data": record.data.decode(),
        "at": f"{record.partition}/{record.sequence}",
        "position": envelope.position,
    }


def _show_log(found: dict[str, Any]) -> None:
    if "events" in found:
        rows = [
            (one["time"], one["type"], one["data"], one["at"], one["position"]) for one in found["events"]
        ]
        table(
            f"{found['topic']}, {found['subject']}",
            ("time", "event", "data", "partition/sequence", "from"),
            rows,
        )
        return
    bounds = [(number, first, after) for number, (first, after) in found["partitions"].items()]
    table(found["topic"], ("partition", "first offset", "next offset"), bounds)
