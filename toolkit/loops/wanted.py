"""Which versions are to be kept up to date, by what the code has, what the read store knows, and what people decided."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from toolkit import commands
from toolkit.core.errors import Refused, UsageError
from toolkit.core.projections import Definition
from toolkit.ports import Clock, ReadStore, Serving, ServingLedger, VersionState, serving_of

logger = logging.getLogger("strangler.project")


class Wanted:
    """Answers it for a project. What serves is written down as it is seen: the read store, which says so, may be lost."""

    def __init__(
        self,
        projections: Mapping[str, Mapping[int, Definition]],
        store: ReadStore,
        ledger: ServingLedger,
        who: str,
        clock: Clock,
    ) -> None:
        self._projections, self._store, self._ledger = projections, store, ledger
        self._who, self._clock = who, clock
        self._told: set[str] = set()

    def versions(self, name: str | None = None) -> list[Definition]:
        """All versions that are to be kept up to date, or those of one projection. Raises UsageError."""
        if name and name not in self._projections:
            raise UsageError(
                f"there is no projection {name} in this project; there are {', '.join(self._projections)}"
            )
        found: list[Definition] = []
        for one in [name] if name else list(self._projections):
            self.note(one)
            if (problem := self.undecided(one)) and problem not in self._told:
                self._told.add(problem)
                logger.warning("%s", problem)
            found += self._running(one)
        return found

    def _running(self, name: str) -> list[Definition]:
        """Those that serve or are built. A projection that the store does not know begins with the version that was
        decided to serve; with the newest one while nothing was decided.
        """
        known = self._projections[name]
        stored = {state.version: state for state in self._store.versions(name)}
        wanted = [number for number, state in stored.items() if number in known and _runs(state)]
        if not wanted and known and not stored:
            decided = self._ledger.latest(name)
            first = max(known) if decided is None else decided.version
            wanted = [first] if first in known else []
        return [known[number] for number in wanted]

    def left(self, definition: Definition) -> bool:
        """Is nobody to follow this version any more: was it dropped, or is it a rebuild's by now?

        Whoever follows it would create it again, from the beginning of a log that may have lost that. One that has
        failed is still to be followed, by those for whom it has not.
        """
        name, version = definition.name, definition.version
        failed = any(one.version == version and one.state == "failed" for one in self._store.versions(name))
        return not failed and all(one.version != version for one in self._running(name))

    def note(self, name: str) -> None:
        """Write down which version of a projection serves, unless that is known."""
        serving = serving_of(self._store.versions(name))
        if serving is None:
            return
        decided = self._ledger.latest(name)
        if decided is None or decided.version != serving:
            why = "it serves in the read store"
            self._ledger.note(
                Serving(projection=name, version=serving, at=self._clock(), who=self._who, why=why)
            )

    def undecided(self, name: str) -> str:
        """Why no version of a projection is made by itself, and what to do; empty where one is."""
        known = self._projections[name]
        decided = None if self._store.versions(name) else self._ledger.latest(name)
        if decided is None or decided.version in known or not known:
            return ""
        return (
            f"{name}: v{decided.version} served (by {decided.who}, {decided.at:%Y-%m-%d}); the read store has lost it, and "
            f"the code has no such version: nothing serves by itself. Put its class back, or decide for another one: "
            f"`{commands.switch(name, max(known))}`"
        )

    def before(self, definition: Definition) -> Definition | None:
        """The version that is to be made before this one, because the first one in a read store serves: the one that was
        decided to. Raises Refused when the code does not have it.
        """
        if problem := self.undecided(definition.name):
            raise Refused(f"{definition.identity} would serve although nobody decided that", [problem])
        decided = None if self._store.versions(definition.name) else self._ledger.latest(definition.name)
        if decided is None or decided.version == definition.version:
            return None
        return self._projections[definition.name][decided.version]


def _runs(state: VersionState) -> bool:
    return state.serving or state.state in ("running", "waiting")
