"""Which version serves, in the state database: append-only, and the latest line of a projection counts."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, insert, select

from adapters.engines import reading, writing
from migrations.schema.state import serving
from toolkit.ports import Serving

_COLUMNS = tuple(serving.c[name] for name in Serving.__struct_fields__)


class SqlServingLedger:
    """Implements `toolkit.ports.ServingLedger`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest(self, projection: str) -> Serving | None:
        """What was decided last."""
        wanted = select(*_COLUMNS).where(serving.c.projection == projection)
        with reading(self._engine) as connection:
            row = connection.execute(wanted.order_by(serving.c.id.desc()).limit(1)).first()
        return None if row is None else Serving(**row._mapping)

    def history(self, projection: str) -> list[Serving]:
        """All that was decided, newest first."""
        wanted = select(*_COLUMNS).where(serving.c.projection == projection)
        with reading(self._engine) as connection:
            return [
                Serving(**row._mapping) for row in connection.execute(wanted.order_by(serving.c.id.desc()))
            ]

    def note(self, one: Serving) -> None:
        """Write a line."""
        with writing(self._engine) as connection:
            connection.execute(insert(serving), msgspec.structs.asdict(one))
