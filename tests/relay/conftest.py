"""A relay between a legacy source and the embedded log, on both engines."""

from tests.support.state import state, state_url

__all__ = ["state", "state_url"]
