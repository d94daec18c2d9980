"""When a rebuild may end: once no transaction that is older than its start can still add events (R5).

Where the engine tells which transactions write, those that were open when it began are waited for. Then a watermark is
waited for whose instant is later than that, on the source's own clock: what they committed is in the view.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from toolkit.inbox import Settling
from toolkit.ports import LegacySource


class Settled:
    """The sources of a rebuild, by topic, as they were when it began."""

    def __init__(self, sources: Mapping[str, LegacySource]) -> None:
        self._sources = sources
        self._open = {
            topic: (capture, capture.writers())
            for topic, source in sources.items()
            if isinstance(capture := source.capture, Settling)
        }

    def waiting(self) -> list[str]:
        """Topics whose source has a transaction open that was so when this began."""
        for topic, (capture, token) in list(self._open.items()):
            if capture.ended(token):
                del self._open[topic]
        return list(self._open)

    def instants(self) -> dict[str, dt.datetime]:
        """Topic to the source's clock: a watermark that is newer covers all that was committed before now."""
        return {topic: source.clock() for topic, source in self._sources.items()}
