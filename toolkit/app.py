"""The composition root: opens what a project's settings name, each part once and only when it is needed."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from adapters.doctor.libraries import libraries
from adapters.doctor.opening import diagnoses
from adapters.doctor.race_engines import open_track
from adapters.state.archive import SqlArchive
from adapters.state.evidence import EvidenceStore
from adapters.state.lease_list import SqlLeaseList
from adapters.state.routes import SqlRoutes
from adapters.state.store import State, open_state
from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from toolkit import registry
from toolkit.core.apart import Apart
from toolkit.core.errors import StranglerError, UsageError
from toolkit.core.freshness import Token
from toolkit.core.projections import Definition
from toolkit.core.routes import ANY_CONSUMER
from toolkit.core.shards import WHOLE, Shard, shards_of
from toolkit.cutover.facts import Around
from toolkit.diagnosis import USUAL, DatabaseDiagnosis, Diagnosis, Limits, Track
from toolkit.inbox import Fetching
from toolkit.loader import Project, contexts, load
from toolkit.loops.backfill import Backfill
from toolkit.loops.batches import batches_of
from toolkit.loops.following import Following, Report, borrowed, lease_name
from toolkit.loops.history import Origin
from toolkit.loops.leased import members
from toolkit.loops.once import Done, catch_up
from toolkit.loops.project import Pace, Projector
from toolkit.loops.rebuild import Rebuild
from toolkit.loops.relay import Relay
from toolkit.loops.relay import lease_name as leader_lease
from toolkit.loops.sharing import ALONE, Part, Sharing
from toolkit.loops.together import Seat, Together
from toolkit.loops.translate import Translation
from toolkit.loops.verify import code_hash, upcaster_hash
from toolkit.loops.wanted import Wanted
from toolkit.loops.worker import Worker, strayed
from toolkit.ports import Capture, LegacySource, Log, ReadStore
from toolkit.questions.doctor import Examined, Surroundings, examine
from toolkit.questions.parked import lacking
from toolkit.router.read import PATIENCE, Observe, Reader, Reading
from toolkit.settings import ENGINES_OWN, age, duration

MONTHLY = dt.timedelta(days=62)
"""Who keeps events for longer gets time partitions of a month, who does not, of a day."""


def utc_now() -> dt.datetime:
    """This machine's clock; everything below takes it as an argument."""
    return dt.datetime.now(dt.UTC)


class App:
    """A project with its databases and its log. Close it, or use it as a context manager."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.clock = utc_now
        self._sources: dict[str, LegacySource] = {}
        self._sharings: dict[str, Sharing[Shard]] = {}

    def legacy(self, name: str) -> LegacySource:
        """One legacy source, opened on first use."""
        if name not in self._sources:
            section = self.project.settings.legacy[name]
            source: LegacySource = registry.adapter(registry.LEGACY, section.url)(name, section.url, section)
            if section.capture not in ENGINES_OWN:
                source.capture = self._fetching(name, source)
            self._sources[name] = source
        return self._sources[name]

    def _fetching(self, name: str, source: LegacySource) -> Capture:
        """A capture that fetches changes into the inbox, instead of the engine's own by triggers."""
        settings = self.project.settings
        section = settings.legacy[name]
        made: Capture = registry.capture(section.capture)(
            Fetching(
                source=name,
                url=section.url,
                section=section,
                inbox=self.state.inbox(name),
                log_url=settings.log.url,
                clock=source.clock,
            )
        )
        return made

    @property
    def sources(self) -> Mapping[str, LegacySource]:
        """All legacy sources of the project."""
        return {name: self.legacy(name) for name in self.project.settings.legacy}

    @cached_property
    def store(self) -> ReadStore:
        """The read store."""
        url = self.project.settings.read_store.url
        opened: ReadStore = registry.adapter(registry.READ_STORE, url)(url)
        return opened

    @property
    def state_url(self) -> str:
        """Where the toolkit keeps its own tables: in the read store's database unless `[state]` says otherwise."""
        return self.project.settings.state.url or self.project.settings.read_store.url

    @cached_property
    def state(self) -> State:
        """Archive and leases."""
        return open_state(self.state_url)

    @cached_property
    def evidence(self) -> EvidenceStore:
        """Shadow runs, verifications, rehearsals, waivers."""
        return EvidenceStore(self.state.engine)

    @cached_property
    def routes(self) -> SqlRoutes:
        """Routes and their history."""
        return SqlRoutes(self.state.engine)

    @cached_property
    def log(self) -> Log:
        """The event log."""
        section = self.project.settings.log
        opened: Log = registry.adapter(registry.LOG, section.url)(section, self.state_url)
        return opened

    def shards(self, source: str) -> list[Shard]:
        """The parts in which a source is relayed; the whole, if there is one."""
        settings = self.project.settings
        return shards_of(settings.legacy[source].shards, settings.log.partitions)

    def _led(self, source: str, shard: Shard) -> tuple[LegacySource, SqlArchive]:
        """What the leader of a shard reads, and where it writes."""
        whole = self.legacy(source)
        return (whole if shard.whole else Part(whole, shard)), self.state.archive.only(shard)

    def translation(self, source: str, shard: Shard = WHOLE) -> Translation:
        """What turns a source's changes into events."""
        legacy, archive = self._led(source, shard)
        return Translation(
            legacy,
            self.project.translators[source],
            self.project.catalogue,
            archive,
            groups=[[table.table for table in group] for group in self.project.groups(source)],
            topic=self.project.topic(source),
            partitions=self.project.settings.log.partitions,
            clock=self.clock,
            outboxes=self.project.outboxes(source),
            largest=lambda: self.log.largest(self.project.topic(source)),
        )

    def backfill(self, source: str, translation: Translation) -> Backfill:
        """What reads a source's history."""
        section = self.project.settings.legacy[source]
        return Backfill(translation, self.project.groups(source), chunk=section.chunk, pace=section.pace)

    @cached_property
    def owner(self) -> str:
        """What this process calls itself in a lease. Containers on one host may have its name, and each a process 1."""
        return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"

    @cached_property
    def leases(self) -> SqlLeaseList:
        """Who leads what."""
        return SqlLeaseList(self.state.engine, self.state.leases.skew)

    def sharing(self, source: str) -> Sharing[Shard]:
        """This process's part in leading the shards of a source."""
        if source not in self._sharings:
            self._sharings[source] = Sharing(
                source,
                {shard: leader_lease(source, shard) for shard in self.shards(source)},
                self.state.leases,
                self.leases,
                owner=self.owner,
                clock=self.clock,
            )
        return self._sharings[source]

    def relay(
        self, source: str, translation: Translation, shard: Shard = WHOLE, *, alone: bool = False
    ) -> Relay:
        """What publishes a source's events, or those of a shard; `alone`: this process takes no other. Lead before you step."""
        topic = self.project.topic(source)
        legacy, archive = self._led(source, shard)
        return Relay(
            legacy,
            batches_of(translation),
            archive,
            self.state.leases,
            self.log.publisher(topic),
            topic=topic,
            partitions=self.project.settings.log.partitions,
            owner=self.owner + (ALONE if alone else ""),
            clock=self.clock,
            shard=shard,
            complete=translation.complete,
            paused=lambda: self.state.pauses.of(source) is not None,
        )

    def projector(self, definition: Definition) -> Projector:
        """What keeps one version of a projection up to date. Start before you advance."""
        return Projector(
            definition,
            self.project.catalogue,
            self.store,
            self.log,
            self.project.topics,
            self.clock,
            self._pace,
        )

    def catch_up(self, projectors: Sequence[Projector]) -> dict[str, Done]:
        """Let these apply what the log has, and stop."""
        return catch_up(projectors, self.log, self.project.topics, self._pace)

    @cached_property
    def together(self) -> Together:
        """Where the versions that this process keeps read the log together."""
        return Together(lambda: self.log, self.project.topics, self._pace)

    def following(
        self, definition: Definition, report: Report = lambda _: None, *, together: bool = False
    ) -> Following:
        """What follows the log for a version while no other process does, alone or together with others."""

        def make() -> Projector | Seat:
            alone = self.projector(definition)
            return self.together.seat(alone) if together else alone

        left = partial(self.wanted.left, definition)
        return Following(
            definition, make, self.state.leases, self.owner, self.clock, report=report, left=left
        )

    def worker(self, definition: Definition, report: Report = lambda _: None) -> Worker:
        """What follows the log for a version together with other processes, each some partitions."""
        leases, known = self.state.leases, self.leases
        catalogue, topics = self.project.catalogue, self.project.topics
        apart = Apart(definition, catalogue, contexts(self.project.settings))
        return Worker(
            definition,
            catalogue,
            self.store,
            topics,
            strayed(apart, self.project.topic(apart.source)),
            members(self.log, definition, topics, leases, known, self.owner, self.clock),
            leases,
            known,
            self.owner,
            self.clock,
            self._pace,
            report=report,
            left=partial(self.wanted.left, definition),
        )

    @contextmanager
    def borrowed(
        self, definition: Definition, tell: Callable[[str], None] = lambda _: None
    ) -> Iterator[None]:
        """Have a version to oneself for a while; `tell` is told who stands back for it. Raises LeaseHeld."""
        followers = {one.name: one for one in self.leases.leases()}
        with borrowed(self.state.leases, definition, self.owner, self.clock):
            follower = followers.get(lease_name(definition))
            if follower is not None and follower.expires_at > self.clock():
                tell(
                    f"{definition.identity}: borrowed from {follower.owner}, which goes on by itself afterwards"
                )
            yield

    @property
    def _pace(self) -> Pace:
        return Pace(park_limit=self.project.settings.read_store.park_limit)

    def rebuild(self, definition: Definition, origin: Origin = Origin.ARCHIVE) -> Rebuild:
        """What builds a version from the archive, or from the log; the one that serves by decision is made before it."""
        if first := self.wanted.before(definition):
            self.store.create(first, self.project.topics, self.clock())
        return Rebuild(
            definition,
            self.project.catalogue,
            self.store,
            self.state.archive,
            self.log,
            self.project.topics,
            self.clock,
            origin=origin,
            sources={self.project.topic(name): source for name, source in self.sources.items()},
            pace=self._pace,
        )

    @cached_property
    def wanted(self) -> Wanted:
        """Which versions are to be kept up to date."""
        return Wanted(self.project.projections, self.store, self.state.serving, self.owner, self.clock)

    def running_versions(self, name: str | None = None) -> list[Definition]:
        """The versions that are kept up to date: those that serve or are built. A projection that the store does not
        know begins with the version that was decided to serve, else with its newest one.
        """
        return self.wanted.versions(name)

    @cached_property
    def around(self) -> Around:
        """What gates, guard and the three questions are answered from."""
        return self._around(self.sources)

    @property
    def inside(self) -> Around:
        """The same without the legacy sources: what is decided from it can be decided while they are away."""
        return self._around({})

    def _around(self, sources: Mapping[str, LegacySource]) -> Around:
        return Around(
            project=self.project,
            legacy=sources,
            archive=self.state.archive,
            read_store=self.store,
            routes=self.routes,
            evidence=self.evidence,
            clock=self.clock,
            unclassified=self.state.unclassified,
            code_hash=code_hash,
            upcaster_hash=upcaster_hash,
            log=self.log,
            leases=self.leases,
            pauses=self.state.pauses,
            retention=self.state.retention,
            kinds=self.state.kinds,
        )

    @property
    def _databases(self) -> dict[str, str]:
        """The databases with tables of ours. A read store of another kind than SQL keeps its own."""
        read_store = self.project.settings.read_store.url
        return {"state": self.state_url, **({"read_store": read_store} if self._read_engine else {})}

    @property
    def _read_engine(self) -> Engine | None:
        return getattr(self.store, "engine", None)

    def revisions(self) -> dict[str, tuple[str | None, str]]:
        """By set of tables, the revision that its database is at, and the one that this version needs."""
        from migrations.upgrade import current, head  # Alembic takes a fifth of a command's start

        return {which: (current(url, which), head(which)) for which, url in self._databases.items()}

    def examined(self, limits: Limits = USUAL) -> Examined:
        """Everything that is wrong with servers and flow, as far as can be seen from here."""
        faults: dict[str, StranglerError] = {}
        opened: dict[str, LegacySource] = {}
        for name in self.project.settings.legacy:
            try:
                opened[name] = self.legacy(name)
            except StranglerError as error:
                faults[name] = error
        around = self._around(opened)
        names = self._database_names
        surroundings = Surroundings(
            revisions=self.revisions,
            state=names["state"],
            views=names["read_store"],
            databases=self._diagnoses(names),
            log=self.log if isinstance(self.log, Diagnosis) else None,
            faults=faults,
            libraries=libraries(),
            limits=limits,
        )
        return examine(around, surroundings)

    def race_track(self, source: str, outbox: str, *, writers: int) -> Track:
        """Where the out-of-order race is run in a legacy database. Nothing is made before it is opened."""
        return open_track(self.project.settings.legacy[source].url, outbox, writers=writers)

    @property
    def _database_names(self) -> dict[str, str]:
        if self.state_url == self.project.settings.read_store.url:
            return dict.fromkeys(("state", "read_store"), "state and read store")
        return {"state": "state", "read_store": "read store"}

    def _diagnoses(self, names: Mapping[str, str]) -> dict[str, tuple[DatabaseDiagnosis, tuple[str, ...]]]:
        timeout = duration(self.project.settings.read_store.read_timeout)
        tables = tuple(
            f"{name}__v{number}" for name, all_ in self.project.projections.items() for number in all_
        )
        databases = (
            (names["state"], self.state.engine, tuple(state_tables.tables)),
            (names["read_store"], self._read_engine, (*store_tables.tables, *tables)),
        )
        return diagnoses(databases, timeout)

    def prepare_archive(self) -> list[str]:
        """Make the archive's time partitions of the days to come: of a month each, unless events are kept for days."""
        keep = age(self.project.settings.archive.keep)
        monthly = keep is None or keep >= MONTHLY
        return self.state.retention.prepare(self.clock().date(), monthly=monthly)

    def setup(self) -> list[str]:
        """Create or upgrade our tables and the topics; says what was done."""
        from migrations.upgrade import upgrade

        done = []
        for which, (was, now) in self.revisions().items():
            upgrade(self._databases[which], which)
            done.append(f"{which}: {was or 'nothing'} -> {now}")
        done.extend(f"time partition {name}" for name in self.prepare_archive())
        for topic, partitions in self.project.topics.items():
            self.log.create(topic, partitions)
            done.append(f"topic {topic}: {partitions} partitions")
        return done

    def reader(self, observe: Observe | None = None) -> Reader:
        """A reader that answers capabilities through their routes."""
        return Reader(
            self.project,
            self.sources,
            self.store,
            self.routes,
            self.clock,
            waivers=self.evidence,
            observe=observe,
            parked=lacking(self.project, lambda: self.state.archive),
        )

    @cached_property
    def _reader(self) -> Reader:
        return self.reader()

    def read(
        self,
        capability: str,
        key: Mapping[str, object] | str | int,
        *,
        consumer: str = ANY_CONSUMER,
        parameters: Mapping[str, object] | None = None,
        today: dt.date | None = None,
        not_before: Token | dt.datetime | None = None,
        timeout: dt.timedelta = PATIENCE,
    ) -> Reading:
        """Answer a capability through its route; what can be raised is said at `Reader.read`."""
        return self._reader.read(
            capability,
            key,
            consumer=consumer,
            parameters=parameters,
            today=today,
            not_before=not_before,
            timeout=timeout,
        )

    def token(self, source: str) -> Token:
        """A token for all that is committed in a legacy source now: take it after the commit, give it to the next read."""
        if source not in self.project.settings.legacy:
            raise UsageError(f"there is no [legacy.{source}] in strangler.toml")
        return Token(source=source, instant=self.legacy(source).clock())

    def close(self) -> None:
        """Give back what was opened."""
        for sharing in self._sharings.values():
            sharing.leave()
        for source in self._sources.values():
            source.capture.close()
            source.close()
        for name in ("log", "store", "state"):
            if name in self.__dict__:
                self.__dict__[name].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_project(folder: str | Path = ".") -> App:
    """Open the project in a folder. Raises ProjectError with every fault of it."""
    return App(load(Path(folder)))
