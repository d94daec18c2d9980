"""Policies and brokers: a project whose projections have every shape, and what its events come to by hand.

Nothing relays here: `tests.support.narrator` archives and publishes the events itself, as badly as a relay may.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from migrations.schema.state import lease
from tests.support.processes import Child, python_child
from toolkit.app import App, open_project
from toolkit.cli.app import run
from toolkit.core.projections import Definition
from toolkit.core.records import Record

SOURCES = ("policies", "brokers")
PARTITIONS = 4
VERSIONS = (("latest", 1), ("latest", 2), ("totals", 1), ("covers", 1))

_EVENTS = """
from decimal import Decimal
import msgspec
from toolkit.core.events import Context, Event

policies = Context("policies")
brokers = Context("brokers")

class Cover(msgspec.Struct, frozen=True):
    no: int
    limit: Decimal

@policies.event(subject="policy_no", means="The policy is so from now on.")
class PolicyStated(Event):
    policy_no: str
    broker: str
    premium: Decimal
    note: str | None

@policies.event(subject="policy_no", means="So much was paid.")
class PremiumPaid(Event):
    policy_no: str
    broker: str
    amount: Decimal

@policies.event(subject="policy_no", means="Cover ended; the policy is kept.")
class PolicyCancelled(Event):
    policy_no: str

@policies.event(subject="policy_no", means="There is no such policy.")
class PolicyAnnulled(Event):
    policy_no: str

@policies.event(subject="policy_no", means="These are the covers, all of them.")
class CoversStated(Event):
    policy_no: str
    covers: list[Cover]

@policies.event(subject="policy_no", means="These covers are new, or other ones now.")
class CoversAdded(Event):
    policy_no: str
    covers: list[Cover]

@policies.event(subject="policy_no", means="No cover of the policy may be changed, or all may be again.")
class CoversFrozen(Event):
    policy_no: str
    frozen: bool

@brokers.event(subject="broker", means="The broker is called so.")
class BrokerNamed(Event):
    broker: str
    name: str

@brokers.event(subject="broker", means="A commission was paid out.")
class CommissionPaid(Event):
    broker: str
    amount: Decimal
"""
_TRANSLATORS = """
from toolkit.core.translators import Translators

policies = Translators("policies")
policies.aggregate("policy", {"policy": "policy_no"})
brokers = Translators("brokers")
brokers.aggregate("broker", {"broker": "broker"})

@policies.table("policy")
def policy(change):
    return ()

@brokers.table("broker")
def broker(change):
    return ()
"""
_PROJECTIONS = """
import datetime as dt
from decimal import Decimal
from toolkit.core.projections import DELETE, Projection, on
from .events import *

class Latest(Projection, version=1, context="service", key="policy_no", indexes=["broker"]):
    "State-carrying: what was said last. Rows are marked, and rows go."
    policy_no: str
    broker: str
    premium: Decimal
    note: str | None = None
    cancelled: bool = False
    stated_at: dt.datetime

    @on(PolicyStated, creates=True)
    def stated(self, event, envelope):
        self.broker, self.premium, self.note = event.broker, event.premium, event.note
        self.cancelled, self.stated_at = False, envelope.time

    @on(PolicyCancelled)
    def ended(self, event):
        self.cancelled = True

    @on(PolicyAnnulled)
    def annulled(self, event):
        return DELETE

class LatestAndTimes(Projection, version=2, context="service", key="policy_no", name="latest"):
    "The same, and how often: no row goes."
    policy_no: str
    broker: str
    premium: Decimal
    annulled: bool = False
    times: int = 0

    @on(PolicyStated, creates=True)
    def stated(self, event):
        self.broker, self.premium, self.annulled = event.broker, event.premium, False
        self.times += 1

    @on(PolicyAnnulled)
    def gone(self, event):
        self.annulled = True
        self.times += 1

class Totals(Projection, version=1, context="sales", key="broker"):
    "Counting: of many policies, and of two sources."
    broker: str
    name: str = ""
    statements: int = 0
    payments: int = 0
    paid: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)

    @on(PolicyStated, creates=True, key="broker")
    def stated(self, event):
        self.statements += 1

    @on(PremiumPaid, creates=True, key="broker")
    def premium(self, event):
        self.payments += 1
        self.paid += event.amount

    @on(BrokerNamed, creates=True)
    def named(self, event):
        self.name = event.name

    @on(CommissionPaid, creates=True)
    def out(self, event):
        self.commission += event.amount

class Covers(Projection, version=1, context="claims", key=("policy_no", "no")):
    "Many rows of one policy, by events that name them, state all of them, or speak of whichever there are."
    policy_no: str
    no: int
    limit: Decimal = Decimal(0)
    frozen: bool = False
    changes: int = 0

    @on(CoversStated, creates=True, each="covers", whole=True, key=("policy_no", "each.no"))
    def stated(self, event, cover):
        self.limit = cover.limit
        self.changes += 1

    @on(CoversAdded, creates=True, each="covers", key=("policy_no", "each.no"))
    def added(self, event, cover):
        self.limit = cover.limit
        self.changes += 1

    @on(CoversFrozen, every=True, key="policy_no")
    def freeze(self, event):
        self.frozen = event.frozen
        self.changes += 1

    @on(PolicyAnnulled, every=True, key="policy_no")
    def annulled(self, event):
        return DELETE
"""

# The broker notices sooner that a process is dead than it would elsewhere.
_IN_A_HURRY = """
[log.settings]
"session.timeout.ms" = "2000"
"heartbeat.interval.ms" = "200"
"""

Rows = dict[object, dict[str, Any]]


class Expected:
    """What the views have to hold, by name and version: events taken one by one, in plain code that shares none with the toolkit's."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.rows: dict[tuple[str, int], Rows] = {one: {} for one in VERSIONS}
        self.parked: dict[tuple[str, int], list[str]] = {one: [] for one in VERSIONS}
        self._held: dict[tuple[str, int], set[object]] = {one: set() for one in VERSIONS}
        for record in records:
            data = msgspec.json.decode(record.data)
            kind = record.envelope.type
            self._latest(record, kind, data)
            self._latest_and_times(record, kind, data)
            self._totals(kind, data)
            self._covers(kind, data)

    def _parks(self, view: tuple[str, int], record: Record, key: str, *, missing: bool) -> bool:
        if key not in self._held[view] and not (missing and key not in self.rows[view]):
            return False
        self._held[view].add(key)
        self.parked[view].append(record.envelope.id)
        return True

    def _latest(self, record: Record, kind: str, data: dict[str, Any]) -> None:
        if kind not in ("PolicyStated", "PolicyCancelled", "PolicyAnnulled"):
            return
        view, key = ("latest", 1), data["policy_no"]
        if self._parks(view, record, key, missing=kind != "PolicyStated"):
            return
        rows = self.rows[view]
        if kind == "PolicyStated":
            rows[key] = {
                "policy_no": key,
                "broker": data["broker"],
                "premium": Decimal(data["premium"]),
                "note": data["note"],
                "cancelled": False,
                "stated_at": record.envelope.time,
            }
        elif kind == "PolicyCancelled":
            rows[key]["cancelled"] = True
        else:
            del rows[key]

    def _latest_and_times(self, record: Record, kind: str, data: dict[str, Any]) -> None:
        if kind not in ("PolicyStated", "PolicyAnnulled"):
            return
        view, key = ("latest", 2), data["policy_no"]
        if self._parks(view, record, key, missing=kind != "PolicyStated"):
            return
        rows = self.rows[view]
        row = rows.setdefault(key, {"policy_no": key, "times": 0})
        row["times"] += 1
        row["annulled"] = kind == "PolicyAnnulled"
        if kind == "PolicyStated":
            row["broker"], row["premium"] = data["broker"], Decimal(data["premium"])

    def _totals(self, kind: str, data: dict[str, Any]) -> None:
        if kind not in ("PolicyStated", "PremiumPaid", "BrokerNamed", "CommissionPaid"):
            return
        nothing = {"name": "", "statements": 0, "payments": 0, "paid": Decimal(0), "commission": Decimal(0)}
        row = self.rows["totals", 1].setdefault(data["broker"], {"broker": data["broker"], **nothing})
        if kind == "PolicyStated":
            row["statements"] += 1
        elif kind == "PremiumPaid":
            row["payments"] += 1
            row["paid"] += Decimal(data["amount"])
        elif kind == "BrokerNamed":
            row["name"] = data["name"]
        else:
            row["commission"] += Decimal(data["amount"])

    def _covers(self, kind: str, data: dict[str, Any]) -> None:
        if kind not in ("CoversStated", "CoversAdded", "CoversFrozen", "PolicyAnnulled"):
            return
        rows, policy_no = self.rows["covers", 1], data["policy_no"]
        there = [key for key, row in rows.items() if row["policy_no"] == policy_no]
        named = {(policy_no, cover["no"]): cover for cover in data.get("covers", ())}
        if kind in ("CoversStated", "PolicyAnnulled"):
            for key in there:
                if key not in named:
                    del rows[key]
        for key, cover in named.items():
            row = rows.setdefault(
                key, {"policy_no": policy_no, "no": cover["no"], "frozen": False, "changes": 0}
            )
            row["limit"] = Decimal(cover["limit"])
            row["changes"] += 1
        if kind == "CoversFrozen":
            for key in there:
                row = rows[key]
                row["frozen"] = data["frozen"]
                row["changes"] += 1


class Agency:
    """The project in its folder, and the processes that keep its views up to date."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        log: str,
        state: str,
        read_store: str,
        shared: Sequence[str] = (),
        protocol: str = "classic",
    ) -> None:
        self.folder, self.name, self.read_store = folder, name, read_store
        folder.mkdir()
        sqlite3.connect(folder / "legacy.db").close()
        for module, text in (
            ("events", _EVENTS),
            ("translators", _TRANSLATORS),
            ("projections", _PROJECTIONS),
        ):
            (folder / f"{module}.py").write_text(text)
        sections = "".join(
            f'[legacy.{one}]\nurl = "sqlite:///legacy.db"\ncontext = "{one}"\ntables = ["{table}"]\n'
            for one, table in (("policies", "policy"), ("brokers", "broker"))
        )
        (folder / "strangler.toml").write_text(
            f'[project]\nname = "{name}"\nmodules = ["events", "translators", "projections"]\n{sections}'
            f'[log]\nurl = "{log}"\npartitions = {PARTITIONS}\ngroup_protocol = "{protocol}"\n'
            f"{_IN_A_HURRY if protocol == 'classic' and log.startswith('kafka') else ''}"
            f'[state]\nurl = "{state}"\n[read_store]\nurl = "{read_store}"\nshared = {list(shared)}\n'
        )

    @classmethod
    def embedded(cls, folder: Path) -> Agency:
        """All of it in files of this folder, without a server."""
        return cls(
            folder / "project",
            name="agency",
            log="sql:",
            state=f"sqlite:///{folder}/state.db",
            read_store=f"sqlite:///{folder}/read.db",
        )

    def strangler(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        """A command, as a person gives it: its exit code, and what it says."""
        code = run([*arguments, "--project", str(self.folder)])
        told = capsys.readouterr()
        return code, told.out + told.err

    @contextmanager
    def opened(self) -> Iterator[App]:
        with open_project(self.folder) as app:
            yield app

    def prepare(self) -> None:
        """Tables and topics, and all versions side by side: each is kept up to date from the first event on."""
        with self.opened() as app:
            app.setup()
            for definition in self.definitions(app):
                name, version = definition.name, definition.version
                app.store.create(definition, app.project.topics, app.clock())
                epoch = app.store.seize(name, version)
                app.store.set_state(name, version, "running", "", epoch=epoch, now=app.clock())

    @staticmethod
    def definitions(app: App) -> list[Definition]:
        return [app.project.definition(*one) for one in VERSIONS]

    @contextmanager
    def child(self, *arguments: str) -> Iterator[Child]:
        with python_child(*arguments) as child:
            try:
                yield child
            except BaseException:
                print(child.output[-20_000:])  # noqa: T201 - beside what failed, what the process said
                raise

    @retry(
        retry=retry_if_exception_type(OperationalError),  # SQLite has one writer, and many may want to be it
        stop=stop_after_attempt(10),
        reraise=True,
    )
    def let_the_leases_run_out(self) -> None:
        """Spare the tests the wait for the leases of processes that are dead."""
        with self.opened() as app, app.state.engine.begin() as connection:
            ours = lease.c.name.startswith("projector:") | lease.c.name.startswith("repair:")
            past = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
            connection.execute(update(lease).where(ours).values(expires_at=past))
