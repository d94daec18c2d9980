"""Who follows the log for a version: one process, while others stand by, and a repair borrows it for a moment.

The epoch alone keeps two processes from writing at once, but lets them take a version from each other for ever. So who
follows holds a lease, and who mends rows holds another one meanwhile: neither is needed for correctness, both for peace.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld, StranglerError
from toolkit.core.projections import Definition
from toolkit.loops.project import Advanced, Projector
from toolkit.loops.together import Seat
from toolkit.ports import Clock, Leases, ReadStore

logger = logging.getLogger("strangler.project")

TTL = dt.timedelta(seconds=10)
"""How long a follower that died keeps its place."""
LOAN = dt.timedelta(seconds=60)
"""How long a repair that died keeps a version."""
LOOK_EVERY = 0.5

Report = Callable[[Advanced], None]


def lease_name(definition: Definition) -> str:
    """The lease of who follows a version."""
    return version_name(definition.name, definition.version)


def version_name(projection: str, version: int) -> str:
    """The same by name and number."""
    return f"projector:{projection}:{version}"


def part_name(group: str, topic: str, partition: int) -> str:
    """The lease of who reads one partition for those who follow a version together (`group`: the version's lease)."""
    return f"{group}:{topic}:{partition}"


def loan_name(definition: Definition) -> str:
    """The lease of who has borrowed it."""
    return _loan(definition.name, definition.version)


def _loan(projection: str, version: int) -> str:
    return f"repair:{projection}:{version}"


@contextmanager
def borrowed(leases: Leases, definition: Definition, owner: str, clock: Clock) -> Iterator[None]:
    """Have a version to oneself: who follows it stands back, and goes on by itself afterwards. Raises LeaseHeld."""
    with _lent(leases, loan_name(definition), owner, clock):
        yield


@contextmanager
def _lent(leases: Leases, name: str, owner: str, clock: Clock) -> Iterator[None]:
    done = threading.Event()
    epoch = leases.acquire(name, owner, LOAN, clock())

    def renew() -> None:
        while not done.wait(LOAN.total_seconds() / 3):
            try:
                leases.renew(name, epoch, LOAN, clock())
            except StranglerError as error:
                logger.warning("%s: %s", name, error)

    renewing = threading.Thread(target=renew, name=name, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        leases.release(name, epoch, clock())


def drop(store: ReadStore, projection: str, version: int, leases: Leases, owner: str, clock: Clock) -> None:
    """Remove a version. Whoever follows it stands back meanwhile, and finds that nobody is to follow it any more.

    Raises Refused while it serves, LeaseHeld while a repair has it.
    """
    with _lent(leases, _loan(projection, version), owner, clock):
        store.drop(projection, version)


def stops(definition: Definition, left: Callable[[], bool]) -> bool:
    """Whatever went wrong with the version, is it because there is none to follow any more?"""
    try:
        gone = left()
    except Infrastructure:
        return False
    if gone:
        logger.info("%s: was dropped, or is built anew: follows it no more", definition.identity)
    return gone


class Following:
    """Follow the log for a version once nobody else does, and until told to stop."""

    def __init__(
        self,
        definition: Definition,
        make: Callable[[], Projector | Seat],
        leases: Leases,
        owner: str,
        clock: Clock,
        *,
        report: Report = lambda _: None,
        look_every: float = LOOK_EVERY,
        monotonic: Callable[[], float] = time.monotonic,
        left: Callable[[], bool] = lambda: False,
    ) -> None:
        self._left = left
        self._definition, self._make, self._leases = definition, make, leases
        self._owner, self._clock, self._report = owner, clock, report
        self._look_every, self._monotonic = look_every, monotonic
        self._epoch, self._renewed = 0, -float("inf")

    def run(self, stop: threading.Event) -> None:
        """Stand by, follow, lend, and follow again. Raises Fenced when another process follows by now."""
        if not self._until_free(stop):
            return
        try:
            while not stop.is_set():
                if self._follow(stop):
                    return
        finally:
            self._leave()

    def _follow(self, stop: threading.Event) -> bool:
        """Run a projector. False when somebody borrowed the version: it is to be followed again."""
        projector = self._make()
        if not self._begin(projector, stop):
            return True
        logger.info("%s: follows the log", self._definition.identity)
        try:
            projector.run(stop, report=self._keep)
        except Fenced:
            self._renew()  # raises Fenced when the place itself is another's
            logger.info("%s: lent to a repair; goes on once it is given back", self._definition.identity)
            stop.wait(self._look_every)
            return False
        except Exception:
            if not stops(self._definition, self._left):
                raise
        return True

    def _begin(self, projector: Projector | Seat, stop: threading.Event) -> bool:
        """Take the version over while nobody has borrowed it, and nobody can. False when told to stop before, or if
        nobody is to follow it any more.
        """
        while not stop.is_set():
            try:
                with borrowed(self._leases, self._definition, self._owner, self._clock):
                    if stops(self._definition, self._left):
                        return False
                    projector.start()
            except LeaseHeld as error:
                logger.debug("%s: %s", self._definition.identity, error)
                self._keep(Advanced())
                stop.wait(self._look_every)
            except Fenced:
                raise
            except Exception:  # noqa: BLE001 - running it meets the same error, and knows what to make of it
                return True
            else:
                return True
        return False

    def _until_free(self, stop: threading.Event) -> bool:
        """Stand by until nobody else follows. False when told to stop before."""
        told = ""
        while not stop.is_set():
            try:
                name = lease_name(self._definition)
                self._epoch = self._leases.acquire(name, self._owner, TTL, self._clock())
                self._renewed = self._monotonic()
            except LeaseHeld as error:
                if (by := str(error).partition(" until ")[0]) != told:
                    told = by
                    logger.info("%s: stands by: %s", self._definition.identity, by)
            except Infrastructure as error:
                logger.warning("%s: %s", self._definition.identity, error)
            else:
                return True
            stop.wait(self._look_every)
        return False

    def _keep(self, done: Advanced) -> None:
        """Tell what was done, and that this process is alive. Raises Fenced."""
        self._report(done)
        if self._monotonic() - self._renewed > TTL.total_seconds() / 3:
            self._renew()

    def _renew(self) -> None:
        try:
            self._leases.renew(lease_name(self._definition), self._epoch, TTL, self._clock())
            self._renewed = self._monotonic()
        except Infrastructure as error:
            logger.warning("%s: could not renew its place: %s", self._definition.identity, error)

    def _leave(self) -> None:
        try:
            self._leases.release(lease_name(self._definition), self._epoch, self._clock())
        except Infrastructure as error:
            logger.warning("%s: could not give its place back: %s", self._definition.identity, error)
