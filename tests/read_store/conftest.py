"""The fixtures of a read store on each engine."""

from tests.support.read_store import any_store, any_store_url, read_store, read_store_url

__all__ = ["any_store", "any_store_url", "read_store", "read_store_url"]
