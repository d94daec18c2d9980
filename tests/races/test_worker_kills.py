"""kill -9 of processes that share versions, while the log divides its partitions anew each time: as if there were one (R4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.races.killing import ANYWHERE, ZOMBIE, Killing, Place, killing_on, on, places, told

SHARED = ("latest", "covers")
"""the projections whose rows come from one subject each"""
NEEDED = {
    "claims.claim",
    "claims.hold",
    "claims.join",
    "claims.note",
    "keeper.claim",
    "keeper.write",
    "store.commit",
    "worker.take",
}
"""steps that one of several workers cannot do without"""
KIP_848 = on("postgres", "kafka", "consumer", 2)
CREWS = [
    on("postgres", "kafka", "classic", 1),
    KIP_848,
    on("mariadb", "postgres", "leases", 1),
    on("sqlite", "sqlite", "leases", 2),
]


@pytest.fixture(params=CREWS)
def crew(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Killing]:
    """Two or three processes that share versions: whoever dies or comes, partitions change hands."""
    *_, protocol, others = request.param
    protocol = "consumer" if protocol == "consumer" else "classic"
    with killing_on(
        request, tmp_path, topic_name, shared=SHARED, protocol=protocol, others=others
    ) as killing:
        yield killing


@pytest.mark.parametrize("crew", [KIP_848], indirect=True)
def test_killed_while_partitions_change_hands_they_apply_every_event_once(crew: Killing) -> None:
    with crew.narrator, crew.beside():
        crew.kill([("before", "claims.note", 4), ZOMBIE])
    told(crew.judge())


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_a_hundred_times_while_partitions_change_hands_they_apply_every_event_once(
    crew: Killing,
) -> None:
    with crew.narrator, crew.beside():
        steps = crew.steps()
    assert steps.keys() >= NEEDED
    chosen: list[Place | str] = [*crew.random.sample(places(steps, crew.random), 60), *[ZOMBIE] * 6]
    chosen += [ANYWHERE] * 10
    crew.random.shuffle(chosen)
    told(f"{len(chosen)} kills at {len(steps)} steps: {', '.join(sorted(steps))}")
    while chosen or crew.killed.total() < 100:
        some, chosen = chosen[:15] or [ANYWHERE], chosen[15:]
        with crew.narrator, crew.beside():
            crew.kill(some)
        told(crew.judge())
