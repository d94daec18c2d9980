"""kill -9 of what projects, at each step of its batch and at random: every table is the fold of the distinct events (R4).

Meanwhile events come twice, too early, from several producers and in any order of partitions; processes read the log
again from before their checkpoint; and one that slept wakes up when another has taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.races.killing import ANYWHERE, ZOMBIE, Killing, Place, killing_on, on, places, told

NEEDED = {
    "consumer.assign",
    "consumer.poll",
    "store.seize",
    "store.load",
    "store.load_under",
    "store.commit",
    "rows.add",
    "rows.upsert",
    "rows.delete",
    "bookkeeping.fence",
    "bookkeeping.move",
    "transaction.do_executemany",
    "transaction.do_commit",
    "keeper.take_over",
    "keeper.fold",
    "keeper.write",
    "keeper.written",
    "report",
    "leases.acquire",
    "leases.release",
}
"""steps that a batch, and who keeps a version, cannot do without"""

BETWEEN: Place = ("before", "bookkeeping.move", 6)
"""the rows are written, and the checkpoint is not"""
SOME: list[Place] = [
    ("after", "consumer.poll", 2),
    ("after", "keeper.fold", 4),
    ("during", "store.commit", 3),
    ("before", "transaction.do_commit", 40),
    ("after", "store.commit", 5),
    ("before", "report", 6),
]


ENGINES = [on("postgres", "kafka"), on("mariadb", "postgres"), on("sqlite", "sqlite")]


@pytest.fixture(params=ENGINES)
def killing(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Killing]:
    """All versions side by side, and somebody who tells events; nothing projects yet."""
    with killing_on(request, tmp_path, topic_name) as killing:
        yield killing


def test_killed_at_some_of_its_steps_it_applies_every_event_once(killing: Killing) -> None:
    with killing.narrator:
        killing.kill([BETWEEN, *killing.random.sample(SOME, 2), ZOMBIE, ANYWHERE])
    told(killing.judge())


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_a_hundred_times_at_each_of_its_steps_and_at_random_it_applies_every_event_once(
    killing: Killing,
) -> None:
    with killing.narrator:
        steps = killing.steps()
    assert steps.keys() >= NEEDED
    chosen: list[Place | str] = [*places(steps, killing.random), *[ZOMBIE] * 10]
    chosen += [ANYWHERE] * max(20, 100 - len(chosen))
    killing.random.shuffle(chosen)
    told(f"{len(chosen)} kills at {len(steps)} steps: {', '.join(sorted(steps))}")
    for first in range(0, len(chosen), 20):
        with killing.narrator:
            killing.kill(chosen[first : first + 20])
        told(killing.judge())
