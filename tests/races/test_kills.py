"""kill -9 of the relay at each of its steps, and at random, under writers: the fold of the log is the table (R1..R4)."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter

import pytest

from tests.races.conftest import SERVERS
from tests.support.bank import Bank
from tests.support.published import assert_published_is_the_table
from tests.support.racing import Writers
from tests.support.waiting import wait_until

NEEDED = {"pending", "mark", "append", "published", "publish", "watermark", "acquire"}
"""methods that a relay cannot do without"""


def writers(bank: Bank) -> Writers:
    return Writers(bank, writers=4, pause=0.03, mending=True)


def steps_of(bank: Bank) -> dict[str, int]:
    """What a relay does under writers, and how often in a while."""
    with bank.child("-m", "tests.races.dying", str(bank.folder), "never", "-", "0") as child:
        with writers(bank) as writing:
            writing.go_on(100)
        assert_published_is_the_table(bank)
        assert child.terminate() == 0, child.output
    told = [line.split() for line in child.lines if line.startswith("step ")]
    return {name: int(count) for _, name, count in told}


def places(steps: dict[str, int], random_: random.Random) -> list[tuple[str, str, int]]:
    """Before and after each step, and in the midst of producing; at its first call, or a later one."""
    found = [
        (when, step, random_.randint(1, min(count, 4)))
        for step, count in steps.items()
        for when in ("before", "after")
    ]
    produced = [step for step in steps if step.endswith((".publish", ".watermark"))]
    return found + [("during", step, random_.randint(1, 4)) for step in produced for _ in range(4)]


def killed_at(bank: Bank, when: str, step: str, number: int) -> None:
    with bank.child("-m", "tests.races.dying", str(bank.folder), when, step, str(number)) as child:
        try:
            code = child.wait(20 if step.endswith(".release") else 60)
        except subprocess.TimeoutExpired:
            code = child.terminate(60)  # what it does when it leaves
        assert code == -9, f"{when} {step} {number} was not reached:\n{child.output}"
    bank.let_the_lease_run_out()


def killed_at_random(bank: Bank, random_: random.Random) -> None:
    epoch = bank.epoch()
    with bank.relay() as child:
        wait_until(lambda: bank.epoch() > epoch, 60, what="the relay to lead")
        time.sleep(random_.uniform(0, 1.5))
        child.kill()
    bank.let_the_lease_run_out()


def killed(bank: Bank, chosen: list[tuple[str, str, int] | None]) -> int:
    """Kill at each of these places (None: anywhere), then let a relay live; returns the duplicates that the log holds."""
    random_ = random.Random(7)
    with writers(bank) as writing:
        for place in chosen:
            if place is None:
                killed_at_random(bank, random_)
            else:
                killed_at(bank, *place)
        writing.go_on(10)
    with bank.relay() as last:
        published = assert_published_is_the_table(bank)
        assert last.terminate() == 0, last.output
    told = (
        f"{len(chosen)} kills, {len(published.records)} events, {published.duplicates} duplicates in the log"
    )
    print(f"\n{bank.dialect}: {told}")  # noqa: T201
    return published.duplicates


@pytest.mark.parametrize("bank", SERVERS[:1], indirect=True)
def test_killed_at_some_of_its_steps_and_at_random_it_loses_and_doubles_nothing(bank: Bank) -> None:
    steps = steps_of(bank)
    assert {step.partition(".")[2] for step in steps} >= NEEDED
    # After the log has acknowledged, and before that is known, is where duplicates come from.
    ((publish, _),) = [one for one in steps.items() if one[0].endswith(".publish")]
    random_ = random.Random(3)
    often = {step: count for step, count in steps.items() if count > 1}
    chosen = random_.sample(places(often, random_), 5)
    assert killed(bank, [("after", publish, 2), *chosen, None, None]) > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bank", SERVERS, indirect=True)
def test_killed_a_hundred_times_at_each_of_its_steps_and_at_random_it_loses_and_doubles_nothing(
    bank: Bank,
) -> None:
    steps, random_ = steps_of(bank), random.Random(5)
    chosen: list[tuple[str, str, int] | None] = [*places(steps, random_)]
    print(f"\n{bank.dialect}: {Counter(when for when, *_ in places(steps, random_))} of {sorted(steps)}")  # noqa: T201
    chosen += [None] * max(10, 100 - len(chosen))
    random_.shuffle(chosen)
    for first in range(0, len(chosen), 20):
        killed(bank, chosen[first : first + 20])
