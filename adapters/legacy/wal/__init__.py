"""Capture from PostgreSQL's write-ahead log: pgoutput through SQL functions, in true commit order, without a trigger."""

from adapters.legacy.wal.capture import WalCapture, open_capture

__all__ = ["WalCapture", "open_capture"]
