"""Projections that are not pure functions of (row, event), each in its own way."""

import datetime as dt
import os
import random
import time as clock
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from tests.support.read_store import PolicyIssued
from toolkit.core.projections import Projection, on

SEEN: list[str] = []
CODES = {"B-1": "north"}
REGIONS = {"north", "south"}


def helper() -> str:
    return str(uuid4())


def today() -> dt.date:
    return dt.date.today()  # noqa: DTZ011


class Clock(Projection, version=1, context="c", key="policy_no", name="clock"):
    policy_no: str
    note: str = ""

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.note = dt.datetime.now(dt.UTC).isoformat() + str(clock.time()) + str(today())


class Chance(Projection, version=1, context="c", key="policy_no", name="chance"):
    policy_no: str
    note: str = ""

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        try:
            self.note = helper() + str(random.random())
        except Exception:  # noqa: BLE001 - hides what it can
            self.note = "?"


class Outside(Projection, version=1, context="c", key="policy_no", name="outside"):
    policy_no: str
    note: str = ""

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.note = os.environ.get("HOME", "") + Path(__file__).read_text()[:1]


class Remembers(Projection, version=1, context="c", key="policy_no", name="remembers"):
    policy_no: str
    note: str = ""

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        SEEN.append(event.policy_no)
        CODES[event.policy_no] = "seen"
        self.note = str(len(SEEN))


class Order(Projection, version=1, context="c", key="policy_no", name="order"):
    policy_no: str
    note: str = ""
    regions: list[str] = []  # noqa: RUF012

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.regions = list({event.broker, event.policy_no})
        for region in REGIONS:
            self.note += region


class Floats(Projection, version=1, context="c", key="policy_no", name="floats"):
    policy_no: str
    premium: Decimal = Decimal(0)

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium = Decimal(str(float(event.premium) * 1.1))


class Pure(Projection, version=1, context="c", key="policy_no", name="pure"):
    """Everything that a handler may well do."""

    policy_no: str
    note: str = ""
    regions: list[str] = []  # noqa: RUF012
    day: dt.date | None = None

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.note = CODES.get(event.broker, "elsewhere") + self._region(event)
        self.regions = sorted({*self.regions, event.broker, *REGIONS})
        self.regions.append("x")
        names = {"a", "b"}
        if event.broker in names:
            self.note += ",".join(sorted(names))
        self.day = dt.datetime.strptime("2024-01-02", "%Y-%m-%d").date() + dt.timedelta(days=1)  # noqa: DTZ007

    def _region(self, event: PolicyIssued) -> str:
        return event.broker.lower()
