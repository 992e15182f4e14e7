"""Criteria that rules can check: presence, counts, lengths, fields and comparisons. Others need a model.

| criterion | is met when |
|---|---|
| contains "text", mentions "text" | the result's text has it, in any case |
| does not contain "text" | it has not |
| has field `a.b`, has fields `a`, `b` | the result, an object, has them, and they are not empty |
| `a.b` is VALUE; `a.b` >= 3, > <  <= = | the field compares so |
| at least 3 items in `a`, at most, exactly | the list has so many; without a field the result itself |
| at least 50 words, at most 500 characters, lines | the result's text has so many |
| cites at least 2 sources | the result's `citations` or `sources` are so many |
| is not empty, is JSON, is an object, is a list | it is |
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

__all__ = ["MISSING", "check", "field_of", "text_of"]

MISSING: Final = object()
_QUOTED: Final = r"[\"'“”`](?P<text>[^\"“”`]+?)[\"'“”`]"
_FIELD: Final = r"[`\"'](?P<field>[\w.\-]+)[`\"']"
_AMOUNT: Final = (
    r"(?P<how>at least|at most|exactly|no more than|no fewer than|more than|fewer than|less than)"
    r"\s+(?P<n>\d+)"
)
_MORE: Final = r"(?:(?:,|,?\s+and)\s*[`\"'][\w.\-]+[`\"'])*"
_HOW: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "at least": operator.ge,
    "no fewer than": operator.ge,
    "at most": operator.le,
    "no more than": operator.le,
    "exactly": operator.eq,
    "more than": operator.gt,
    "fewer than": operator.lt,
    "less than": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
    "is": operator.eq,
    "equals": operator.eq,
}
_LENGTHS: Final[Mapping[str, Callable[[str], int]]] = {
    "word": lambda text: len(text.split()),
    "character": len,
    "line": lambda text: len(text.splitlines()),
}


def check(criterion: str, result: Any) -> bool | None:
    """Whether a result meets a criterion; None: no rule can say."""
    for pattern, rule in _RULES:
        found = pattern.fullmatch(criterion.strip().rstrip("."))
        if found is not None:
            return rule(found, result)
    return None


def text_of(result: Any) -> str:
    """A result as text: itself, or its JSON."""
    return result if isinstance(result, str) else orjson.dumps(result, option=orjson.OPT_SORT_KEYS).decode()


def field_of(result: Any, path: str) -> Any:
    """What lies at a dotted path; MISSING where nothing does."""
    here = result
    for name in path.split("."):
        if isinstance(here, Mapping) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
            here = here[int(name)]
        else:
            return MISSING
    return here


def _contains(found: re.Match[str], result: Any) -> bool:
    return found["text"].casefold() in text_of(result).casefold()


def _fields(found: re.Match[str], result: Any) -> bool:
    names = re.findall(r"[`\"']([\w.\-]+)[`\"']", found.string)
    return all(field_of(result, name) not in (MISSING, None, "", [], {}) for name in names)


def _compare(found: re.Match[str], result: Any) -> bool:
    value = field_of(result, found["field"])
    if value is MISSING:
        return False
    wanted = _value(found["value"])
    if isinstance(value, bool) or isinstance(wanted, bool | str) or not isinstance(value, int | float):
        same = value == wanted
        return same if found["how"].lower() in ("=", "==", "is", "equals") else False
    return isinstance(wanted, int | float) and _HOW[found["how"].lower()](value, wanted)


def _items(found: re.Match[str], result: Any) -> bool:
    value = result if found["field"] is None else field_of(result, found["field"])
    return isinstance(value, list | dict) and _HOW[found["how"].lower()](len(value), int(found["n"]))


def _length(found: re.Match[str], result: Any) -> bool:
    return _HOW[found["how"].lower()](_LENGTHS[found["unit"].lower()](text_of(result)), int(found["n"]))


def _cites(found: re.Match[str], result: Any) -> bool:
    given: Any = next((v for n in ("citations", "sources") if (v := field_of(result, n)) is not MISSING), [])
    return isinstance(given, list) and _HOW[found["how"].lower()](len(given), int(found["n"]))


def _kind(found: re.Match[str], result: Any) -> bool:
    kind = found["kind"].lower()
    if kind == "not empty":
        return result not in (None, "", [], {})
    return isinstance(result, {"object": dict, "list": list, "text": str, "json": object}[kind.split()[-1]])


def _value(text: str) -> Any:
    bare = text.strip().strip("`\"'“”")
    try:
        return orjson.loads(bare)
    except ValueError:
        return bare


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:the\s+)?(?:result|output|answer|text|report)?\s*{pattern}", re.IGNORECASE)


_RULES: Final = (
    (_rule(rf"(?:does not|must not|doesn't)\s+(?:contain|mention)\s+{_QUOTED}"), lambda f, r: not _contains(f, r)),
    (_rule(rf"(?:must\s+)?(?:contains?|mentions?|includes?)\s+{_QUOTED}"), _contains),
    (_rule(rf"(?:must\s+)?(?:has|have)\s+(?:the\s+)?fields?\s+{_FIELD}{_MORE}"), _fields),
    (_rule(rf"{_FIELD}\s*(?P<how>>=|<=|==|=|>|<|is|equals|at least|at most)\s*(?P<value>.+)"), _compare),
    (_rule(rf"(?:has\s+|contains\s+)?{_AMOUNT}\s+(?:items?|entries|elements?)(?:\s+in\s+{_FIELD})?"), _items),
    (_rule(rf"(?:has\s+|is\s+)?{_AMOUNT}\s+(?P<unit>word|character|line)s?(?:\s+long)?"), _length),
    (_rule(rf"cites?\s+{_AMOUNT}\s+(?:sources?|citations?)"), _cites),
    (_rule(r"is\s+(?P<kind>not empty|(?:valid\s+)?json|an?\s+(?:object|list|text))"), _kind),
)  # fmt: skip
