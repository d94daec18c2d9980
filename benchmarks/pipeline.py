"""From a commit in the legacy database to a row that can be read, beside a pipeline written by hand.

- history: what was there before: backfill into the archive, publish, project (no peer: it has no history)
- catch-up: changes of some seconds wait; relay and projectors in one process work them off
- live: the writer commits as fast as it can while the pipeline runs in processes of its own; until every view has
  passed the last commit
- latency: one policy is changed while others are, now and then; until the read store shows it

The peer is `benchmarks.naive`; it says itself what it leaves out.
"""

from __future__ import annotations

import random
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Self

from sqlalchemy import text

from adapters.engines import open_engine, reading
from benchmarks import contenders, options
from benchmarks.contenders import Contender
from benchmarks.figures import Figure, percentile
from benchmarks.naive import change_table
from benchmarks.places import Places, places
from examples.insurer.estate import store
from examples.insurer.estate.writer import LiveWriter
from tests.support.flowing import following
from tests.support.insurer import SOURCE, opened
from toolkit.app import App

PEER = "hand-written polling, one transaction a change"
FLAT_OUT = 1e6
"""More transactions a second than any writer here can commit."""
LOOK_EVERY = 0.002
LONGEST_WAIT = 60.0


Values = dict[str, tuple[float, str]]
"""Figure to value and unit."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen = options.read(".pipeline", "From legacy commit to readable row.", arguments)
    with places(chosen) as where:
        mine, theirs = _ours(where), _peer(where)
    for name, (value, unit) in mine.items():
        other = theirs.get(name)
        Figure(
            figure=f"pipeline.{name} [{chosen.engine}+{chosen.log}]",
            value=value,
            unit=unit,
            peer=PEER if other else None,
            peer_value=other[0] if other else None,
        ).show(chosen.json)


def _ours(where: Places) -> Values:
    with where.insurer() as insurer, opened(insurer) as app:
        history = _history(app)
        with contenders.ours(insurer, app) as ours:
            return {**history, **_contend(ours, insurer.legacy, where.options)}


def _peer(where: Places) -> Values:
    with where.insurer() as insurer, opened(insurer) as app, contenders.peer(insurer, app) as peer:
        return _contend(peer, insurer.legacy, where.options)


def _contend(contender: Contender, legacy: str, chosen: Namespace) -> Values:
    values = _catch_up(contender, legacy, chosen)
    with contender.running():
        return {**values, **_live(contender, legacy, chosen), **_latency(contender, legacy, chosen)}


# --- the measurements


def _history(app: App) -> Values:
    """Backfill, then publish, then project: each alone, so that each is seen."""
    app.setup()
    capture = app.legacy(SOURCE).capture
    capture.install(capture.plan(app.project.captured(SOURCE)))
    translation = app.translation(SOURCE)
    relay, work = app.relay(SOURCE, translation), app.backfill(SOURCE, translation)
    relay.lead()
    events, began = 0, time.monotonic()
    while step := work.step(relay.epoch):
        relay.keep_leading()
        events += step.events
    archived = time.monotonic()
    relay.drain()
    published = time.monotonic()
    relay.resign()
    with following(app, contenders.PATIENCE):
        visible = time.monotonic()
    return {
        "history.backfill": (events / (archived - began), "events/s"),
        "history.publish": (events / (published - archived), "events/s"),
        "history.project (all views)": (events / (visible - published), "events/s"),
        "history.whole": (events / (visible - began), "events/s"),
    }


def _catch_up(contender: Contender, legacy: str, chosen: Namespace) -> Values:
    """Work off what was committed while nothing ran."""
    with _Changes(legacy) as changes:
        _write(legacy, chosen.seconds, seed=2)
    began = time.monotonic()
    with contender.following():
        took = time.monotonic() - began
    return {"catch-up": (changes.count / took, "changes/s")}


def _live(contender: Contender, legacy: str, chosen: Namespace) -> Values:
    """Keep up with a writer that does not wait."""
    began = time.monotonic()
    with _Changes(legacy) as changes:
        _write(legacy, chosen.seconds, seed=3)
    written = time.monotonic()
    contender.reach()
    reached = time.monotonic()
    return {
        "live.committed": (changes.count / (written - began), "changes/s"),
        "live.visible": (changes.count / (reached - began), "changes/s"),
        "live.behind at the end": (reached - written, "s"),
    }


def _latency(contender: Contender, legacy: str, chosen: Namespace) -> Values:
    """Change the premium of policies that nobody else touches, at moments that keep no step with any polling."""
    engine, chance, waited = store.open_engine(legacy, writes=True), random.Random(5), list[float]()
    ended = "SELECT POL_NO FROM POLMAST WHERE STAT_CD IN ('C', 'R', 'L') ORDER BY POL_NO LIMIT 50"
    change = text("UPDATE POLMAST SET PREM_CENTS = :cents WHERE POL_NO = CAST(:policy AS CHAR(12))")
    with engine.connect() as connection:
        policies = [str(row[0]).strip() for row in connection.execute(text(ended))]
    with LiveWriter(legacy, seed=4, rate=chosen.rate, confirm_lag=1.0):
        for sample in range(chosen.samples):
            time.sleep(chance.uniform(0.0, 0.4))
            policy, cents = policies[sample % len(policies)], 5_000_000 + sample
            with engine.begin() as connection:
                connection.execute(change, {"cents": cents, "policy": policy})
            waited.append(_until_shown(contender, policy, cents))
    engine.dispose()
    return {
        "latency p50": (percentile(waited, 0.5) * 1000, "ms"),
        "latency p99": (percentile(waited, 0.99) * 1000, "ms"),
    }


def _until_shown(contender: Contender, policy: str, cents: int) -> float:
    committed = time.monotonic()
    while not contender.shows(policy, cents):
        if time.monotonic() - committed > LONGEST_WAIT:
            raise TimeoutError(f"the premium of {policy} did not reach the read store in {LONGEST_WAIT} s")
        time.sleep(LOOK_EVERY)
    return time.monotonic() - committed


def _write(legacy: str, seconds: float, *, seed: int) -> None:
    with LiveWriter(legacy, seed=seed, rate=FLAT_OUT, confirm_lag=0.5):
        time.sleep(seconds)


class _Changes:
    """Counts the row changes that are captured while it is open."""

    def __init__(self, legacy: str) -> None:
        self._engine = open_engine(legacy)
        self._count = text(f"SELECT COUNT(*) FROM {change_table(self._engine)}")
        self.count = 0

    def __enter__(self) -> Self:
        self.count = -self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.count += self._now()
        self._engine.dispose()

    def _now(self) -> int:
        with reading(self._engine) as connection:
            return int(connection.scalar(self._count) or 0)


if __name__ == "__main__":
    main()
