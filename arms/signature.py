"""From a function's type hints to what an arm needs: schemas, and a call that takes the context apart.

| parameter | gets |
|---|---|
| annotated with `Work` | the attempt itself |
| named `goal`, a `str` | the goal |
| annotated with a subclass of pydantic's `BaseSettings` | settings from the environment, read once |
| the only other one, a pydantic model or a dataclass | the context, as that model |
| any other | the field of the context that has its name |
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, get_type_hints, is_typeddict

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic_settings import BaseSettings

from arms.work import Work
from octolog.domain.errors import InvalidContract, OctologError, SettingsError

__all__ = ["InvalidInput", "Signature"]

_CODE: Final = "INVALID_CAPABILITY"
_SHOWN: Final = 5
_UNTOLD: Final = (inspect.Signature.empty, Any, None, type(None), object)


class InvalidInput(OctologError):
    """The context is not what the function takes."""


class Signature:
    """What a function's hints say.

    Args:
        function: Sync or async.
        answer: The class whose values are answers already; a function that returns it declares no output.

    Raises:
        InvalidContract: INVALID_CAPABILITY: a parameter has no type that JSON can give.
    """

    def __init__(self, function: Callable[..., Any], answer: type[Any]) -> None:
        self._function = function
        self._parameters = list(inspect.signature(function).parameters.values())
        try:
            self._hints = get_type_hints(function, include_extras=True)
        except (NameError, TypeError):  # a name that only a type checker sees
            self._hints = {}
        self._answer = answer
        self._work: str | None = None
        self._goal: str | None = None
        self._settings: dict[str, type[BaseSettings]] = {}
        self._fields: list[inspect.Parameter] = []
        self._sort()

    @property
    def is_plain(self) -> bool:
        """The function takes the work and nothing else, and is called as it is."""
        only = self._parameters[0] if len(self._parameters) == 1 else None
        return only is not None and (
            only.name == self._work or only.annotation is inspect.Parameter.empty or not self._hints
        )

    def input_schema(self) -> Mapping[str, Any]:
        """JSON Schema of the context; empty when any will do."""
        if self.is_plain or not self._fields:
            return {}
        return _schema_of(self._input, "validation", "input")

    def output_schema(self) -> Mapping[str, Any]:
        """JSON Schema of what the function returns; empty when it does not say."""
        return {} if self._output is None else _schema_of(self._output, "serialization", "output")

    def arguments(self, work: Work) -> dict[str, Any]:
        """What the function is called with.

        Raises:
            InvalidInput: The context lacks a field, or one has another type; each is named.
        """
        given: dict[str, Any] = dict(self._filled)
        if self._work is not None:
            given[self._work] = work
        if self._goal is not None:
            given[self._goal] = work.goal
        if not self._fields:
            return given
        try:
            read = self._input.validate_python(work.context)
        except ValidationError as error:
            raise InvalidInput(_told(error, "context")) from None
        if self._is_whole:
            given[self._fields[0].name] = read
        else:
            given |= {field.name: getattr(read, field.name) for field in self._fields}
        return given

    def plain(self, value: Any) -> Any:
        """What the function returned, as JSON values of the declared type.

        Raises:
            InvalidInput: It is of another type.
        """
        if self._output is None or isinstance(value, self._answer):
            return value
        try:
            checked = self._output.validate_python(value)
        except ValidationError as error:
            raise InvalidInput(_told(error, "output")) from None
        return self._output.dump_python(checked, mode="json")

    def settle(self) -> None:
        """Read the settings now, so that what is missing is said before the first task.

        Raises:
            SettingsError: A setting is missing or wrong; names its environment variable.
        """
        _ = self._filled

    def _sort(self) -> None:
        for parameter in self._parameters:
            kind = self._hints.get(parameter.name)
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise InvalidContract(_CODE, parameter.name, "an arm's parameters need names; no *, ** or /")
            if kind is Work:
                self._work = parameter.name
            elif parameter.name == "goal" and kind is str:
                self._goal = parameter.name
            elif isinstance(kind, type) and issubclass(kind, BaseSettings):
                self._settings[parameter.name] = kind
            else:
                self._fields.append(parameter)
        if not self.is_plain:
            for field in self._fields:
                if field.name not in self._hints:
                    raise InvalidContract(_CODE, field.name, "needs a type hint; JSON is read by it")

    @property
    def _is_whole(self) -> bool:
        """The one parameter that stands for the whole context."""
        kind = self._hints.get(self._fields[0].name) if len(self._fields) == 1 else None
        return isinstance(kind, type) and (
            issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind) or is_typeddict(kind)
        )

    @cached_property
    def _input(self) -> TypeAdapter[Any]:
        if self._is_whole:
            return _adapter(self._hints[self._fields[0].name], self._fields[0].name)
        fields: dict[str, Any] = {
            field.name: (
                self._hints[field.name],
                ... if field.default is inspect.Parameter.empty else field.default,
            )
            for field in self._fields
        }
        name = getattr(self._function, "__name__", "input")
        try:
            return TypeAdapter(create_model(name, __config__=ConfigDict(extra="ignore"), **fields))
        except (PydanticUserError, NameError) as error:
            raise InvalidContract(_CODE, name, str(error).partition("\n")[0]) from None

    @cached_property
    def _output(self) -> TypeAdapter[Any] | None:
        kind = self._hints.get("return")
        if kind in _UNTOLD or kind is self._answer or self._answer in getattr(kind, "__args__", ()):
            return None
        if self.is_plain and not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None  # a host's cheapest arms are such: nothing is spent on them
        return _adapter(kind, "return")

    @cached_property
    def _filled(self) -> dict[str, BaseSettings]:
        found: dict[str, BaseSettings] = {}
        for name, kind in self._settings.items():
            try:
                found[name] = kind()
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                prefix = kind.model_config.get("env_prefix", "")
                variable = f"{prefix}{'_'.join(map(str, first['loc']))}".upper()
                raise SettingsError(f"setting {variable}: {first['msg'].lower()}") from None
        return found


def _adapter(kind: Any, name: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except PydanticUserError as error:
        raise InvalidContract(_CODE, name, str(error).partition("\n")[0]) from None


def _schema_of(adapter: TypeAdapter[Any], mode: Any, what: str) -> Mapping[str, Any]:
    try:
        return adapter.json_schema(mode=mode)
    except PydanticUserError as error:
        raise InvalidContract(_CODE, f"{what}_schema", str(error).partition("\n")[0]) from None


def _told(error: ValidationError, at: str) -> str:
    """Which fields, and why; never their values."""
    found = error.errors(include_url=False, include_input=False)
    told = [".".join((at, *map(str, one["loc"]))) + f": {one['msg'].lower()}" for one in found[:_SHOWN]]
    return "; ".join(told)
