"""The sandwich against everything that chance can do between two reads."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadow.sandwich import Patience, Sandwich, Verdict
from tests.shadow.builders import rules
from tests.shadow.fakes import key
from tests.shadow.world import VALUES, Project, World

KEYS = ("P-1", "P-2", "P-3")
WORLDS = settings(max_examples=400)
seeds = st.integers(0, 2**32)
patience = st.sampled_from(
    [Patience(settle=0), Patience(settle=5, first_look_again=1), Patience(settle=0, rounds=0)]
)


def wrong_for(bad: str) -> Project:
    """A projection that turns one key's every value into another one."""
    return lambda label, value: VALUES[(VALUES.index(value) + 1) % 3] if label == bad else value


def verdicts(world: World, patient: Patience) -> dict[str, Verdict]:
    found = Sandwich(rules(), world.sides(), patient).judge([key(label) for label in KEYS])
    assert sorted(one.key.label for one in found) == sorted(KEYS)
    return {one.key.label: one.verdict for one in found}


@WORLDS
@given(seeds, st.sampled_from([0.2, 0.5, 0.8]), patience)
def test_a_correct_projection_never_raises_an_alarm(seed: int, busy: float, patient: Patience) -> None:
    found = verdicts(World(Random(seed), KEYS, busy=busy), patient)
    assert Verdict.CONFIRMED not in found.values()


@WORLDS
@given(seeds, st.sampled_from([0.2, 0.5, 0.8]), patience)
def test_where_no_value_comes_back_capture_need_not_be_asked(
    seed: int, busy: float, patient: Patience
) -> None:
    found = verdicts(World(Random(seed), KEYS, busy=busy, onward=True), patient)
    assert Verdict.CONFIRMED not in found.values()


@WORLDS
@given(seeds, patience)
def test_every_permanent_error_is_confirmed_once_its_key_stands_still(seed: int, patient: Patience) -> None:
    world = World(Random(seed), KEYS, project=wrong_for("P-2"), busy=0.5)
    for _ in range(20):
        world.chance()
    world.quiet = True
    world.tick += 1  # what was written before is before
    found = verdicts(world, patient)
    assert found["P-2"] is Verdict.CONFIRMED
    assert {found["P-1"], found["P-3"]} <= {Verdict.MATCH, Verdict.TEMPORAL}


@WORLDS
@given(seeds, st.sampled_from([0.2, 0.5]))
def test_a_permanent_error_never_passes_for_a_match(seed: int, busy: float) -> None:
    # A wrong value may by chance be what legacy said a moment ago; one that legacy never says may not pass.
    world = World(Random(seed), KEYS, project=lambda _, value: f"not {value}", busy=busy)
    found = verdicts(world, Patience(settle=3, first_look_again=1))
    assert found["P-2"] in (Verdict.CONFIRMED, Verdict.UNSETTLED, Verdict.TIMEOUT)


@given(seeds)
def test_a_dead_relay_gives_timeouts_and_nothing_else(seed: int) -> None:
    world = World(Random(seed), KEYS, busy=0.5, dead=True)
    assert set(verdicts(world, Patience(settle=0)).values()) == {Verdict.TIMEOUT}


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_key_is_judged_in_most_worlds(seed: int) -> None:
    """Never an alarm is easy for one who never judges."""
    found = [
        verdict
        for number in range(100)
        for verdict in verdicts(World(Random(seed * 100 + number), KEYS), Patience(settle=0)).values()
    ]
    assert sum(one in (Verdict.MATCH, Verdict.TEMPORAL) for one in found) > 0.9 * len(found)
