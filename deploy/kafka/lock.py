"""Write `jars.lock.toml` anew: `python -m deploy.kafka.lock`. Needed only to move to another Kafka.

Everything the broker class needs at run time is in the closure of `kafka_2.13`; `kafka-tools` adds Connect,
Jersey and Jetty, which a broker never loads (`kafka.tools.StorageTool` lives in `kafka_2.13` itself).
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from jgo.maven import MavenContext

from deploy.kafka.jars import LOCK_PATH, artifact_of

KAFKA_VERSION: Final = "4.3.1"
BROKER: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka 4.3 speaks SLF4J 1.7 and ships log4j-core 2.25.4: the binding has to be the one for SLF4J 1, of that version.
LOG_BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
# Never loaded by a broker: compile-time macros, and the formats of command-line tools and YAML log settings.
LEFT_OUT: Final = frozenset(
    {"scala-reflect", "jackson-dataformat-csv", "jackson-dataformat-yaml", "snakeyaml", "jspecify"}
)


def resolve(context: MavenContext) -> list[str]:
    """Return the sorted coordinates (`group:artifact:version`) of everything a broker loads."""
    _, nodes = context.resolver.get_dependency_list([context.create_dependency(BROKER)])
    closure = {f"{node.dep.groupId}:{node.dep.artifactId}:{node.dep.version}" for node in nodes}
    kept = {coordinate for coordinate in closure if coordinate.split(":")[1] not in LEFT_OUT}
    return sorted(kept | {BROKER, LOG_BINDING})


def entry(context: MavenContext, coordinate: str) -> str:
    """Return the lock entry of one artifact, fetching it."""
    content = Path(artifact_of(context, coordinate).resolve()).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f'\n[[jar]]\ncoordinate = "{coordinate}"\nsize_bytes = {len(content)}\nsha256 = "{digest}"\n'


def main() -> None:
    """Resolve, fetch, sum and write."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(8) as pool:
        context = MavenContext(repo_cache=Path(folder))
        entries = list(pool.map(lambda coordinate: entry(context, coordinate), resolve(context)))
    head = "# The jars of one Apache Kafka broker. Made by `python -m deploy.kafka.lock`.\n"
    version = f'kafka_version = "{KAFKA_VERSION}"\n'
    LOCK_PATH.write_text(head + version + "".join(entries), encoding="utf-8")
    sys.stderr.write(f"{len(entries)} jars locked in {LOCK_PATH.name}\n")


if __name__ == "__main__":
    main()
