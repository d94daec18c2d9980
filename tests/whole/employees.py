"""The schema of the employees sample database (six tables, four of them with composite keys), with made-up rows."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator

from sqlalchemy import Connection, text

AGGREGATES = {
    "department": {"departments": "dept_no"},
    "employee": {
        "employees": "emp_no",
        "dept_emp": "emp_no",
        "dept_manager": "emp_no",
        "titles": "emp_no",
        "salaries": "emp_no",
    },
}
_OPEN = dt.date(9999, 1, 1)
_SCHEMA = """
CREATE TABLE employees (
  emp_no INT NOT NULL PRIMARY KEY, birth_date DATE NOT NULL, first_name VARCHAR(14) NOT NULL,
  last_name VARCHAR(16) NOT NULL, gender CHAR(1) NOT NULL, hire_date DATE NOT NULL);
CREATE TABLE departments (dept_no CHAR(4) NOT NULL PRIMARY KEY, dept_name VARCHAR(40) NOT NULL UNIQUE);
CREATE TABLE dept_manager (
  emp_no INT NOT NULL, dept_no CHAR(4) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
  FOREIGN KEY (emp_no) REFERENCES employees (emp_no) {cascade},
  FOREIGN KEY (dept_no) REFERENCES departments (dept_no) {cascade}, PRIMARY KEY (emp_no, dept_no));
CREATE TABLE dept_emp (
  emp_no INT NOT NULL, dept_no CHAR(4) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
  FOREIGN KEY (emp_no) REFERENCES employees (emp_no) {cascade},
  FOREIGN KEY (dept_no) REFERENCES departments (dept_no) {cascade}, PRIMARY KEY (emp_no, dept_no));
CREATE TABLE titles (
  emp_no INT NOT NULL, title VARCHAR(50) NOT NULL, from_date DATE NOT NULL, to_date DATE,
  FOREIGN KEY (emp_no) REFERENCES employees (emp_no) {cascade}, PRIMARY KEY (emp_no, title, from_date));
CREATE TABLE salaries (
  emp_no INT NOT NULL, amount NUMERIC(10,2) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
  FOREIGN KEY (emp_no) REFERENCES employees (emp_no) {cascade}, PRIMARY KEY (emp_no, from_date))
"""


def fill(connection: Connection, employees: int) -> None:
    """Make the tables and rows. MariaDB's triggers do not see what a foreign key does: there it restricts."""
    cascade = "" if connection.dialect.name == "mysql" else "ON DELETE CASCADE ON UPDATE CASCADE"
    for statement in _SCHEMA.format(cascade=cascade).split(";"):
        connection.exec_driver_sql(statement)
    for table, rows in _rows(random.Random(7), employees):
        marks = ", ".join(f":{at}" for at in range(len(rows[0])))
        connection.execute(
            text(f"INSERT INTO {table} VALUES ({marks.replace(':', ':c')})"),
            [{f"c{at}": value for at, value in enumerate(row)} for row in rows],
        )


def _rows(random_: random.Random, count: int) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    def day() -> str:
        return str(dt.date(1985, 1, 1) + dt.timedelta(days=random_.randint(0, 6000)))

    people = range(1, count + 1)
    homes = [f"d{number:03}" for number in range(1, 10)]
    yield "departments", [(one, f"Department {one}") for one in homes]
    yield (
        "employees",
        [(one, day(), f"First {one}", f"Last {one}", random_.choice("MF"), day()) for one in people],
    )
    yield (
        "dept_emp",
        [(one, home, day(), str(_OPEN)) for one in people for home in random_.sample(homes, 1 + one % 2)],
    )
    yield "dept_manager", [(one, random_.choice(homes), day(), str(_OPEN)) for one in people if one % 20 == 0]
    yield "titles", [(one, f"Engineer {at}", day(), None) for one in people for at in range(1 + one % 3)]
    yield (
        "salaries",
        [(one, 40_000 + at, f"19{80 + at}-06-26", f"19{81 + at}-06-26") for one in people for at in range(9)],
    )
