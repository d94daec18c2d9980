"""The projection runner of the `eventsourcing` library on PostgreSQL: one upsert and one tracking row an event."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL
from sqlalchemy.engine import make_url

PER_POLICY = 20
_NOTE = "n" * 250


class Policy(Aggregate):
    @event("Opened")
    def __init__(self, policy_no: str) -> None:
        self.policy_no, self.premium, self.status = policy_no, Decimal(0), "in_force"

    @event("TermsAgreed")
    def agree(self, policy_no: str, holder: str, premium: Decimal, status: str, note: str) -> None:
        self.policy_no, self.premium, self.status = policy_no, premium, status
        self.holder, self.note = holder, note


class Policies(Application[UUID]):
    pass


class View(PostgresTrackingRecorder):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sql_create_statements.append(
            SQL(  # type: ignore[arg-type]
                "CREATE TABLE IF NOT EXISTS policy_view (policy_no text PRIMARY KEY, holder text, premium numeric,"
                " status text, agreements bigint)"
            )
        )

    def agreed(self, one: Any, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO policy_view VALUES (%s, %s, %s, %s, 1) ON CONFLICT (policy_no) DO UPDATE SET"
                " holder = excluded.holder, premium = excluded.premium, status = excluded.status,"
                " agreements = policy_view.agreements + 1",
                (one.policy_no, one.holder, one.premium, one.status),
                prepare=True,
            )

    def passed(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)


class PolicyProjection(Projection[View]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Policy.TermsAgreed):  # type: ignore[attr-defined]
            self.view.agreed(domain_event, tracking)
        else:
            self.view.passed(tracking)


def project(url: str, events: int) -> float:
    """Project so many events; returns events a second."""
    at = make_url(url)
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": at.database or "",
        "POSTGRES_HOST": at.host or "",
        "POSTGRES_PORT": str(at.port or 5432),
        "POSTGRES_USER": at.username or "",
        "POSTGRES_PASSWORD": at.password or "none",
    }
    policies, last = Policies(env), 0
    for number in range(-(-events // PER_POLICY)):
        policy = Policy(policy_no=f"P{number:09}-{uuid4().hex[:4]}")
        for turn in range(PER_POLICY - 1):
            policy.agree(policy.policy_no, f"Holder {number}", Decimal(turn), "in_force", _NOTE)
        last = policies.save(policy)[-1].notification.id
    began = time.monotonic()
    with ProjectionRunner(
        application_class=Policies, projection_class=PolicyProjection, view_class=View, env=env
    ) as runner:
        runner.wait(last, timeout=600)
        took = time.monotonic() - began
    policies.close()
    return events / took
