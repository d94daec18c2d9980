"""Leases in the state database: one leader per piece of work, with an epoch that fences the former one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from sqlalchemy import Connection, Engine, bindparam, select, text, update

from adapters.engines import reading, writing
from adapters.standstill import taking_over
from adapters.state.queries import query
from adapters.state.skew import NONE
from migrations.schema.state import lease
from migrations.schema.types import Instant
from toolkit.core.errors import Fenced, LeaseHeld

_acquire = query("acquire_lease").bindparams(
    bindparam("expires_at", type_=Instant()), bindparam("now", type_=Instant())
)

_PART = re.compile(r":\d+/(\d+)")
_known = query("know_lease").bindparams(bindparam("now", type_=Instant()))


class SqlLeases:
    """Implements `toolkit.ports.Leases`. `skew` is what all add to their own clocks, so that they have one."""

    def __init__(self, engine: Engine, skew: Callable[[], dt.timedelta] = lambda: NONE) -> None:
        self._engine, self.skew = engine, skew

    def acquire(self, name: str, owner: str, ttl: dt.timedelta, now: dt.datetime, *, whole: str = "") -> int:
        """Take the lease and return its new epoch. Raises LeaseHeld while another's has not run out.

        With `whole`, it is a part of that lease (or that lease): those of any other division must have run out, too,
        and whoever held one is fenced.
        """
        now += self.skew()

        def take(connection: Connection) -> int | None:
            if whole:
                _divide(connection, name, whole, now)
            taken = {"name": name, "owner": owner, "expires_at": now + ttl, "now": now}
            epoch: int | None = connection.execute(_acquire, taken).scalar_one_or_none()
            return epoch

        unexpired = select(lease.c.name).where(lease.c.name.in_([name, whole]), lease.c.expires_at > now)
        epoch = taking_over(
            self._engine, take, what=name, may_end=lambda connection: connection.scalar(unexpired) is None
        )
        if epoch is None:
            raise self._held(name)
        return epoch

    def renew(self, name: str, epoch: int, ttl: dt.timedelta, now: dt.datetime) -> None:
        """Keep the lease, also one that ran out if nobody took it. Raises Fenced when somebody did."""
        if not self._expire(name, epoch, now + self.skew() + ttl):
            raise Fenced(f"{name}: another process leads now (this one's epoch was {epoch})")

    def release(self, name: str, epoch: int, now: dt.datetime) -> None:
        """Let the next one in at once. Without effect when the lease is no longer ours."""
        self._expire(name, epoch, now + self.skew())

    def _expire(self, name: str, epoch: int, at: dt.datetime) -> bool:
        ours = (lease.c.name == name) & (lease.c.epoch == epoch)
        with writing(self._engine) as connection:
            return connection.execute(update(lease).where(ours).values(expires_at=at)).rowcount == 1

    def _held(self, name: str) -> LeaseHeld:
        with reading(self._engine) as connection:
            row = connection.execute(select(lease).where(lease.c.name == name)).one_or_none()
        if row is None:
            return LeaseHeld(f"{name} was held a moment ago", advice="try again")
        return LeaseHeld(
            f"{name} is held by {row.owner} until {row.expires_at:%H:%M:%S}Z",
            advice="if that process lives, stop it first; if it died, try again then",
        )


def _divide(connection: Connection, name: str, whole: str, now: dt.datetime) -> None:
    """Take all leases of other divisions away. Raises LeaseHeld while one of them has not run out.

    Everybody who takes a part locks the row of the whole first, so that two divisions never begin at once.
    """
    connection.execute(_known, {"name": whole, "now": now})
    connection.execute(select(lease.c.name).where(lease.c.name == whole).with_for_update())
    family = (lease.c.name == whole) | lease.c.name.startswith(f"{whole}:", autoescape=True)
    rows = connection.execute(select(lease).where(family, lease.c.owner != "").order_by(lease.c.name))
    no_rivals = ("", _division(name, whole))
    rivals = [row for row in rows if _division(row.name, whole) not in no_rivals]
    for row in rivals:
        if row.expires_at > now:
            raise LeaseHeld(
                f"{name} cannot be taken: {row.name} is held by {row.owner} until {row.expires_at:%H:%M:%S}Z, and a source "
                "is led as a whole or in one number of shards at a time: stop what leads it, or set the same `shards` for all"
            )
    gone = update(lease).where(lease.c.name.in_([row.name for row in rivals]))
    connection.execute(gone.values(epoch=lease.c.epoch + 1, owner=""))


def _division(name: str, whole: str) -> str:
    """Into how many parts: `relay:crm:0/2` is one of 2. Empty for a lease of another source, whose name only begins alike."""
    if name == whole:
        return "1"
    found = _PART.fullmatch(name.removeprefix(whole))
    return found[1] if found else ""


def fence(connection: Connection, name: str, epoch: int) -> None:
    """Hold on to a lease for the rest of this transaction. Raises Fenced when the epoch is not the current one.

    The row stays locked, so nobody takes the lease over between this check and the commit. Where an engine has several
    writers, who leads may do several things at once under it: `alone` is for those that come one after the other.
    """
    current = connection.execute(
        select(lease.c.epoch).where(lease.c.name == name).with_for_update(read=_several_write(connection))
    ).scalar_one_or_none()
    if current is None:
        raise Fenced(f"nobody holds {name}: acquire the lease before writing under it")
    if current != epoch:
        raise Fenced(f"{name}: epoch {current} leads now, this process's was {epoch}")


def alone(connection: Connection, name: str) -> None:
    """Wait, once fenced, for whoever of the same epoch does the same, such as a former try that was given up for lost."""
    if _several_write(connection):
        locked = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
        connection.execute(locked, {"name": f"strangler {name}"})


def _several_write(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
