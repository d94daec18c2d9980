"""A small estate: one legacy table, one read model, and a project over both, all in SQLite files."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from adapters.engines import open_engine
from adapters.state.routes import SqlRoutes
from tests.routes.now import NOW
from toolkit.core.evidence import Rehearsal, RunSummary, Verification, Waiver
from toolkit.core.routes import Action, Move, Stage, moved
from toolkit.loader import Project, load
from toolkit.ports import Answer, Checkpoint, ParkedEvent, ViewAnswer
from toolkit.router.read import Reader, Reading

SECOND = dt.timedelta(seconds=1)
TOPIC = "estate.crm"

SETTINGS = """
[project]
name = "estate"
modules = ["model"]
[legacy.crm]
url = "{legacy_url}"
context = "customer-records"
tables = ["POLICY"]
[log]
partitions = 2
[read_store]
url = "{read_url}"
[capability.portal]
projection = "policy"
legacy_sql = "legacy.sql"
read_sql = "read.sql"
keys_sql = "keys.sql"
key = ["policy_no"]
read_class = "{read_class}"
freshness = "30s"
when_stale = "{when_stale}"
means = "Is the customer covered?"
parameters = {{ tongue = "en" }}
[capability.book]
projection = "policy"
legacy_sql = "book.sql"
read_sql = "book.sql"
keys_sql = "keys.sql"
key = ["status"]
rows = ["policy_no"]
read_class = "informational"
[capability.total]
projection = "policy"
legacy_sql = "total.sql"
read_sql = "total.sql"
keys_sql = "keys.sql"
key = ["status"]
read_class = "informational"
"""

MODEL = """
from typing import Literal
from toolkit.core.events import Context, Event
from toolkit.core.projections import Projection, on
from toolkit.core.translators import Translators

underwriting = Context("underwriting")

@underwriting.event(subject="policy_no", means="Cover begins.")
class PolicyIssued(Event):
    policy_no: str

crm = Translators("crm")
crm.aggregate("policy", {"POLICY": "POLICY_NO"})

@crm.table("POLICY")
def issued(change):
    yield PolicyIssued(policy_no=change.text("POLICY_NO"))

class Policy(Projection, version=1, context="customer-service", key="policy_no"):
    policy_no: str
    status: Literal["in_force", "cancelled"]

    @on(PolicyIssued, creates=True)
    def issued(self, event):
        self.status = "in_force"
"""

FILES = {
    "model.py": MODEL,
    "legacy.sql": "SELECT policy_no, status, :today AS today, :tongue AS tongue FROM legacy_policy WHERE policy_no = :policy_no",
    "read.sql": "SELECT policy_no, status, :today AS today, :tongue AS tongue FROM policy WHERE policy_no = :policy_no",
    "book.sql": "SELECT policy_no, status FROM policy WHERE status = :status",
    "total.sql": "SELECT COUNT(*) AS policies FROM policy WHERE status = :status",
    "keys.sql": "SELECT policy_no FROM legacy_policy ORDER BY 1",
}


def make_project(
    folder: Path,
    *,
    read_class: str = "operational",
    when_stale: str = "warn",
    legacy_url: str = "sqlite:///unused.db",
    read_url: str = "sqlite:///unused.db",
) -> Project:
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "strangler.toml").write_text(
        SETTINGS.format(
            read_class=read_class, when_stale=when_stale, legacy_url=legacy_url, read_url=read_url
        )
    )
    return load(folder)


class Wall:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> dt.datetime:
        return NOW + self.seconds * SECOND

    def monotonic(self) -> float:
        return self.seconds


class Legacy:
    """Legacy reads over a SQLite file, on a source clock of its own; `broken` makes every call fail."""

    def __init__(self, engine: Engine, wall: Wall) -> None:
        self._engine, self._wall = engine, wall
        self.ahead = dt.timedelta(hours=3)
        self.broken: Exception | None = None
        self.clock_calls = 0
        self.queries = 0

    def clock(self) -> dt.datetime:
        self.clock_calls += 1
        if self.broken:
            raise self.broken
        return self._wall() + self.ahead

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        self.queries += 1
        if self.broken:
            raise self.broken
        return Answer(rows=_rows(self._engine, sql, parameters), instant=self._wall() + self.ahead)


class Views:
    """Just enough of a read store to be read: rows in a SQLite file, checkpoints and held keys as set."""

    def __init__(self, engine: Engine, as_of: dt.datetime) -> None:
        self._engine = engine
        self.marks = [
            Checkpoint(topic=TOPIC, partition=0, next_offset=7, sequence=5, as_of=as_of),
            Checkpoint(topic=TOPIC, partition=1, next_offset=4, sequence=3, as_of=as_of + 5 * SECOND),
        ]
        self.held: list[str] = []
        self.broken: Exception | None = None

    def as_of(self, instant: dt.datetime | None) -> None:
        first = self.marks[0]
        self.marks[0] = Checkpoint(
            topic=TOPIC, partition=0, next_offset=first.next_offset, sequence=first.sequence, as_of=instant
        )

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object],
        *,
        projections: Sequence[str],
        versions: Mapping[str, int] | None = None,
        timeout: dt.timedelta,
    ) -> ViewAnswer:
        if self.broken:
            raise self.broken
        return ViewAnswer(
            rows=_rows(self._engine, sql, parameters),
            checkpoints={"policy": self.marks},
            versions=dict(versions or {"policy": 1}),
            held={"policy": self.held},
        )

    def load(self, *_: object) -> dict[object, dict[str, object]]:
        return {}

    def parked(self, *_: object) -> list[ParkedEvent]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a read called {name}")


def _rows(engine: Engine, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(sql), dict(parameters)).mappings()]


def make_databases(folder: Path) -> Engine:
    """Legacy and read model, told apart by their status: legacy says `active`, the projection `in_force`."""
    engine = open_engine(f"sqlite:///{folder}/estate.db")
    with engine.begin() as connection:
        for table, status in (("legacy_policy", "active"), ("policy", "in_force")):
            connection.execute(text(f"CREATE TABLE {table} (policy_no TEXT, status TEXT)"))
            rows = [{"no": f"P{number}", "status": status} for number in range(40)]
            connection.execute(text(f"INSERT INTO {table} VALUES (:no, :status)"), rows)
    return engine


def at_once(work: Any) -> None:
    """Refresh in the caller's thread: a test sees what it asked for."""
    work()


class Estate:
    """A reader over the small estate, with everything that a test wants to turn."""

    def __init__(self, folder: Path, engine: Engine, **options: Any) -> None:
        contract = {name: options.pop(name) for name in ("read_class", "when_stale") if name in options}
        self.wall = Wall()
        databases = make_databases(folder)
        self.legacy = Legacy(databases, self.wall)
        self.views = Views(databases, NOW + self.legacy.ahead - 10 * SECOND)
        self.routes = SqlRoutes(engine)
        self.granted: list[Waiver] = []
        self.reader = Reader(
            make_project(folder, **contract),
            {"crm": self.legacy},
            self.views,
            self.routes,
            self.wall,
            waivers=self,
            monotonic=self.wall.monotonic,
            spawn=at_once,
            **options,
        )

    def waivers(self, capability: str | None = None) -> list[Waiver]:
        return self.granted

    def route(self, stage: Stage, share: int = 0, consumer: str = "*", capability: str = "portal") -> None:
        was = self.routes.get(capability, consumer)
        becomes = moved(was, consumer, stage, share)
        self.routes.apply(Move(action=Action.FORWARD, was=was, becomes=becomes, who="t", why="t"), NOW)

    def read(self, key: Any = "P1", **options: Any) -> Reading:
        return self.reader.read("portal", key, **options)


class Notes:
    """Evidence in memory."""

    def __init__(self) -> None:
        self.run: RunSummary | None = None
        self.verified: dict[tuple[str, int], Verification] = {}
        self.rehearsed: list[Rehearsal] = []
        self.granted: list[Waiver] = []

    def last_run(self, capability: str, config_hash: str, now: dt.datetime) -> RunSummary | None:
        return self.run if self.run and self.run.config_hash == config_hash else None

    def last_verification(self, projection: str, version: int) -> Verification | None:
        return self.verified.get((projection, version))

    def last_rehearsal(self, capability: str, consumer: str) -> Rehearsal | None:
        return self.rehearsed[-1] if self.rehearsed else None

    def save_rehearsal(self, rehearsal: Rehearsal) -> None:
        self.rehearsed.append(rehearsal)

    def waivers(self, capability: str | None = None) -> list[Waiver]:
        return self.granted

    def grant(self, waiver: Waiver, now: dt.datetime) -> None:
        self.granted.append(waiver)
