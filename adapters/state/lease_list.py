"""Who leads what, for people: read only, without a lease."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sqlalchemy import Engine, select

from adapters.engines import reading
from adapters.state.skew import NONE
from migrations.schema.state import lease
from toolkit.ports import LeaseState


class SqlLeaseList:
    """Implements `toolkit.ports.LeaseList`, in the time of this machine's clock: `skew` is what is added to that in the table."""

    def __init__(self, engine: Engine, skew: Callable[[], dt.timedelta] = lambda: NONE) -> None:
        self._engine, self._skew = engine, skew

    def leases(self) -> list[LeaseState]:
        """Every lease by name, those that ran out, too; not those of a division into shards that another one replaced."""
        ahead = self._skew()
        with reading(self._engine) as connection:
            rows = connection.execute(select(lease).where(lease.c.owner != "").order_by(lease.c.name))
            return [
                LeaseState(name=row.name, owner=row.owner, epoch=row.epoch, expires_at=row.expires_at - ahead)
                for row in rows
            ]
