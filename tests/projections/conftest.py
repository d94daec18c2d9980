"""The fixtures of a read store on each engine."""

from tests.support.read_store import read_store, read_store_url

__all__ = ["read_store", "read_store_url"]
