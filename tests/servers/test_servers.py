"""The servers that the other tests trust: they answer, survive kill -9 with their data, and leave nothing behind."""

import shutil
import sys
import time
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers.kafka import KafkaServer
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.support import python_child, wait_until


def test_postgres_gives_every_test_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        assert first != second
        engine = sa.create_engine(first)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (n int)"))
        template = sa.make_url(first).database
        assert template
        engine.dispose()
        with postgres_server.database(template) as copy:
            engine = sa.create_engine(copy)
            assert sa.inspect(engine).get_table_names() == ["t"]
            engine.dispose()
    assert not [
        name for name in postgres_server.sql("SELECT datname FROM pg_database") if name.startswith("test_")
    ]


def test_postgres_drops_a_database_that_is_still_in_use(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("SELECT pg_create_logical_replication_slot('kept', 'test_decoding')")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PREPARE TRANSACTION 'left-behind'")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_postgres_keeps_what_was_committed_through_kill_9(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE t (n int)")
            connection.execute("INSERT INTO t VALUES (42)")
        postgres_server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url.replace("+psycopg", ""))
        postgres_server.start()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (42,)


def test_postgres_can_be_stopped_and_started(postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    postgres_server.start()
    assert postgres_server.sql("SHOW wal_level") == ["logical"]
    assert postgres_server.sql("SHOW max_prepared_transactions") == ["20"]
    assert postgres_server.sql("SHOW fsync") == ["on"]


def produce(server: KafkaServer, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all"})
    producer.produce(topic, value, key=b"k")
    assert producer.flush(20) == 0


def consume(server: KafkaServer, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": f"g-{topic}-{count}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    try:
        while len(values) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                value = message.value()
                assert isinstance(value, bytes)
                values.append(value)
    finally:
        consumer.close()
    return values


def test_kafka_keeps_what_was_acknowledged_through_kill_9(kafka_server: KafkaServer, topic_name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap, "log_level": 0})
    for created in admin.create_topics([NewTopic(topic_name, 3, 1)]).values():
        created.result(20)
    produce(kafka_server, topic_name, b"before")
    assert consume(kafka_server, topic_name, 1) == [b"before"]
    kafka_server.kill()
    kafka_server.start()
    produce(kafka_server, topic_name, b"after")
    assert consume(kafka_server, topic_name, 2) == [b"before", b"after"]


def test_kafka_makes_no_topic_by_itself(kafka_server: KafkaServer, topic_name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap, "log_level": 0})
    admin.list_topics(topic_name, timeout=10)
    assert topic_name not in admin.list_topics(timeout=10).topics


def test_mariadb_keeps_what_was_committed_through_kill_9(mariadb_server: MariaDBServer) -> None:
    with mariadb_server.database() as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (n int)"))
            connection.execute(sa.text("INSERT INTO t VALUES (42)"))
        engine.dispose()
        mariadb_server.kill()
        with pytest.raises(pymysql.OperationalError):
            pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="root")
        mariadb_server.start()
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT n FROM t")) == 42
        engine.dispose()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_a_server_does_not_outlive_killed_tests(postgres_server: PostgresServer) -> None:
    code = (
        "from tests.servers.postgres import PostgresServer; import time\n"
        "server = PostgresServer(); server.start(); print('runs in', server.directory); time.sleep(60)"
    )
    with python_child("-c", code) as child:
        directory = child.wait_for("runs in").split()[-1]
        child.kill()
    pid_file = Path(directory) / "data" / "postmaster.pid"
    wait_until(lambda: not pid_file.exists(), what="the orphaned server to end")
    shutil.rmtree(directory)
