"""Who leads what, for people: read only, without a lease."""

from __future__ import annotations

from sqlalchemy import Engine, select

from adapters.engines import reading
from migrations.schema.state import lease
from toolkit.ports import LeaseState


class SqlLeaseList:
    """Implements `toolkit.ports.LeaseList`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def leases(self) -> list[LeaseState]:
        """Every lease by name, those that ran out, too; not those of a division into shards that another one replaced."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(lease).where(lease.c.owner != "").order_by(lease.c.name))
            return [
                LeaseState(name=row.name, owner=row.owner, epoch=row.epoch, expires_at=row.expires_at)
                for row in rows
            ]
