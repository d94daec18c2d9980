"""Figures of this machine, ours beside a named peer's, taken in one go: `python -m benchmarks.NAME --json`."""
