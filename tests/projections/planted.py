"""One impurity a handler, each of another kind; and for each a pure handler that looks alike.

`PLANTED` says under what words the static look finds it, and whether the guard sees it while it runs, too.
"""

# ruff: noqa: DTZ011, PLW0603, B006, B008, PTH123
# mypy: disable-error-code="misc, attr-defined"

import datetime as dt
import decimal
import functools
import gc
import hashlib
import importlib
import itertools
import locale
import math
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.read_store import PolicyIssued
from toolkit.app import open_project
from toolkit.core.projections import Projection, on


@dataclass(frozen=True)
class Planted:
    projection: type[Projection]
    says: str
    at_run_time: str


PLANTED: dict[str, Planted] = {}
ALIKE: dict[str, type[Projection]] = {}
MEMORY: dict[str, int] = {}
COUNTER = itertools.count()
REGIONS = {"north", "south"}
NAMES = ("north", "south")
CENTS = 10
total = 0


def _projection(rule: Callable[..., Any]) -> type[Projection]:
    body = {
        "__annotations__": {"policy_no": str, "note": str, "number": int, "seen": list[str]},
        "__module__": __name__,
        "note": "",
        "number": 0,
        "seen": [],
        "shared": {},
        rule.__name__: on(PolicyIssued, creates=True)(rule),
    }
    options = {"version": 1, "context": "c", "key": "policy_no", "name": rule.__name__}
    return types.new_class(rule.__name__.title(), (Projection,), options, lambda scope: scope.update(body))


def planted(says: str, at_run_time: str = "") -> Callable[[Callable[..., Any]], None]:
    def declare(rule: Callable[..., Any]) -> None:
        PLANTED[rule.__name__] = Planted(_projection(rule), says, at_run_time)

    return declare


def alike(rule: Callable[..., Any]) -> None:
    ALIKE[rule.__name__] = _projection(rule)


# --- the clock


@planted("dt.datetime.now", "datetime.now")
def clock(self: Any, event: PolicyIssued) -> None:
    self.note = dt.datetime.now(dt.UTC).isoformat()


@planted("time.perf_counter", "perf_counter")
def stopwatch(self: Any, event: PolicyIssued) -> None:
    self.note = str(time.perf_counter())


@planted("dt.date.today")
def clock_in_a_default(self: Any, event: PolicyIssued, today: dt.date = dt.date.today()) -> None:
    self.note = "x"


@alike
def day_after(self: Any, event: PolicyIssued) -> None:
    day = dt.date.fromisoformat("2024-01-31") + dt.timedelta(days=1)
    self.note = dt.datetime.combine(day, dt.time(1), tzinfo=dt.UTC).strftime("%Y-%m-%d")


# --- randomness


@planted("random.choice", "random")
def chance(self: Any, event: PolicyIssued) -> None:
    self.note = random.choice(NAMES)


@planted("secrets.token_hex", "token_bytes")
def secret(self: Any, event: PolicyIssued) -> None:
    self.note = secrets.token_hex(4)


@planted("uuid.uuid4", "urandom")
def new_id(self: Any, event: PolicyIssued) -> None:
    self.note = str(uuid.uuid4())


@alike
def derived_id(self: Any, event: PolicyIssued) -> None:
    self.note = str(uuid.uuid5(uuid.NAMESPACE_URL, event.policy_no))
    self.note += hashlib.sha256(event.policy_no.encode()).hexdigest()


# --- what is outside


@planted("os.environ", "os.__getitem__")
def environment(self: Any, event: PolicyIssued) -> None:
    self.note = os.environ["PATH"][:1]


@planted("the module os", "os.__getitem__")
def environment_by_name(self: Any, event: PolicyIssued) -> None:
    self.note = getattr(os, "environ")["PATH"][:1]  # noqa: B009


@planted("open", "open")
def file(self: Any, event: PolicyIssued) -> None:
    with open(__file__) as read:
        self.note = read.read(1)


@planted("Path", "open")
def path(self: Any, event: PolicyIssued) -> None:
    self.note = Path(__file__).read_text()[:1]


@planted("tempfile.gettempdir", "gettempdir")
def temporary(self: Any, event: PolicyIssued) -> None:
    self.note = tempfile.gettempdir()[:1]


@planted("socket.gethostname", "gethostname")
def network(self: Any, event: PolicyIssued) -> None:
    self.note = socket.gethostname()[:1]


@planted("sqlite3.connect", "Connection.execute")
def another_table(self: Any, event: PolicyIssued) -> None:
    connection = sqlite3.connect(":memory:")
    self.note = str(connection.execute("SELECT 1").fetchone()[0])
    connection.close()


@planted("open_project")
def another_projection(self: Any, event: PolicyIssued) -> None:
    if event.broker == "nobody":
        self.note = open_project(".").read("portal", event.policy_no).stage


@planted("subprocess.run")
def process(self: Any, event: PolicyIssued) -> None:
    if event.broker == "nobody":
        subprocess.run(["true"], check=False)


@planted("threading.Thread", "threading.__init__")
def thread(self: Any, event: PolicyIssued) -> None:
    worker = threading.Thread(target=str)
    self.note = str(worker.daemon)


@planted("sys.getrecursionlimit", "getrecursionlimit")
def interpreter(self: Any, event: PolicyIssued) -> None:
    self.number = sys.getrecursionlimit()


@planted("importlib.import_module")
def import_by_name(self: Any, event: PolicyIssued) -> None:
    self.note = importlib.import_module("string").digits


@planted("eval", "eval")
def code_from_text(self: Any, event: PolicyIssued) -> None:
    self.number = eval("1 + 1")


@planted("gc.get_count")
def garbage(self: Any, event: PolicyIssued) -> None:
    self.number = gc.get_count()[0] * 0


# --- the order of sets


@planted("list(...) over a set")
def order_of_a_set(self: Any, event: PolicyIssued) -> None:
    self.seen = list({event.broker, event.policy_no})


@planted("join(...) over a set")
def order_in_a_text(self: Any, event: PolicyIssued) -> None:
    self.note = ",".join(name.upper() for name in REGIONS)


@planted("the order of the set names")
def order_of_a_name(self: Any, event: PolicyIssued) -> None:
    names: set[str] = {event.broker, "a"}
    self.note = f"{names}"


@planted("any element of a set")
def any_element(self: Any, event: PolicyIssued) -> None:
    names = REGIONS.union([event.broker])
    self.note = names.pop()


def _regions() -> set[str]:
    return {"north", "south"}


@planted("the order of the set _regions()")
def order_of_a_helper(self: Any, event: PolicyIssued) -> None:
    for region in _regions():
        self.note += region


@alike
def sets_without_an_order(self: Any, event: PolicyIssued) -> None:
    names = {event.broker, *REGIONS}
    self.seen = sorted(list({*self.seen, *names}))  # noqa: C414
    self.seen = sorted(map(str.lower, names))
    self.number = len(names) + max(len(one) for one in names) + sum(1 for _ in names)
    self.note = "known" if event.broker in names and names.issuperset(REGIONS) else "new"
    table = {"a": 1, "b": 2}
    self.note += ",".join(table) + str(list(table.values()))


# --- numbers


@planted("float")
def money_as_float(self: Any, event: PolicyIssued) -> None:
    self.note = str(float(event.premium))


@planted("the float 1.1")
def factor_as_float(self: Any, event: PolicyIssued) -> None:
    self.note = str(CENTS * 1.1)


@planted("self.number / 3, a fraction of whole numbers")
def fraction(self: Any, event: PolicyIssued) -> None:
    self.note = str(self.number / 3)


@planted("math.sqrt", "sqrt")
def root(self: Any, event: PolicyIssued) -> None:
    self.note = str(math.sqrt(2))[:3]


@planted("decimal.getcontext", "getcontext")
def precision(self: Any, event: PolicyIssued) -> None:
    self.number = decimal.getcontext().prec


@alike
def exact_numbers(self: Any, event: PolicyIssued) -> None:
    self.note = str(event.premium * Decimal("1.1") / 3)[:4]
    self.number = self.number // 3 + math.floor(event.premium) + round(event.premium)


# --- state


@planted("MEMORY[event.policy_no]", "MEMORY is another one")
def module_state(self: Any, event: PolicyIssued) -> None:
    MEMORY[event.policy_no] = len(MEMORY)
    self.number = MEMORY[event.policy_no] * 0


@planted("global total")
def global_name(self: Any, event: PolicyIssued) -> None:
    global total
    total += 1


@planted("next(COUNTER)")
def counter(self: Any, event: PolicyIssued) -> None:
    self.number = next(COUNTER)


@planted("self.shared[event.policy_no]", "self.shared is another one")
def class_state(self: Any, event: PolicyIssued) -> None:
    self.shared[event.policy_no] = self.shared.get(event.policy_no, 0) + 1


@planted("type(self).latest")
def class_attribute(self: Any, event: PolicyIssued) -> None:
    type(self).latest = event.policy_no


@planted("self.__class__.latest")
def class_by_another_name(self: Any, event: PolicyIssued) -> None:
    self.__class__.latest = event.policy_no


@planted("a default that all calls share")
def mutable_default(self: Any, event: PolicyIssued, seen: list[str] = []) -> None:
    self.number = 0


@planted("counted.calls")
def function_attribute(self: Any, event: PolicyIssued) -> None:
    counted.calls = counted.calls + 1


def counted() -> None: ...


counted.calls = 0


@planted("setattr(counted, 'calls', 1)")
def set_by_name(self: Any, event: PolicyIssued) -> None:
    setattr(counted, "calls", 1)  # noqa: B010


@functools.cache
def _initial(name: str) -> str:
    return name[:1]


@alike
def state_of_its_own(self: Any, event: PolicyIssued) -> None:
    seen = [*self.seen]
    seen.append(event.policy_no)
    self.seen.append(_initial(event.policy_no))
    counts: dict[str, int] = {}
    counts[event.broker] = counts.get(event.broker, 0) + 1
    first = next(iter(NAMES))
    self.note = first + NAMES[0]


# --- identity, hashes, language, place


@planted("hash")
def hashed(self: Any, event: PolicyIssued) -> None:
    self.number = hash(event.policy_no)


@planted("id", "called id")
def identity(self: Any, event: PolicyIssued) -> None:
    self.number = id(event) * 0


@alike
def same_value(self: Any, event: PolicyIssued) -> None:
    self.number = 1 if event.broker == "B-1" and event.premium is not None else 2


@planted("locale.str", "locale.str")
def language(self: Any, event: PolicyIssued) -> None:
    self.note = locale.str(1)


@planted("strftime with names of days or months")
def name_of_a_month(self: Any, event: PolicyIssued) -> None:
    self.note = dt.date(2024, 1, 2).strftime("%d %B %Y")


@planted("a format with names of days or months")
def name_of_a_day(self: Any, event: PolicyIssued) -> None:
    self.note = f"{dt.date(2024, 1, 2):%A}"


@planted("astimezone in local time")
def time_zone(self: Any, event: PolicyIssued) -> None:
    self.note = dt.datetime(2024, 1, 2, tzinfo=dt.UTC).astimezone().isoformat()[:4]


@alike
def named_time_zone(self: Any, event: PolicyIssued) -> None:
    zone = dt.timezone(dt.timedelta(hours=1))
    self.note = f"{dt.datetime(2024, 1, 2, tzinfo=dt.UTC).astimezone(zone):%H:%M}"


# --- what is never done


@planted("a function that yields")
def generator(self: Any, event: PolicyIssued) -> Any:
    self.note = "never"
    yield None
