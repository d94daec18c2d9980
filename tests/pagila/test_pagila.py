"""Pagila, a database that nobody here wrote: the shipped view says 'active' of 15 customers who are not."""

from __future__ import annotations

import lzma
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.support.flowing import following, prepare
from toolkit.app import App, open_project
from toolkit.cli.shadows import run_one

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pagila"


@pytest.fixture
def pagila(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    with postgres_server.database() as legacy, postgres_server.database() as reads:
        load(legacy)
        monkeypatch.setenv("LEGACY_URL", legacy)
        monkeypatch.setenv("READ_STORE_URL", reads)
        with open_project(EXAMPLE / "project") as app:
            yield app


def load(url: str) -> None:
    script = lzma.decompress((EXAMPLE / "pagila.sql.xz").read_bytes())
    target = url.replace("postgresql+psycopg://", "postgresql://")
    done = subprocess.run(
        ["psql", "-q", "-d", target], input=script, capture_output=True, check=True, env=os.environ
    )
    assert b"ERROR" not in done.stderr, done.stderr[-2000:]


def test_the_shipped_view_calls_15_customers_active_who_may_not_rent(pagila: App) -> None:
    prepare(pagila)
    with following(pagila):
        found = run_one(pagila, "customer-list")
    assert found.known == 599
    assert [(line.kind.value, line.path, line.keys) for line in found.lines if line.finding] == [
        ("semantic", "notes", 15)
    ]
    assert found.counts.get("match") == 599 - 15


def test_the_rental_read_is_the_same_on_both_sides_also_after_changes(
    pagila: App, postgres_server: PostgresServer
) -> None:
    prepare(pagila)
    database = os.environ["LEGACY_URL"].rsplit("/", 1)[1].split("?")[0]
    postgres_server.sql(
        "UPDATE rental SET return_date = now() WHERE rental_id IN (SELECT rental_id FROM rental WHERE return_date IS NULL LIMIT 20)",
        database,
    )
    postgres_server.sql(
        "DELETE FROM payment WHERE rental_id = 2; DELETE FROM rental WHERE rental_id = 2", database
    )
    with following(pagila):
        found = run_one(pagila, "rentals-at-home")
    assert [line.title for line in found.lines if line.finding] == []
    assert found.counts.get("match") == 599


def test_removing_capture_leaves_no_trace(pagila: App, postgres_server: PostgresServer) -> None:
    database = os.environ["LEGACY_URL"].rsplit("/", 1)[1].split("?")[0]
    objects = (
        "SELECT 'trigger', tgname::text FROM pg_trigger WHERE NOT tgisinternal "
        "UNION ALL SELECT 'function', proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname NOT LIKE 'pg_%' AND n.nspname <> 'information_schema' "
        "UNION ALL SELECT 'relation', n.nspname || '.' || c.relname FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg_%' ORDER BY 1, 2"
    )
    before = postgres_server.sql(objects, database)
    capture = pagila.legacy("pagila").capture
    capture.install(capture.plan(pagila.project.captured("pagila")))
    assert postgres_server.sql(objects, database) != before
    capture.remove(capture.plan(pagila.project.captured("pagila")))
    assert postgres_server.sql(objects, database) == before
