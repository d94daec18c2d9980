"""What a pure function of (row, event) has no use for: modules, functions and built-ins, each with what to do instead."""

from __future__ import annotations

import builtins
import types
from collections.abc import Mapping

CLOCK = (
    "it may be another instant when the event is applied again: take the time from the envelope or the event"
)
RANDOM = "it is another value each time: derive it from the event's id"
OUTSIDE = "what is outside of row and event may be another one the next time: let the event carry it"
FLOAT = "binary fractions are not exact, and sums depend on their order: use Decimal('...')"
SET = "a set has no order that stays: sorted(...) it"
STATE = "it remembers what a replay does not have: keep it in the row"
HASH = "it is another number in each process: use the value itself"
LOCALE = "its words are those of the machine's language: use numbers, or a table of names"
DECIMAL = "it belongs to the thread: give quantize(...) its rounding, and Decimal arithmetic its places"

MODULES: Mapping[str, str] = {
    "time": CLOCK,
    "random": RANDOM,
    "secrets": RANDOM,
    **dict.fromkeys(
        [
            "os",
            "posix",
            "nt",
            "io",
            "pathlib",
            "tempfile",
            "shutil",
            "glob",
            "socket",
            "ssl",
            "select",
            "subprocess",
            "multiprocessing",
            "threading",
            "asyncio",
            "http",
            "urllib",
            "ftplib",
            "smtplib",
            "sqlite3",
            "logging",
            "requests",
            "httpx",
            "aiohttp",
            "urllib3",
            "boto3",
            "redis",
            "sqlalchemy",
            "psycopg",
            "psycopg2",
            "pymysql",
            "MySQLdb",
            "confluent_kafka",
            "locale",
            "platform",
            "getpass",
            "sys",
            "concurrent",
            "queue",
            "sched",
            "signal",
            "ctypes",
            "mmap",
            "atexit",
            "shelve",
            "dbm",
            "imaplib",
            "xmlrpc",
            "websockets",
            "grpc",
            "asyncpg",
            "oracledb",
            "pyodbc",
            "pymongo",
            "duckdb",
            "aiokafka",
            "adapters",
            "shadow",
            "migrations",
        ],
        OUTSIDE,
    ),
}
QUIET_MODULES: Mapping[str, str] = dict.fromkeys(
    ("importlib", "inspect", "gc", "weakref", "warnings", "traceback", "contextvars"), OUTSIDE
)
"""Not for handlers either; but the standard library uses them for its own ends, so that a call of them tells nothing."""
METHODS: Mapping[tuple[str, str], str] = {
    ("datetime", "now"): CLOCK,
    ("datetime", "utcnow"): CLOCK,
    ("datetime", "today"): CLOCK,
    ("date", "today"): CLOCK,
    ("uuid", "uuid1"): RANDOM,
    ("uuid", "uuid4"): RANDOM,
    ("uuid", "getnode"): OUTSIDE,
    ("decimal", "getcontext"): DECIMAL,
    ("decimal", "setcontext"): DECIMAL,
    **{
        ("math", name): FLOAT
        for name in (
            "sqrt",
            "pow",
            "exp",
            "log",
            "log2",
            "log10",
            "sin",
            "cos",
            "tan",
            "fsum",
            "fmod",
            "hypot",
        )
    },
}
BUILTINS: Mapping[str, str] = {
    **dict.fromkeys(
        ("open", "input", "print", "breakpoint", "eval", "exec", "compile", "__import__", "globals", "vars"),
        OUTSIDE,
    ),
    "hash": HASH,
    "id": HASH,
    "object": HASH,
    "float": FLOAT,
}


def reason_against(value: object) -> str:
    """Why a pure function has no use for this object; empty when it may have."""
    if isinstance(value, types.ModuleType):
        return ""  # what is taken from it decides
    name = getattr(value, "__name__", "")
    owner = getattr(value, "__self__", None)
    module = home(value)
    if module == "builtins" and name in BUILTINS and getattr(builtins, name, None) is value:
        return BUILTINS[name]
    if isinstance(owner, type):
        for base in owner.__mro__:
            reason = METHODS.get((base.__name__, name))
            if reason and base.__module__ == "datetime":
                return reason
    full = getattr(value, "__module__", None) or ""
    if module == "toolkit" and not str(full).startswith("toolkit.core"):
        return OUTSIDE if str(full).startswith("toolkit.") else ""
    return METHODS.get((module, name)) or MODULES.get(module, "")


def home(value: object) -> str:
    """The top-level module that an object comes from; of an instance, its class's."""
    owner = getattr(value, "__self__", None)
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) and owner is not None:
        module = getattr(owner, "__name__" if isinstance(owner, types.ModuleType) else "__module__", None)
    if not isinstance(module, str):
        module = type(value).__module__
    root = module.split(".")[0]
    return "threading" if root == "_thread" else root.lstrip("_")  # _io, _socket, _sqlite3: theirs in C
