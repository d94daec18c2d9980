"""The ledger of changes that gave nothing: counted as they are archived, answered for by people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, select, update

from adapters.engines import reading, writing
from adapters.state.queries import query
from migrations.schema.state import unclassified
from migrations.schema.types import Instant
from toolkit.core.changes import Op
from toolkit.core.errors import UsageError
from toolkit.core.unclassified import Shape, Unclassified

_count = query("count_unclassified").bindparams(
    bindparam("first_at", type_=Instant()), bindparam("last_at", type_=Instant())
)


def note(connection: Connection, found: Sequence[Unclassified]) -> None:
    """Add to the counts, in the transaction that archives what the other changes gave.

    Leaders of several shards count the same shapes at the same time: always in one order, so that none waits for another
    in a circle.
    """
    rows = [
        {
            "source": one.source,
            "table_name": one.shape.table,
            "op": one.shape.op.value,
            "columns": _joined(one.shape),
            "times": one.count,
            "subject": one.subject,
            "position": one.position,
            "first_at": one.first_at,
            "last_at": one.last_at,
        }
        for one in found
    ]
    if rows:
        connection.execute(
            _count, sorted(rows, key=lambda row: (row["table_name"], row["op"], row["columns"]))
        )


class SqlUnclassified:
    """Implements `toolkit.ports.UnclassifiedLedger`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, source: str) -> list[Unclassified]:
        """Every shape of the source, the most frequent first."""
        table = unclassified
        found = select(table).where(table.c.source == source)
        found = found.order_by(table.c.times.desc(), table.c.table_name, table.c.op, table.c.columns)
        with reading(self._engine) as connection:
            return [
                Unclassified(
                    source=row.source,
                    shape=Shape(
                        table=row.table_name,
                        op=Op(row.op),
                        columns=tuple(filter(None, row.columns.split(","))),
                    ),
                    count=row.times,
                    subject=row.subject,
                    position=row.position,
                    first_at=row.first_at,
                    last_at=row.last_at,
                    owner=row.owner,
                    reason=row.reason,
                    answered_at=row.answered_at,
                )
                for row in connection.execute(found)
            ]

    def answer(self, source: str, shape: Shape, owner: str, reason: str, now: dt.datetime) -> None:
        """Somebody answers for all that came of this shape until now. Raises UsageError when none did."""
        said = update(unclassified).where(_is(source, shape))
        with writing(self._engine) as connection:
            done = connection.execute(said.values(owner=owner, reason=reason, answered_at=now)).rowcount
        if not done:
            raise UsageError(f"nothing unclassified of {source} has the shape {shape}")


def _is(source: str, shape: Shape) -> ColumnElement[bool]:
    table = unclassified
    return and_(
        table.c.source == source,
        table.c.table_name == shape.table,
        table.c.op == shape.op.value,
        table.c.columns == _joined(shape),
    )


def _joined(shape: Shape) -> str:
    return ",".join(shape.columns)
