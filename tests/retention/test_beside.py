"""Prune beside everything else that runs, and killed in the middle of it."""

import datetime as dt
import subprocess
import sys
import threading
from contextlib import suppress

from tests.retention.world import BOOK, EVERYTHING, POLICY, World, issued, tomorrow
from tests.support.read_store import TOPIC
from toolkit.core.errors import HistoryGone
from toolkit.loops.prune import Limits


def test_killed_in_the_middle_it_goes_on_and_nothing_is_lost_or_doubled(world: World) -> None:
    given = world.happen(*(issued(number) for number in range(60)))
    world.publish()
    world.drain(POLICY, BOOK)
    world.state.retention.prepare(dt.datetime.now(dt.UTC).date(), monthly=True)
    url = world.state.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.retention.pruner", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit() and int(line) >= 20:
                process.kill()
    assert process.returncode == -9
    left = sum(one.count for one in world.plan().events)
    assert left == 0, "it was cut at once"
    pruning = world.pruning()
    pruning._clock = lambda: tomorrow() + dt.timedelta(minutes=1)  # its lease has run out
    assert 0 < pruning.run(EVERYTHING).events <= 40
    assert world.archive_again(given) == []
    world.happen(issued(100))
    world.publish()
    world.drain(POLICY, BOOK)
    for definition in (POLICY, BOOK):
        assert world.rows(definition) == world.told(definition)


def test_beside_a_relay_projectors_and_readers_nobody_misses_anything(world: World) -> None:
    world.happen(issued(0))
    world.publish()
    world.drain(POLICY, BOOK)
    stop, errors = threading.Event(), []

    def until_stopped(work: object) -> threading.Thread:
        def loop() -> None:
            try:
                while not stop.is_set():
                    work()  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def read() -> None:
        for first in (0, 5):
            with suppress(HistoryGone):
                found = world.state.archive.scan(TOPIC, {0: first, 1: first}, 50)
                by = [one.content.sequence for one in found if one.at.partition == 0]  # type: ignore[union-attr]
                assert by == list(range(first + 1, first + 1 + len(by)))

    threads = [
        until_stopped(lambda: world.advance(POLICY, 20)),
        until_stopped(lambda: world.advance(BOOK, 20)),
        until_stopped(lambda: world.pruning().run(EVERYTHING, ["policy_view"])),
        until_stopped(read),
    ]
    for number in range(1, 40):
        world.happen(*(issued(number * 10 + at) for at in range(10)))
        world.publish()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    world.drain(POLICY, BOOK)
    assert world.pruning().run(Limits(archive=EVERYTHING.archive)).complete
    assert min(world.kept().values()) > 100, "pruned it was"
    for definition in (POLICY, BOOK):
        assert world.rows(definition) == world.told(definition)
