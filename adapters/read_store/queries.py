"""The named `.sql` files beside this module."""

from __future__ import annotations

from adapters.statements import Statements

query = Statements(__file__).query
