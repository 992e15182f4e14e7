"""Settings: a flag beats `octolog.toml`, which beats the environment (docs/decisions/0003)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from arms.prices.own import OwnPrice, twice_given
from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.errors import SettingsError

_KAFKA_PREFIX: Final = "OCTOLOG_KAFKA_"
TOML_FILE: Final = "octolog.toml"
ROLES: Final = ("processor", "knowledge", "memory", "arms")


class Settings(BaseSettings):
    """What octolog runs on.

    Attributes:
        home: Folder of the embedded broker's data, projections, logs and process files.
        bootstrap_servers: An existing cluster, `host:port` comma separated; None: the embedded broker.
        broker_port: Port of the embedded broker; None: a free one, kept over restarts.
        schema_registry_url: A registry by URL; None: octolog's own `_schemas` topic.
        qdrant_url: A Qdrant server.
        redis_url: A Redis server.
        embedding_model: Embeds memories: `packaged`, `hashing`, `fastembed:MODEL` or `endpoint:MODEL`; None: the
            one they are embedded with, `packaged` for the first.
        blob_url: Where large values go: a folder, or `s3://bucket/prefix`; None: a folder in this home.
        blob_max_bytes: Longest value kept there, bytes.
        llm_base_url: An OpenAI-compatible endpoint.
        llm_model: Model asked there.
        llm_api_key: Its key.
        models: Further model ids that templates may name, comma separated.
        prices: What models cost here, `[[prices]]` in the file: `model`, `input_dollars` and `output_dollars` per
            million tokens, and `since` which day (UTC).
        partitions: Partitions of the co-partitioned topics, at their creation.
        replication_factor: Copies of every record in topics made here; None: the cluster's default.
        node: Name of this node among those of its cluster, stable over restarts; empty: made once and kept in `home`.
        roles: What this node runs: processor, knowledge, memory, arms, comma separated.
        processors: Processes of the task processor.
        metrics_port: Port for Prometheus to scrape, at `/metrics`; None: no metrics are served.
        metrics_host: Address it listens on.
        window: Attempts one arm may hold from one partition.
        lease_ms: How long an arm may stay silent, milliseconds.
        arms: Which built-in arms the node hosts, by name, comma separated; empty: none.
        executor_commands: Commands the executor may run, comma separated; those there are rules for.
        executor_hosts: `host` or `host:port` the executor may ask over HTTP, comma separated; empty: none.
        executor_workspaces: Folders in which a task may name the executor's workspace, comma separated; empty: none.
        pii: What becomes of personal data and secrets on their way into the log: redact, reject or off.
        tokens: Which attempts need a capability token at this node's arms: those whose policy asks for it
            (`policy`), or every one (`required`).
        token_keys: Ids of the keys whose tokens count, comma separated; empty: all that were announced in the log.
        injection: What becomes of a goal that tells its reader to drop its instructions: block or off.
        kafka: librdkafka properties, from `OCTOLOG_KAFKA_SECURITY_PROTOCOL` and the like.
    """

    model_config = SettingsConfigDict(env_prefix="OCTOLOG_", extra="forbid", frozen=True, toml_file=TOML_FILE)

    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("octolog")))
    bootstrap_servers: str | None = None
    broker_port: int | None = Field(default=None, ge=1, le=65_535)
    schema_registry_url: str | None = None
    qdrant_url: str | None = None
    redis_url: str | None = None
    embedding_model: str | None = None
    blob_url: str | None = None
    blob_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    llm_base_url: str | None = None
    llm_model: str | None = None
    llm_api_key: SecretStr | None = None
    models: str = ""
    prices: tuple[OwnPrice, ...] = ()
    partitions: int = Field(default=4, ge=1, le=1_000)
    replication_factor: int | None = Field(default=None, ge=1, le=100)
    node: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,60}$")
    roles: str = ",".join(ROLES)
    processors: int = Field(default=1, ge=1, le=64)
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    metrics_host: str = "127.0.0.1"
    window: int = Field(default=WINDOW, ge=1)
    lease_ms: int = Field(default=LEASE_MS, ge=500)
    arms: str = "review,guardian"
    executor_commands: str = "cat,echo,find,grep,head,ls,tail,wc"
    executor_hosts: str = ""
    executor_workspaces: str = ""
    pii: Literal["redact", "reject", "off"] = "redact"
    tokens: Literal["policy", "required"] = "policy"
    token_keys: str = ""
    injection: Literal["block", "off"] = "block"
    kafka: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the base class fixes the signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the file, then the environment."""
        return init_settings, TomlConfigSettingsSource(settings_cls), env_settings

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, roles: str) -> str:
        unknown = [role for role in _listed(roles) if role not in ROLES]
        if unknown or not _listed(roles):
            raise ValueError(f"no role {', '.join(unknown) or 'is named'}; there are {', '.join(ROLES)}")
        return roles

    @field_validator("prices")
    @classmethod
    def _once_a_day(cls, prices: tuple[OwnPrice, ...]) -> tuple[OwnPrice, ...]:
        twice = twice_given(prices)
        if twice is not None:
            raise ValueError(f"two prices of {twice.model} begin on {twice.since}")
        return prices

    def runs(self, role: str) -> bool:
        """True when this node has that role."""
        return role in _listed(self.roles)

    @property
    def run_dir(self) -> Path:
        """Process files: who runs, and how they are."""
        return self.home / "run"

    @property
    def log_dir(self) -> Path:
        """Logs of the node's processes."""
        return self.home / "logs"

    @property
    def knowledge_dir(self) -> Path:
        """The projections' files."""
        return self.home / "projections"

    def frozen_json(self) -> str:
        """The settings as JSON, for a child process: secrets stay in the environment."""
        return self.model_dump_json(exclude={"llm_api_key"})


def _listed(names: str) -> list[str]:
    return [name for name in map(str.strip, names.split(",")) if name]


def load_settings(**flags: Any) -> Settings:
    """Settings from all sources; a flag that is None was not given.

    Raises:
        SettingsError: Naming the setting and its source.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    kafka = {**_kafka_from_environment(), **given.pop("kafka", {})}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(f"setting {name}: {first['msg']}; see `octolog doctor`") from None
    except ValueError as error:  # a broken octolog.toml
        raise SettingsError(f"{TOML_FILE}: {error}") from None
    home = settings.home.expanduser().absolute()
    return settings.model_copy(update={"home": home, "kafka": {**kafka, **settings.kafka}})


def source_of(field: str, flags: dict[str, Any]) -> str:
    """Where a setting's value comes from: flag, octolog.toml, environment or default."""
    if flags.get(field) is not None:
        return "flag"
    if Path(TOML_FILE).is_file() and field in _toml_keys():
        return TOML_FILE
    return "environment" if f"OCTOLOG_{field.upper()}" in os.environ else "default"


def _toml_keys() -> set[str]:
    return set(TomlConfigSettingsSource(Settings)().keys())


def _kafka_from_environment() -> dict[str, str]:
    """`OCTOLOG_KAFKA_SASL_MECHANISM` is librdkafka's `sasl.mechanism`."""
    return {
        name.removeprefix(_KAFKA_PREFIX).lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith(_KAFKA_PREFIX)
    }
