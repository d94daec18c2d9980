"""Who kills the processes that project an agency's events, and judges what they leave."""

from __future__ import annotations

import itertools
import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from adapters.read_store.sql import open_read_store
from migrations.schema.read_store import metadata
from tests.races.conftest import SERVER_MARKS
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
PATIENCE = 100
"""Seconds, on a machine that has other things to do."""
REFUSED = ("another process", "begins anew")
"""what one says whose version, or partitions, are another's by now"""
ZOMBIE, ANYWHERE = "zombie", "anywhere"
IN_THE_MIDST = ("store.commit", "rows.upsert", "rows.add", "rows.delete", "keeper.fold", "consumer.poll")


@dataclass(kw_only=True)
class Killing:
    """An agency under a narrator; each process reads in batches of its own, and a part of the log again."""

    agency: Agency
    app: App
    narrator: Narrator
    fresh: Callable[[], str]
    """URL of a new database for a rebuild"""
    random: random.Random
    others: int = 0
    """processes that project beside the one that is killed, and share versions with it"""
    stopped: int = 0
    """those that did not come to the step at which they were to die"""
    refused: int = 0
    """zombies that were told so"""
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

    def kill(self, chosen: Sequence[Place | str]) -> None:
        """Kill at each of these places."""
        for place in chosen:
            if place == ZOMBIE:
                self.kill_zombie()
            elif isinstance(place, str):
                self.kill_at_random()
            else:
                self.kill_at(place)

    def steps(self, events: int = 1_500) -> dict[str, int]:
        """What a process that projects does, and how often in a while."""
        with self.projecting() as child:
            child.wait_for("runs", PATIENCE)
            self.narrator.go_on(events)
            self.wait_until_reached(len(self.narrator.records), child)
            assert child.terminate() == 0, child.output
        told = [line.split() for line in child.lines if line.startswith("step ")]
        return {name: int(count) for _, name, count in told}

    def kill_at(self, place: Place) -> None:
        """Let one die at a step."""
        when, step, number = place
        with self.projecting(place=place) as child:
            child.wait_for("runs", PATIENCE)
            try:
                code = child.wait(3 if step.endswith(LEAVING) else 20 if self.others else PATIENCE)
            except subprocess.TimeoutExpired:
                code = child.terminate(PATIENCE)  # what it does when it leaves
            if self.others and code == 0:
                self.stopped += 1  # what it was to die at, the others did
                return
            assert code == -9, f"{when} {step} {number} was not reached:\n{child.output[-10_000:]}"
        self._died(when)

    def kill_at_random(self) -> None:
        """Let one die anywhere: all versions together, or one projection alone beside the others."""
        name = self.random.choice(("", "", "latest", "totals", "covers"))
        with self.projecting(name) as child:
            at_once = self.others or self.random.random() < 0.3
            child.wait_for("runs" if at_once else ": follows the log", PATIENCE)
            time.sleep(self.random.uniform(0, 1.2))
            child.kill()
        self._died("at random")

    def kill_zombie(self) -> None:
        """Let one sleep until others have done all that it could have in hand, and wake up to it; then both die."""
        with self.projecting() as zombie:
            zombie.wait_for(": reads " if self.others else ": follows the log", PATIENCE)
            time.sleep(self.random.uniform(0.2, 1.0))
            self._freeze(zombie)
            known = len(self.narrator.records)
            self.agency.let_the_leases_run_out()
            with self.projecting() as second:
                second.wait_for("runs", PATIENCE)
                # Unless it fell asleep with locks in its hand: then all wait for it.
                _soon(lambda: self.reached(known), 12)
                zombie.resume()
                _soon(lambda: any(word in zombie.output for word in REFUSED), 4)
                self.refused += any(word in zombie.output for word in REFUSED)
                zombie.kill()
                second.kill()
        self._died("zombie")

    def _freeze(self, child: Child) -> None:
        """Let it sleep; but not with SQLite's only lock in its hand, for which all others would wait in vain."""
        engine = self.app.state.engine
        while True:
            child.pause()
            if engine.dialect.name != "sqlite":
                return
            try:
                with closing(
                    sqlite3.connect(str(engine.url.database), timeout=2.0, isolation_level=None)
                ) as file:
                    file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                child.resume()
                time.sleep(self.random.uniform(0.02, 0.2))
            else:
                return

    def _died(self, how: str) -> None:
        self.killed[how] += 1
        if not self.others or self.random.random() < 0.5:
            self.agency.let_the_leases_run_out()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Others project, too; each of them dies now and then, and another one comes."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def live(random_: random.Random) -> None:
            try:
                while not stop.is_set():
                    seed = str(random_.randrange(10**6))
                    arguments = ("-m", PROJECT, str(self.agency.folder), "", seed, "never", "-", "0")
                    with self.agency.child(*arguments) as child:
                        stop.wait(random_.uniform(3, 15))
                        assert child.running, f"it ended:\n{child.output[-10_000:]}"
                        child.kill()
                    self.killed["beside"] += 1
            except BaseException as error:  # noqa: BLE001 - told by whoever waits for it
                failures.append(error)

        threads = [threading.Thread(target=live, args=(random.Random(seed),)) for seed in range(self.others)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures, failures

    # --- judging

    def wait_until_reached(self, events: int, child: Child) -> None:
        """Wait until every version has so many events."""

        def reached() -> bool:
            assert self.narrator.failure is None, self.narrator.failure
            assert child.running, child.output[-20_000:]
            return self.reached(events)

        wait_until(reached, 2 * PATIENCE, every=0.1, what=f"{events} events in every version")

    def reached(self, events: int) -> bool:
        """Has every version so many events?"""
        return all(
            sum(one.sequence for one in self.app.store.checkpoints(*version)) >= events
            for version in VERSIONS
        )

    def judge(self) -> str:
        """Let one live until it has everything; then each table is the fold of the distinct events, and a fresh rebuild's."""
        self.narrator.end()
        records = self.narrator.records
        self.agency.let_the_leases_run_out()
        with self.projecting(quietly=True) as last:
            last.wait_for("runs", PATIENCE)  # before, a signal would just end it
            self.wait_until_reached(len(records), last)
            code = last.terminate()
            assert code == 0, f"{code}: {last.output[-20_000:]}"
        expected = Expected(records)
        for definition in self.agency.definitions(self.app):
            self._assert_folded(definition, expected)
        self._assert_rebuilt()
        self.checked += 1
        rows = sum(map(len, expected.rows.values()))
        return (
            f"{self.killed.total()} kills ({', '.join(f'{count} {how}' for how, count in sorted(self.killed.items()))}), "
            f"{self.refused} zombies refused, {self.stopped} that did not come to their step, "
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


def _soon(predicate: Callable[[], object], timeout: float) -> None:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + timeout
    while not predicate() and time.monotonic() < deadline:
        time.sleep(0.05)


def stored(store: ReadStore, definition: Definition) -> Rows:
    """The rows of a version."""
    rows: Rows = {}
    after: object | None = None
    while page := store.rows(definition, after, 5_000):
        after = definition.key_in(page[-1])
        rows.update({definition.key_in(row): row for row in page})
    return rows


def places(steps: dict[str, int], random_: random.Random) -> list[Place]:
    """Before and after each step, at its first call or a later one; and in the midst of what takes its time."""
    found = [
        (when, step, random_.randint(1, min(count, 12)))
        for step, count in steps.items()
        for when in ("before", "after")
    ]
    return found + [
        ("during", step, random_.randint(1, 6)) for step in IN_THE_MIDST if step in steps for _ in range(4)
    ]


def told(text: str) -> None:
    print(f"\n{text}")  # noqa: T201


# --- on which engines


def on(read_store: str, log: str, protocol: str = "", others: int = 0) -> ParameterSet:
    """The read store's engine, and what the log is: Kafka, or tables of the state database (of this engine).

    With `others`, several processes share versions, and the log divides its partitions by this protocol.
    """
    marks = [SERVER_MARKS[one] for one in {read_store, log} & SERVER_MARKS.keys()]
    if log == "kafka":
        marks += [pytest.mark.kafka, pytest.mark.postgres]
    named = "-".join(filter(None, (read_store, log, protocol, str(others or ""))))
    return pytest.param((read_store, log, protocol, others), marks=marks, id=named)


@contextmanager
def killing_on(
    request: pytest.FixtureRequest,
    folder: Path,
    name: str,
    *,
    shared: Sequence[str] = (),
    protocol: str = "classic",
    others: int = 0,
) -> Iterator[Killing]:
    """An agency on the engines that the fixture asks for."""
    read_store, log = request.param[:2]
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def database(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{folder}/database{next(numbers)}.db"
            return str(stack.enter_context(request.getfixturevalue(f"{kind}_server").database()))

        state = database("postgres" if log == "kafka" else log)
        agency = Agency(
            folder / "agency",
            name=name,
            log=f"kafka://{request.getfixturevalue('kafka_bootstrap')}" if log == "kafka" else "sql:",
            state=state,
            # In one file, as it is when nothing is said.
            read_store=state if (read_store, log) == ("sqlite", "sqlite") else database(read_store),
            shared=shared,
            protocol=protocol,
        )
        agency.prepare()
        app = stack.enter_context(agency.opened())
        narrator = Narrator(app, seed=11)
        stack.callback(narrator.close)
        yield Killing(
            agency=agency,
            app=app,
            narrator=narrator,
            fresh=lambda: database(read_store),
            random=random.Random(f"{read_store} {log} {protocol} {others}"),
            others=others,
        )
