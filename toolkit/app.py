"""The composition root: opens what a project's settings name, each part once and only when it is needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType

from adapters.state.evidence import EvidenceStore
from adapters.state.routes import SqlRoutes
from adapters.state.store import State, open_state
from migrations.upgrade import current, head, upgrade
from toolkit import registry
from toolkit.core.projections import Definition
from toolkit.facts import Around
from toolkit.loader import Project, load
from toolkit.ports import LegacySource, Log, ReadStore
from toolkit.read import Observe, Reader, Reading
from toolkit.verify import code_hash


def utc_now() -> dt.datetime:
    """This machine's clock; everything below takes it as an argument."""
    return dt.datetime.now(dt.UTC)


class App:
    """A project with its databases and its log. Close it, or use it as a context manager."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.clock = utc_now
        self._sources: dict[str, LegacySource] = {}

    def legacy(self, name: str) -> LegacySource:
        """One legacy source, opened on first use."""
        if name not in self._sources:
            section = self.project.settings.legacy[name]
            self._sources[name] = registry.adapter(registry.LEGACY, section.url)(name, section)
        return self._sources[name]

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

    @cached_property
    def around(self) -> Around:
        """What gates, guard and the three questions are answered from."""
        return Around(
            project=self.project,
            legacy=self.sources,
            archive=self.state.archive,
            read_store=self.store,
            routes=self.routes,
            evidence=self.evidence,
            clock=self.clock,
            code_hash=code_hash,
        )

    def setup(self) -> list[str]:
        """Create or upgrade our tables and the topics; says what was done."""
        done = []
        for which, url in (("state", self.state_url), ("read_store", self.project.settings.read_store.url)):
            was = current(url, which)
            upgrade(url, which)
            done.append(f"{which}: {was or 'nothing'} -> {head(which)}")
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
        )

    def close(self) -> None:
        """Give back what was opened."""
        for source in self._sources.values():
            source.close()
        for name in ("log", "store", "state"):
            if name in self.__dict__:
                self.__dict__[name].close()

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_project(folder: str | Path = ".") -> App:
    """Open the project in a folder. Raises ProjectError with every fault of it."""
    return App(load(Path(folder)))
