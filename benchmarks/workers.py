"""Two processes that follow a version together, beside one: the same events, from the moment at which all have their part."""

from __future__ import annotations

import time
from contextlib import ExitStack

from adapters.read_store.sql import open_read_store
from benchmarks.filling import PARTITIONS, Filled
from migrations.upgrade import upgrade
from tests.support.processes import Child, python_child

PATIENCE = 600.0
LOOK_EVERY = 0.05
VIEW = ("policy_view", 1)


def rate(count: int, filled: Filled, log_url: str, state_url: str, read_store_url: str) -> float:
    """Events a second, by so many processes. What was read before the last of them had its part does not count."""
    upgrade(read_store_url, "read_store")
    store = open_read_store(read_store_url)

    def applied() -> int:
        known = store.versions(VIEW[0])
        return sum(one.sequence for one in store.checkpoints(*VIEW)) if known else 0

    with ExitStack() as stack:
        stack.callback(store.close)
        arguments = ("-m", "benchmarks.one_worker", log_url, filled.topic, state_url, read_store_url)
        children = [stack.enter_context(python_child(*arguments)) for _ in range(count)]
        end = time.monotonic() + PATIENCE
        while not _divided(children):
            _rest(end, children)
        began, before = time.monotonic(), applied()
        while applied() < filled.events:
            _rest(end, children)
        took = time.monotonic() - began
        if before > filled.events / 2:
            raise RuntimeError("more than half was read before all had their part: give more --events")
        return (filled.events - before) / took


def _rest(end: float, children: list[Child]) -> None:
    if time.monotonic() > end or not all(child.running for child in children):
        raise RuntimeError("\n".join(child.output for child in children))
    time.sleep(LOOK_EVERY)


def _divided(children: list[Child]) -> bool:
    """Has each its part of the partitions, by what it says?"""
    return all(_reads(child) == PARTITIONS // len(children) for child in children)


def _reads(child: Child) -> int:
    reads = 0
    for line in list(child.lines):
        sign = 1 if ": reads " in line else -1 if ": gives up " in line else 0
        reads += sign * line.count("[")
    return reads
