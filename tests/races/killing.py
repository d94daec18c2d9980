"""Who kills the processes that project an agency's events, and judges what they leave."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from adapters.read_store.sql import open_read_store
from migrations.schema.read_store import metadata
from tests.support.agency import VERSIONS, Agency, Expected, Rows
from tests.support.narrator import Narrator
from tests.support.processes import Child
from tests.support.waiting import wait_until
from toolkit.app import App
from toolkit.core.projections import Definition
from toolkit.loops.history import Origin
from toolkit.loops.keeping import Pace
from toolkit.loops.rebuild import Rebuild
from toolkit.ports import ReadStore

PROJECT = "tests.races.dying_projector"
Place = tuple[str, str, int]
"""When, step, and at which of its calls."""
LEAVING = (".release", ".close")
"""steps of a process that is told to stop"""


@dataclass(kw_only=True)
class Killing:
    """An agency under a narrator; each process reads in batches of its own, and a part of the log again."""

    agency: Agency
    app: App
    narrator: Narrator
    fresh: Callable[[], str]
    """URL of a new database for a rebuild"""
    random: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    checked: int = 0

    def projecting(
        self, name: str = "", place: Place = ("never", "-", 0), *, quietly: bool = False
    ) -> AbstractContextManager[Child]:
        """A process that projects; `quietly`, as it comes."""
        when, step, number = place
        seed = "" if quietly else str(self.random.randrange(10**6))
        return self.agency.child("-m", PROJECT, str(self.agency.folder), name, seed, when, step, str(number))

    # --- dying

    def steps(self, events: int = 1_500) -> dict[str, int]:
        """What a process that projects does, and how often in a while."""
        with self.projecting() as child:
            child.wait_for("runs", 60)
            self.narrator.go_on(events)
            self.wait_until_reached(len(self.narrator.records), child)
            assert child.terminate() == 0, child.output
        told = [line.split() for line in child.lines if line.startswith("step ")]
        return {name: int(count) for _, name, count in told}

    def kill_at(self, place: Place) -> None:
        """Let one die at a step."""
        when, step, number = place
        with self.projecting(place=place) as child:
            child.wait_for("runs", 60)
            try:
                code = child.wait(3 if step.endswith(LEAVING) else 60)
            except subprocess.TimeoutExpired:
                code = child.terminate(60)  # what it does when it leaves
            assert code == -9, f"{when} {step} {number} was not reached:\n{child.output[-10_000:]}"
        self._died(when)

    def kill_at_random(self) -> None:
        """Let one die anywhere: all versions together, or one projection alone beside the others."""
        name = self.random.choice(("", "", "latest", "totals", "covers"))
        with self.projecting(name) as child:
            child.wait_for("runs", 60)
            time.sleep(self.random.uniform(0, 1.2))
            child.kill()
        self._died("at random")

    def kill_zombie(self) -> None:
        """Let one sleep while another takes over, and wake up to what it was about to write; then both die."""
        with self.projecting() as zombie:
            zombie.wait_for("runs", 60)
            time.sleep(self.random.uniform(0.2, 1.0))
            zombie.pause()
            self.agency.let_the_leases_run_out()
            with self.projecting() as second:
                second.wait_for("runs", 60)
                time.sleep(self.random.uniform(0.5, 1.5))
                zombie.resume()
                time.sleep(self.random.uniform(0.2, 1.0))
                zombie.kill()
                second.kill()
        self._died("zombie")

    def _died(self, how: str) -> None:
        self.killed[how] += 1
        self.agency.let_the_leases_run_out()

    # --- judging

    def wait_until_reached(self, events: int, child: Child) -> None:
        """Wait until every version has so many events."""

        def reached() -> bool:
            assert self.narrator.failure is None, self.narrator.failure
            assert child.running, child.output[-20_000:]
            return all(
                sum(one.sequence for one in self.app.store.checkpoints(*version)) >= events
                for version in VERSIONS
            )

        wait_until(reached, 120, every=0.1, what=f"{events} events in every version")

    def judge(self) -> str:
        """Let one live until it has everything; then each table is the fold of the distinct events, and a fresh rebuild's."""
        self.narrator.end()
        records = self.narrator.records
        with self.projecting(quietly=True) as last:
            self.wait_until_reached(len(records), last)
            assert last.terminate() == 0, last.output[-20_000:]
        expected = Expected(records)
        for definition in self.agency.definitions(self.app):
            self._assert_folded(definition, expected)
        self._assert_rebuilt()
        self.checked += 1
        rows = sum(map(len, expected.rows.values()))
        return (
            f"{self.killed.total()} kills ({', '.join(f'{count} {how}' for how, count in sorted(self.killed.items()))}), "
            f"{len(records)} events, {self.narrator.duplicates} of them again and {self.narrator.early} too early in the log, "
            f"{rows} rows, {sum(map(len, expected.parked.values()))} parked; {self.checked} times the fold and the digest of a rebuild"
        )

    def _assert_folded(self, definition: Definition, expected: Expected) -> None:
        version = definition.name, definition.version
        rows, wanted = stored(self.app.store, definition), expected.rows[version]
        wrong = [key for key in rows.keys() | wanted.keys() if rows.get(key) != wanted.get(key)]
        examples = [(key, rows.get(key), wanted.get(key)) for key in sorted(wrong, key=str)[:3]]
        assert not wrong, f"{definition.identity}: {len(wrong)} of {len(wanted)} rows are wrong: {examples}"
        parked = [one.record.envelope.id for one in self.app.store.parked(*version)]
        assert sorted(parked) == sorted(expected.parked[version]), definition.identity

    def _assert_rebuilt(self) -> None:
        """From the archive and from the log by turns, in batches of another size."""
        origin = Origin.LOG if self.checked % 2 else Origin.ARCHIVE
        fresh = open_read_store(self.fresh())
        try:
            metadata.create_all(fresh.engine)
            for definition in self.agency.definitions(self.app):
                rebuild = Rebuild(
                    definition,
                    self.app.project.catalogue,
                    fresh,
                    self.app.state.archive,
                    self.app.log,
                    self.app.project.topics,
                    self.app.clock,
                    batch=self.random.choice((333, 5_000)),
                    pace=Pace(patience=0.1),
                    origin=origin,
                )
                rebuilt = rebuild.run()
                assert rebuilt.complete, rebuilt.detail
                live, built = self.app.store.digest(definition), fresh.digest(definition)
                assert (live.digest, live.rows) == (built.digest, built.rows), definition.identity
                assert live.parked == built.parked, definition.identity
        finally:
            fresh.close()


def stored(store: ReadStore, definition: Definition) -> Rows:
    """The rows of a version."""
    rows: Rows = {}
    after: object | None = None
    while page := store.rows(definition, after, 5_000):
        after = definition.key_in(page[-1])
        rows.update({definition.key_in(row): row for row in page})
    return rows
