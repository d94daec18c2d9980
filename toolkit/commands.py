"""The commands that messages tell people to run, each spelled once; the command line is tested against them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

INSTALL_CAPTURE = "strangler capture install"
BACKFILL = "strangler backfill"
RELAY = "strangler relay"
RESUME = "strangler relay resume"
PROJECT = "strangler project"
RUN = "strangler run"
PARKED = "strangler repair parked"
CHECK = "strangler check"
DOCTOR = "strangler doctor"
SETUP = "strangler setup"
CAPTURE_PLAN = "strangler capture plan"
CAPTURE_STATUS = "strangler capture status"
ARCHIVE_STATUS = "strangler archive status"
PRUNE = "strangler archive prune"
COVERAGE = "strangler catalogue coverage"
EXAMPLES = "strangler catalogue examples"


def backfill(source: str) -> str:
    """Read what one source holds already."""
    return f"{BACKFILL} --source {source}"


def shadow_run(capability: str) -> str:
    """Compare both sides of a capability."""
    return f"strangler shadow run {capability}"


def shadow_all(capability: str) -> str:
    """Compare every key: what only the view has is found, too."""
    return f"{shadow_run(capability)} --keys 0"


def freshness(capability: str) -> str:
    """How far behind a view is, and what it waits for."""
    return f"strangler freshness {capability}"


def verify(projection: str, version: int | None = None) -> str:
    """Replay a projection twice and compare."""
    return f"strangler verify {projection}" + (f" --version {version}" if version is not None else "")


def switch(projection: str, version: int) -> str:
    """Let a version serve."""
    return f"strangler switch {projection} --version {version}"


def rehearse(capability: str) -> str:
    """Walk a capability's way back."""
    return f"strangler route rehearse {capability}"


def rollback(capability: str, consumer: str, stage: str) -> str:
    """Move a route back."""
    return f"strangler route rollback {capability} --consumer '{consumer}' --to {stage}"


def accept(capability: str, fingerprint: str) -> str:
    """Answer for a known difference."""
    return f"strangler shadow accept {capability} {fingerprint} --owner WHO --reason WHY --days N"


def waive(capability: str, gate: str) -> str:
    """Answer for a gate that does not hold."""
    return f"strangler waive {capability} {gate} --owner WHO --reason WHY --days N"


def repair_show(capability: str) -> str:
    """Say what is to be repaired."""
    return f"strangler repair show {capability}"


def replay_changes(source: str) -> str:
    """Translate parked changes again."""
    return f"strangler repair changes {source}"


def unclassified(source: str) -> str:
    """List the kinds of change that gave no event."""
    return f"strangler repair unclassified {source}"


def answer(source: str, shape: str) -> str:
    """Answer for a kind of change that gave no event."""
    return f"strangler repair answer {source} '{shape}' --owner WHO --reason WHY"


def replay_events(projection: str) -> str:
    """Apply parked events again."""
    return f"strangler repair events {projection}"


def skip(projection: str, event_id: str = "EVENT_ID") -> str:
    """Never apply a parked event."""
    return f"strangler repair skip {projection} {event_id} --owner WHO --reason WHY"


def skip_all(projection: str, because: str) -> str:
    """Never apply the events that are parked for one reason."""
    return f"strangler repair skip {projection} --parked-for {shlex.quote(because)} --owner WHO --reason WHY"


def skipped(projection: str) -> str:
    """List what was never applied, with who answers for it."""
    return f"strangler repair skipped {projection}"


def reproject(projection: str, keys: Sequence[str] = ()) -> str:
    """Fold rows again from the archive, each by its key."""
    told = f"-- {shlex.join(keys)}" if any(key.startswith("-") for key in keys) else shlex.join(keys)
    return f"strangler repair key {projection} {told or 'KEY'}"


def rebuild(projection: str, version: int) -> str:
    """Build a version beside the serving one."""
    return f"strangler rebuild {projection} --version {version}"


def drop(projection: str, version: int) -> str:
    """Remove a version that does not serve."""
    return f"strangler drop {projection} --version {version}"


def rebuild_from(projection: str, version: int, origin: str) -> str:
    """Build a version from one history or the other: `archive` or `log`."""
    return f"{rebuild(projection, version)} --from {origin}"


def forgo(projection: str) -> str:
    """Prune although a projection loses its history."""
    return f"{PRUNE} --forgo {projection}"
