"""MariaDB and MySQL as a legacy source: guarded reads, and capture by triggers for each row."""

from adapters.legacy.mariadb.source import MariadbSource

__all__ = ["MariadbSource"]
