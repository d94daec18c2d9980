"""Pagila captured without a trigger: by snapshot, from the first pass to the reads (R1, R3)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.legacy.fetching.snapshot import open_snapshot
from tests.pagila.test_pagila import EXAMPLE, load
from tests.servers.postgres import PostgresServer
from tests.support.flowing import following, prepare
from tests.support.folds import differences_from_fold
from toolkit import registry
from toolkit.app import App, open_project
from toolkit.cli.shadows import run_one

FEWER = (
    "DELETE FROM payment; DELETE FROM rental WHERE rental_id > 1000; "
    "UPDATE rental SET return_date = NULL WHERE rental_id BETWEEN 100 AND 140; "
    "DELETE FROM inventory i WHERE NOT EXISTS (SELECT 1 FROM rental r WHERE r.inventory_id = i.inventory_id)"
)
SNAPSHOT = '\n[legacy.pagila.snapshot]\ninterval = "3s"\n'


@pytest.fixture
def pagila(
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[App]:
    monkeypatch.setattr(registry, "capture", {"snapshot": open_snapshot}.__getitem__)
    shutil.copytree(EXAMPLE / "project", tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    settings = tmp_path / "project" / "strangler.toml"
    told = settings.read_text().replace('capture = "trigger"', 'capture = "snapshot"')
    settings.write_text(told + SNAPSHOT)
    with postgres_server.database() as legacy, postgres_server.database() as reads:
        load(legacy)
        postgres_server.sql(FEWER, legacy.rsplit("/", 1)[1].split("?")[0])
        monkeypatch.setenv("LEGACY_URL", legacy)
        monkeypatch.setenv("READ_STORE_URL", reads)
        with open_project(tmp_path / "project") as app:
            yield app


def test_the_reads_are_the_same_on_both_sides_also_after_changes(
    pagila: App, postgres_server: PostgresServer
) -> None:
    prepare(pagila)
    database = os.environ["LEGACY_URL"].rsplit("/", 1)[1].split("?")[0]
    postgres_server.sql(
        "UPDATE rental SET return_date = now() WHERE rental_id BETWEEN 110 AND 130",
        database,
    )
    postgres_server.sql("DELETE FROM rental WHERE rental_id = 2", database)
    with following(pagila):
        found = run_one(pagila, "rentals-at-home")
    assert [line.title for line in found.lines if line.finding] == []
    assert found.counts.get("match") == 599
    assert differences_from_fold(pagila, pagila.project.topic("pagila")) == {}
