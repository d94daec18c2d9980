"""The seams: what the loops need of the outside world. `adapters/` implements each, tests fake none of them."""

from toolkit.ports.clock import Clock
from toolkit.ports.legacy import (
    Answer,
    Capture,
    CapturedTable,
    Chunk,
    Cursor,
    Hole,
    Horizon,
    LegacyReads,
    LegacySource,
    Plan,
)
from toolkit.ports.log import Consumer, Log, Publisher
from toolkit.ports.read_store import (
    Batch,
    Checkpoint,
    Digest,
    ParkedEvent,
    ReadStore,
    SkippedEvent,
    VersionState,
    ViewAnswer,
)
from toolkit.ports.routing import Evidence, RouteStore, Waivers
from toolkit.ports.state import (
    Archive,
    LeaseList,
    Leases,
    LeaseState,
    ParkedChange,
    Pause,
    Pauses,
    UnclassifiedLedger,
)

__all__ = [
    "Answer",
    "Archive",
    "Batch",
    "Capture",
    "CapturedTable",
    "Checkpoint",
    "Chunk",
    "Clock",
    "Consumer",
    "Cursor",
    "Digest",
    "Evidence",
    "Hole",
    "Horizon",
    "LeaseList",
    "LeaseState",
    "Leases",
    "LegacyReads",
    "LegacySource",
    "Log",
    "ParkedChange",
    "ParkedEvent",
    "Pause",
    "Pauses",
    "Plan",
    "Publisher",
    "ReadStore",
    "RouteStore",
    "SkippedEvent",
    "UnclassifiedLedger",
    "VersionState",
    "ViewAnswer",
    "Waivers",
]
