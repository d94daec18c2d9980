"""Schemas that others wrote: `mysql_column_type_test.sql` of Apache Flink CDC, `mariadb_inventory.sql` of Debezium.

They are as they were published: the first under the Apache License 2.0, the second under mariadb_inventory.LICENSE.
"""

import re
from pathlib import Path


def statements(name: str) -> list[str]:
    """The statements of a file, without its comments."""
    script = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
    bare = re.sub(r"(?m)^(--|#).*$", "", script)
    return [one.strip() for one in bare.split(";") if one.strip()]
