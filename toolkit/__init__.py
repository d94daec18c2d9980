"""Move reads off a legacy database to event-fed projections, one capability at a time.

This module is what a project's own code imports: the vocabulary to declare events,
translators and projections with. Everything that acts lives behind the `strangler`
command and `toolkit.app.open_project`.
"""

from toolkit.core.changes import Change, Op
from toolkit.core.errors import StranglerError, Unprojectable, Untranslatable
from toolkit.core.events import Context, Event, InMeaning
from toolkit.core.projections import DELETE, Projection, on
from toolkit.core.records import Envelope
from toolkit.core.translators import Translators, payload

__version__ = "0.1.0"

__all__ = [
    "DELETE",
    "Change",
    "Context",
    "Envelope",
    "Event",
    "InMeaning",
    "Op",
    "Projection",
    "StranglerError",
    "Translators",
    "Unprojectable",
    "Untranslatable",
    "__version__",
    "on",
    "payload",
]
