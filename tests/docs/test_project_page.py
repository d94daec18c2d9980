"""The shapes that the project page shows are projections, as they stand there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from tests.docs.test_docs import fenced
from toolkit.core.events import Context, Event
from toolkit.core.projections import Projection, on

PAGE = Path(__file__).parents[2] / "docs/project.md"


def test_the_shapes_on_the_project_page_are_projections() -> None:
    blocks = fenced(PAGE.read_text())
    said = Context("shapes")

    def event(kind: str, subject: str, /, **fields: Any) -> Any:
        made: Any = msgspec.defstruct(kind, list(fields.items()), bases=(Event,), frozen=True)
        return said.event(subject=subject, means="As the page says.")(made)

    line: Any = msgspec.defstruct("Line", [("line_no", int), ("article", str)], frozen=True)
    events = SimpleNamespace(
        Line=line,
        OrderPlaced=event("OrderPlaced", "order_no", order_no=str, lines=list[line]),
        LineAdded=event("LineAdded", "order_no", order_no=str, line_no=int, article=str),
        OrderHeld=event("OrderHeld", "order_no", order_no=str),
        PolicyAssigned=event("PolicyAssigned", "policy_no", policy_no=str, broker_no=str),
        BrokerNamed=event("BrokerNamed", "broker_no", broker_no=str, name=str),
    )
    known: dict[str, Any] = {"Projection": Projection, "on": on, "e": events}
    for language, block in blocks:
        if language == "python" and ("class OrderLine(" in block or "class BrokerName(" in block):
            exec(block, known)
    lines = known["OrderLine"].definition
    assert (lines.parent, lines.table) == (("order_no",), "order_line__v1")
    assert known["PolicyList"].definition.indexes == (("broker_no",),)
    assert known["BrokerName"].definition.key == ("broker_no",)
