"""Evidence in the state database: shadow runs, discrepancies, acceptances, verifications, rehearsals, waivers."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, delete, insert, select

from adapters.engines import reading, writing
from migrations.schema.state import acceptance, discrepancy, rehearsal, shadow_run, verification, waiver
from toolkit.core.evidence import (
    Acceptance,
    Discrepancy,
    Rehearsal,
    RunSummary,
    ShadowRun,
    Verification,
    Waiver,
)

KEY_LENGTH = 300
_RUN_COLUMNS = ("id", "capability", "config_hash", "versions", "started_at", "ended_at", "verdict")


class EvidenceStore:
    """What was found out, for gates, guard and people. Implements the port `Evidence` on SQLite and PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- shadow runs -----------------------------------------------------------------------

    def save_run(self, run: ShadowRun, discrepancies: Sequence[Discrepancy]) -> None:
        """Store a run with its discrepancies, in one transaction. Storing it again replaces it."""
        columns = {name: getattr(run, name) for name in _RUN_COLUMNS}
        outcome = {
            name: value for name, value in msgspec.to_builtins(run).items() if name not in _RUN_COLUMNS
        }
        rows = [msgspec.structs.asdict(one) | {"key": _fitting(one.key)} for one in discrepancies]
        with writing(self._engine) as connection:
            connection.execute(delete(discrepancy).where(discrepancy.c.run_id == run.id))
            connection.execute(delete(shadow_run).where(shadow_run.c.id == run.id))
            connection.execute(insert(shadow_run), columns | {"outcome": outcome})
            if rows:
                connection.execute(insert(discrepancy), rows)

    def last_run(self, capability: str, config_hash: str, now: dt.datetime) -> RunSummary | None:
        """The latest run under this configuration, under the acceptances that are in force at `now`."""
        wanted = _runs(capability).where(shadow_run.c.config_hash == config_hash).limit(1)
        found = self._first(wanted)
        return None if found is None else _run(found).summary(self.acceptances(capability, now))

    def runs(self, capability: str | None = None, limit: int = 20) -> list[ShadowRun]:
        """The latest runs, newest first, of one capability or of all."""
        return [_run(row) for row in self._all(_runs(capability).limit(limit))]

    def discrepancies(
        self, capability: str, run_id: str | None = None, fingerprint: str | None = None
    ) -> list[Discrepancy]:
        """The examples that a run kept (the latest run if none is named), of one fingerprint or of all."""
        latest = select(shadow_run.c.id).where(shadow_run.c.capability == capability)
        latest = latest.order_by(shadow_run.c.ended_at.desc(), shadow_run.c.id.desc()).limit(1)
        run = latest.scalar_subquery() if run_id is None else run_id
        wanted = select(discrepancy).where(
            discrepancy.c.capability == capability, discrepancy.c.run_id == run
        )
        if fingerprint is not None:
            wanted = wanted.where(discrepancy.c.fingerprint == fingerprint)
        wanted = wanted.order_by(discrepancy.c.fingerprint, discrepancy.c.key)
        return [Discrepancy(**row._mapping) for row in self._all(wanted)]

    def open_discrepancies(self, capability: str, now: dt.datetime) -> list[Discrepancy]:
        """Those of the latest run that nobody answers for at `now`."""
        accepted = self.acceptances(capability, now)
        return [one for one in self.discrepancies(capability) if one.fingerprint not in accepted]

    def prune_runs(self, older_than: dt.datetime) -> int:
        """Delete runs that ended before, with their discrepancies. Returns how many runs went."""
        old = select(shadow_run.c.id).where(shadow_run.c.ended_at < older_than)
        with writing(self._engine) as connection:
            connection.execute(delete(discrepancy).where(discrepancy.c.run_id.in_(old)))
            return connection.execute(delete(shadow_run).where(shadow_run.c.ended_at < older_than)).rowcount

    # --- acceptances -----------------------------------------------------------------------

    def accept(self, capability: str, fingerprint: str, one: Acceptance, now: dt.datetime) -> None:
        """Accept a fingerprint, in place of a former acceptance of it."""
        row = {"capability": capability, "fingerprint": fingerprint, "accepted_at": now}
        with writing(self._engine) as connection:
            _forget(connection, capability, fingerprint)
            connection.execute(insert(acceptance), row | msgspec.structs.asdict(one))

    def withdraw(self, capability: str, fingerprint: str) -> bool:
        """Take an acceptance back. False: there was none."""
        with writing(self._engine) as connection:
            return _forget(connection, capability, fingerprint) > 0

    def acceptances(self, capability: str, now: dt.datetime | None = None) -> dict[str, Acceptance]:
        """By fingerprint: those in force at `now`, or all that were ever given."""
        wanted = select(acceptance).where(acceptance.c.capability == capability)
        if now is not None:
            wanted = wanted.where(acceptance.c.expires_at > now)
        return {
            row.fingerprint: Acceptance(owner=row.owner, reason=row.reason, expires_at=row.expires_at)
            for row in self._all(wanted)
        }

    # --- verifications, rehearsals, waivers ------------------------------------------------

    def save_verification(self, one: Verification) -> None:
        """Store the outcome of a verification."""
        self._insert(insert(verification), msgspec.structs.asdict(one))

    def last_verification(self, projection: str, version: int) -> Verification | None:
        """The latest verification of a projection's version."""
        wanted = (
            select(verification)
            .where(verification.c.projection == projection, verification.c.version == version)
            .order_by(verification.c.at.desc(), verification.c.id.desc())
            .limit(1)
        )
        row = self._first(wanted)
        return None if row is None else Verification(**_without_id(row))

    def save_rehearsal(self, rehearsal_: Rehearsal) -> None:
        """Store the outcome of a rehearsal."""
        self._insert(insert(rehearsal), msgspec.structs.asdict(rehearsal_))

    def last_rehearsal(self, capability: str, consumer: str) -> Rehearsal | None:
        """The latest rehearsal of the way back, for one consumer."""
        wanted = (
            select(rehearsal)
            .where(rehearsal.c.capability == capability, rehearsal.c.consumer == consumer)
            .order_by(rehearsal.c.at.desc(), rehearsal.c.id.desc())
            .limit(1)
        )
        row = self._first(wanted)
        return None if row is None else Rehearsal(**_without_id(row))

    def grant(self, waiver_: Waiver, now: dt.datetime) -> None:
        """Store a waiver in place of a former one for the same capability and gate."""
        same = (waiver.c.capability == waiver_.capability) & (waiver.c.gate == waiver_.gate)
        with writing(self._engine) as connection:
            connection.execute(delete(waiver).where(same))
            connection.execute(insert(waiver), msgspec.structs.asdict(waiver_) | {"granted_at": now})

    def waivers(self, capability: str | None = None) -> list[Waiver]:
        """All waivers that were granted, expired ones too."""
        wanted = select(*(waiver.c[name] for name in Waiver.__struct_fields__))
        if capability is not None:
            wanted = wanted.where(waiver.c.capability == capability)
        wanted = wanted.order_by(waiver.c.capability, waiver.c.gate)
        return [Waiver(**{**row._mapping, "covers": tuple(row.covers)}) for row in self._all(wanted)]

    def active_waivers(self, capability: str, now: dt.datetime) -> list[Waiver]:
        """Those that are in force at `now`."""
        return [one for one in self.waivers(capability) if one.active(now)]

    # --- the database ----------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with reading(self._engine) as connection:
            yield connection

    def _all(self, wanted: Select[Any]) -> Sequence[Row[Any]]:
        with self._reading() as connection:
            return connection.execute(wanted).all()

    def _first(self, wanted: Select[Any]) -> Row[Any] | None:
        with self._reading() as connection:
            return connection.execute(wanted).first()

    def _insert(self, statement: Any, values: Mapping[str, object]) -> None:
        with writing(self._engine) as connection:
            connection.execute(statement, values)


def _runs(capability: str | None) -> Select[Any]:
    wanted = select(shadow_run).order_by(shadow_run.c.ended_at.desc(), shadow_run.c.id.desc())
    return wanted if capability is None else wanted.where(shadow_run.c.capability == capability)


def _run(row: Row[Any]) -> ShadowRun:
    columns = {name: row._mapping[name] for name in _RUN_COLUMNS}
    return msgspec.convert({**row.outcome, **columns}, ShadowRun)


def _without_id(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "id"}


def _forget(connection: Connection, capability: str, fingerprint: str) -> int:
    same = (acceptance.c.capability == capability) & (acceptance.c.fingerprint == fingerprint)
    return connection.execute(delete(acceptance).where(same)).rowcount


def _fitting(key: str) -> str:
    """The key, or as much of it as its column holds with a hash that keeps it apart from others."""
    if len(key) <= KEY_LENGTH:
        return key
    return key[: KEY_LENGTH - 17] + "~" + hashlib.sha256(key.encode()).hexdigest()[:16]
