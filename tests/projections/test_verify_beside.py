"""Verified beside a stream of live events: the row that somebody wrote by hand is named, and no row that merely changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.support.flowing import prepare, reach_now
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit.app import App
from toolkit.cli.app import run

SIZE = 60
DRIFTED = "P000000007"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def insurer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Insurer]:
    """The project with its log in SQL: on files, or all of it on PostgreSQL."""
    if request.param == "sqlite":
        yield make_insurer(tmp_path / "project", {}, size=SIZE)
        return
    server = request.getfixturevalue("postgres_server")
    with server.database() as legacy, server.database() as reads:
        environment = {"LEGACY_URL": legacy, "READ_STORE_URL": reads}
        yield make_insurer(tmp_path / "project", environment, size=SIZE)


@contextmanager
def changing(url: str) -> Iterator[Callable[[], int]]:
    """Somebody commits a change of one policy after the other, but not of the drifted one. Gives how many so far."""
    stop, done = threading.Event(), [0]
    engine = create_engine(url)
    with engine.begin() as connection:
        known = connection.scalars(text("SELECT POL_NO FROM POLMAST")).all()
    keys = [one for one in known if one.strip() != DRIFTED]

    def change() -> None:
        while not stop.wait(0.001):
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE POLMAST SET PREM_CENTS = PREM_CENTS + 100 WHERE POL_NO = :key"),
                    {"key": keys[done[0] % len(keys)]},
                )
            done[0] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield lambda: done[0]
    finally:
        stop.set()
        thread.join()
        engine.dispose()


def drift(app: App) -> str:
    """Another broker than the events give, by hand. Gives the one before."""
    definition = app.project.definition("customer_policy", 2)
    (row,) = app.store.load(definition, [DRIFTED]).values()
    engine = app.store.engine  # type: ignore[attr-defined]
    with engine.begin() as connection:
        table = '"customer_policy__v2"'
        connection.execute(
            text(f"UPDATE {table} SET product = 'BY-HAND' WHERE policy_no = :key"), {"key": DRIFTED}
        )
    return str(row["product"])


def test_the_row_that_drifted_is_named_and_only_it_while_hundreds_of_changes_a_second_go_through(
    insurer: Insurer, capsys: pytest.CaptureFixture[str]
) -> None:
    def verify(*options: str) -> tuple[int, Any]:
        code = run(
            ["verify", "customer_policy", "--version", "2", "--project", str(insurer.folder), *options]
        )
        return code, capsys.readouterr().out

    with opened(insurer) as app:
        prepare(app)
        with insurer.running("run"), changing(insurer.legacy) as changes:
            reach_now(app)
            begun = time.monotonic()
            for _ in range(2):
                before = changes()
                code, said = verify("--here", "--json")
                assert code == 0, said
                assert changes() > before
            product = drift(app)
            code, said = verify("--json")
            told = json.loads(said)
            assert (code, told["drifted"], told["deterministic"]) == (1, True, True), told
            again = f"strangler repair key customer_policy {DRIFTED}"
            values = {"column": "product", "live": "BY-HAND", "given": product}
            assert told["differing"] == [{"key": DRIFTED, **values, "next": again}], told["detail"]
            code, said = verify("--here")
            assert code == 1
            assert f"policy_no '{DRIFTED}': product is 'BY-HAND', and its events give '{product}'" in said
            assert said.count("policy_no '") == said.count(again) == 1
            assert run([*again.split()[1:], "--project", str(insurer.folder)]) == 0
            capsys.readouterr()
            assert verify("--here")[0] == 0
            print(f"{changes() / (time.monotonic() - begun):.0f} changes a second")  # noqa: T201
