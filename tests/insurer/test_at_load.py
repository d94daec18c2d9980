"""The insurer on PostgreSQL and Apache Kafka: no false alarm under load, and nothing lost or doubled by kills."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.insurer.estate.writer import LiveWriter
from shadow.classify import Kind
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.support.flowing import prepare, reach_now
from tests.support.folds import differences_from_fold
from tests.support.insurer import SOURCE, Insurer, make_insurer, opened
from toolkit.app import App
from toolkit.cli.shadows import run_one

CAPABILITIES = ("portal-policy", "agent-case", "compliance-queue", "claim-cover")
SIZE = 400


@pytest.fixture
def insurer(
    postgres_server: PostgresServer, kafka_server: KafkaServer, topic_name: str, tmp_path: Path
) -> Iterator[Insurer]:
    """The mended project on two databases and a broker; its topics are its own because its name is."""
    with postgres_server.database() as legacy, postgres_server.database() as reads:
        environment = {
            "LEGACY_URL": legacy,
            "READ_STORE_URL": reads,
            "LOG_URL": f"kafka://{kafka_server.bootstrap}",
        }
        made = make_insurer(tmp_path / "project", environment, size=SIZE)
        settings = made.folder / "strangler.toml"
        settings.write_text(settings.read_text().replace('name = "insurer"', f'name = "{topic_name}"'))
        with opened(made) as app:
            prepare(app)
        yield made


def alarms(app: App, capability: str, keys: int = 0) -> tuple[list[str], int]:
    """What a shadow run says is wrong, and how many pairs it judged.

    Drift that healed is no alarm here: how long it lasts is the machine's business, not the comparison's.
    """
    result = run_one(app, capability, keys=keys)
    wrong = [line for line in result.lines if line.finding and line.kind is not Kind.TEMPORAL]
    return [f"{one.kind} {one.title} ({one.keys}): {one.examples[:2]}" for one in wrong], result.proof.judged


@pytest.mark.parametrize("keys", [50, pytest.param(150, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_no_false_alarm_while_200_transactions_a_second_commit(insurer: Insurer, keys: int) -> None:
    with insurer.running("relay"), insurer.running("project"), opened(insurer) as app:
        reach_now(app)
        with LiveWriter(insurer.legacy, seed=3, rate=200, confirm_lag=1.0) as writer:
            started = time.monotonic()
            found = {name: alarms(app, name, keys=keys) for name in CAPABILITIES}
            seconds = time.monotonic() - started
        committed = writer.total
    assert {name: findings for name, (findings, _) in found.items()} == {name: [] for name in CAPABILITIES}
    assert all(judged > 0 for _, judged in found.values()), found
    assert committed > 0
    print(f"{committed} transactions in {seconds:.1f} s; judged {[judged for _, judged in found.values()]}")  # noqa: T201


def kill_and_compare(insurer: Insurer, *, kills: int, rate: float, pauses: tuple[float, float]) -> int:
    """Kill relay and projector in mid-stream, again and again; then compare everything. Returns the transactions."""
    chance = random.Random(11)
    with LiveWriter(insurer.legacy, seed=5, rate=rate, confirm_lag=0.5) as writer:
        for _ in range(kills // 2):
            with ExitStack() as stack:
                children = [stack.enter_context(insurer.running(name)) for name in ("relay", "project")]
                time.sleep(chance.uniform(*pauses))
                for child in chance.sample(children, len(children)):
                    child.kill()
    with insurer.running("relay"), insurer.running("project"), opened(insurer) as app:
        reach_now(app, timeout=600)
        assert differences_from_fold(app, app.project.topic(SOURCE)) == {}
        found = {name: alarms(app, name)[0] for name in (*CAPABILITIES, "broker-portfolio")}
        assert found == {name: [] for name in found}
    return writer.total


def test_relay_and_projector_killed_in_mid_stream_lose_nothing_and_double_nothing(insurer: Insurer) -> None:
    assert kill_and_compare(insurer, kills=6, rate=100, pauses=(2.0, 4.0)) > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_nothing_and_double_nothing(insurer: Insurer) -> None:
    transactions = kill_and_compare(insurer, kills=100, rate=200, pauses=(1.5, 6.0))
    print(f"100 kills in {transactions} transactions: nothing lost, nothing doubled")  # noqa: T201
