"""A real Apache Kafka: one KRaft node, broker and controller in one process, fetched once by Maven."""

import base64
import fcntl
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

from tests.servers.process import (
    ServerFailed,
    ServerProcess,
    ServerUnavailable,
    accepts_connections,
    free_port,
    private_directory,
)

HERE = Path(__file__).parent
POM = HERE / "kafka" / "pom.xml"
CACHE = HERE.parents[1] / ".cache" / "kafka"

JAVA_OPTIONS = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
    # A broker that was killed may register again only when its old session has ended.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}


def java_17() -> str:
    """The java command, 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise ServerUnavailable(
            "java was not found (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
        )
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < 17:
        raise ServerUnavailable(
            f"Kafka needs Java 17 or newer; {java} says: {answer.strip().splitlines()[:1]}"
        )
    return java


def kafka_version() -> str:
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text())
    assert found is not None, f"{POM} does not name kafka.version"
    return found[1]


def fetch_kafka() -> Path:
    """The directory of Kafka's jars; downloaded, by one process at a time, when it is not there yet."""
    target = CACHE / kafka_version()
    if target.is_dir():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return target if target.is_dir() else _downloaded(target)


def _downloaded(target: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(
            "Maven was not found; it fetches Kafka (Debian, Ubuntu: apt-get install maven)"
        )
    unfinished = CACHE / f".{target.name}-{os.getpid()}"
    command = [maven, "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies"]
    try:
        fetched = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        if fetched.returncode != 0:
            raise ServerUnavailable(f"Maven could not fetch Kafka:\n{fetched.stdout}{fetched.stderr}")
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise somebody else was quicker
            raise
    except subprocess.TimeoutExpired as error:
        raise ServerUnavailable(f"Maven did not fetch Kafka within {error.timeout} s") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


class KafkaServer:
    """Single node on loopback; data directory and port outlive a stop and a kill."""

    def __init__(self, **settings: str) -> None:
        self._java = java_17()
        self._jars = fetch_kafka()
        self.directory = private_directory("kafka", None)
        self.port = free_port()
        self._properties = self.directory / "server.properties"
        self._write_properties(settings)
        self._format_storage()
        self.process = ServerProcess(
            self._command("kafka.Kafka", str(self._properties)),
            directory=self.directory,
            ready=self._answers,
        )

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """kill -9; `start` comes back with the same data on the same port (after the old session, 3 s)."""
        self.process.kill()

    def _write_properties(self, settings: dict[str, str]) -> None:
        controller = free_port()
        properties = {
            **SETTINGS,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.directory / "data"),
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    def _format_storage(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if cluster.startswith("-"):  # would be read as an option
            cluster = f"A{cluster[1:]}"
        arguments = ["format", "--cluster-id", cluster, "--config", str(self._properties)]
        done = subprocess.run(
            self._command("kafka.tools.StorageTool", *arguments),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _command(self, main_class: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={POM.parent / 'log4j2.properties'}"
        return [self._java, *JAVA_OPTIONS, logging, "-cp", f"{self._jars}/*", main_class, *arguments]

    def _answers(self) -> bool:
        if not accepts_connections(self.port):
            return False
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False
