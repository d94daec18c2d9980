"""Shadow one capability of a project: join both read paths, the archive and the clocks to a run."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from shadow.classify import Stage
from shadow.keys import Key
from shadow.normalise import compile_rules
from shadow.readers import Readers
from shadow.run import Asked, Limits, Ports, Progress, RunResult, shadow_run
from shadow.sandwich import Patience, Sides, View
from toolkit.core.errors import StranglerError
from toolkit.core.evidence import Acceptance
from toolkit.core.projections import Definition
from toolkit.cutover.facts import installation
from toolkit.loader import Project
from toolkit.ports import Answer, Archive, Clock, LegacySource, ReadStore, serving_of
from toolkit.router import paths as router
from toolkit.router.paths import ReadPaths, oldest, oldest_by_topic, sql_reads
from toolkit.settings import duration

SECRET_VARIABLE = "STRANGLER_REDACTION_KEY"
RECENT = dt.timedelta(minutes=1)
POLL = 0.05
BATCH = 2000
"""Keys judged together: they share one wait for the projection, and one time of settling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowing:
    """What a shadow run of one capability is made from.

    `versions` reads other versions than the serving ones: a new version before its switch.
    """

    project: Project
    capability: str
    legacy: LegacySource
    store: ReadStore
    archive: Archive
    clock: Clock
    versions: Mapping[str, int] = field(default_factory=dict)
    today: dt.date | None = None
    catch_up: float = 30.0
    why_behind: Callable[[], str] | None = None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(
        self,
        acceptances: Mapping[str, Acceptance],
        *,
        keys: int = 0,
        progress: Callable[[Progress], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Compare both sides. Stops early, with what it has, once `stopping` says so."""
        section = self.project.capability(self.capability)
        sql_reads(self.store, self.capability)  # what cannot be read is refused now, not waited for
        definitions = self._definitions()
        columns = [column for definition in definitions for column in definition.columns]
        asked = Asked(
            run_id=str(uuid.uuid4()),
            capability=self.capability,
            section=section,
            config_hash=self.project.config_hash(self.capability),
            rules=compile_rules(self.capability, section, columns),
            secret=os.environ.get(SECRET_VARIABLE, "").encode() or secrets.token_bytes(32),
            installation=self._installation(),
        )
        patience = Patience(catch_up=self.catch_up, settle=duration(section.settle).total_seconds())
        limits = Limits(batch=BATCH, keys=keys, patience=patience)
        return shadow_run(asked, self._ports(definitions, progress, stopping), limits, acceptances)

    def _installation(self) -> str:
        """Asked before anything is read: a run during which capture was installed anew tells of the former one.

        Who reads may not be able to see it; then the run is no evidence, and the gate says that it does not fit.
        """
        with suppress(StranglerError):
            return installation(self.project, self.legacy) or ""
        return ""

    def _ports(
        self,
        definitions: list[Definition],
        progress: Callable[[Progress], None] | None,
        stopping: Callable[[], bool],
    ) -> Ports:
        paths = ReadPaths(self.project, self.capability, self.legacy, self.store)
        today = self.today or self.clock().date()
        section = paths.section
        hidden = _hidden(section.redact, definitions)
        threads = max(1, self.project.settings.legacy[paths.source].max_reads // 2)

        def legacy(key: Key) -> Answer:
            return paths.legacy(paths.asked(key.parameters, today=today))

        def view(key: Key) -> View:
            seen = paths.view(paths.asked(key.parameters, today=today), self.versions or None)
            return _seen(seen, hidden)

        has_subject = bool(section.subject)
        return Ports(
            sides=Sides(
                legacy=Readers(legacy, threads=threads),
                view=Readers(view, threads=1),
                wait_for=self._wait_for(section.projections),
                now=self.legacy.clock,
                monotonic=self.monotonic,
                sleep=self.sleep,
                touched=self._touched if has_subject else None,
                stopping=stopping,
            ),
            clock=self.clock,
            legacy_keys=lambda: paths.keys(today),
            view_keys=(lambda: self._view_keys(definitions[0])) if self._keyed_alike(definitions) else None,
            recent=(lambda: self.archive.touched(self._topic, self.legacy.clock() - RECENT))
            if has_subject
            else None,
            locate=self._locate if has_subject else None,
            why_behind=self.why_behind,
            progress=progress,
        )

    @property
    def _topic(self) -> str:
        return self.project.topic(self.legacy.name)

    def _definitions(self) -> list[Definition]:
        """The definitions that answer, the capability's first projection first."""
        found = []
        for name in self.project.capability(self.capability).projections:
            serving = serving_of(self.store.versions(name))
            version = self.versions.get(name) or serving or max(self.project.projections[name])
            found.append(self.project.definition(name, version))
        return found

    def _keyed_alike(self, definitions: list[Definition]) -> bool:
        """Can the projection's own keys be asked for? Then a row that only the projection has is found."""
        return self.project.capability(self.capability).key == list(definitions[0].key)

    def _view_keys(self, definition: Definition) -> Iterator[dict[str, object]]:
        after: object | None = None
        while rows := self.store.rows(definition, after, 1000):
            after = definition.key_in(rows[-1])
            yield from ({name: row[name] for name in definition.key} for row in rows)

    def _as_of(self, projections: tuple[str, ...]) -> dt.datetime | None:
        checkpoints = []
        for name in projections:
            version = self.versions.get(name, serving_of(self.store.versions(name)))
            of_this = [] if version is None else self.store.checkpoints(name, version)
            if not of_this:
                return None
            checkpoints.extend(of_this)
        return oldest(oldest_by_topic(checkpoints).values())

    def _wait_for(self, projections: tuple[str, ...]) -> Callable[[dt.datetime, float], bool]:
        def wait(instant: dt.datetime, seconds: float) -> bool:
            deadline = self.monotonic() + seconds
            while True:
                as_of = self._as_of(projections)
                if as_of is not None and as_of > instant:
                    return True
                if self.monotonic() >= deadline:
                    return False
                self.sleep(POLL)

        return wait

    def _touched(self, subjects: Collection[str], since: dt.datetime) -> set[str]:
        return self.archive.touched(self._topic, since).intersection(subjects)

    def _locate(self, subject: str) -> str | None:
        """The first stage that a subject's last fact did not pass."""
        if any(one.change.subject == subject for one in self.archive.parked(self.legacy.name)):
            return Stage.TRANSLATED.value
        if self.archive.of_subject(self._topic, subject):
            return Stage.PROJECTED.value
        return Stage.CAPTURED.value


def _hidden(redact: Collection[str], definitions: Collection[Definition]) -> set[str]:
    """The projections whose keys may not be shown."""
    redacted = {one.lower() for one in redact}
    return {one.name for one in definitions if redacted & {column.lower() for column in one.key}}


def _seen(view: router.View, hidden: Collection[str]) -> View:
    return View(
        rows=view.rows,
        as_of=view.as_of,
        held=bool(view.held),
        versions=view.versions,
        because=_because(view, hidden),
    )


def _because(seen: router.View, hidden: Collection[str]) -> tuple[str, ...]:
    """What is parked, where that alone is why a key is set aside and nobody can say whether it is of the key.

    What is known to be of the key sets it aside by itself: then there is nothing to explain.
    """
    unsure = {one for some in seen.untold.values() for one in some}
    if not unsure.issuperset(seen.held):
        return ()
    return tuple(
        f"{name} {'(redacted)' if name in hidden else one}"
        for name, some in seen.untold.items()
        for one in some
    )
