"""Helpers shared by the tests."""

from tests.support.processes import Child, python_child
from tests.support.waiting import wait_until

__all__ = ["Child", "python_child", "wait_until"]
