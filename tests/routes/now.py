"""The instant at which the tests happen that need no real clock."""

import datetime as dt

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
