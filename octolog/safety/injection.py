"""Text that tries to become an instruction: fourteen patterns, and what shows that a text only talks of one.

A pattern alone is grave when it commands its reader. The same words inside quotation marks, in a sentence about
attacks, in a test's description or behind a "never" are about it: their severity falls, and they pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from octolog.safety.kinds import Severity
from octolog.safety.words import INVISIBLE, normal

__all__ = ["PATTERNS", "Injection", "blocked_by", "find_injections"]


class Injection(NamedTuple):
    """A place that reads like an instruction to the model.

    Attributes:
        pattern: Which of the fourteen.
        severity: How sure it is one, and how far it would go.
        start: First character.
        end: One after the last.
        lowered_by: Why it is less than its pattern's: quoted, negated, academic, testing, embedded.
    """

    pattern: str
    severity: Severity
    start: int
    end: int
    lowered_by: tuple[str, ...] = ()


class _Pattern(NamedTuple):
    """A way to take over.

    Attributes:
        name: What it is called.
        severity: When nothing lowers it.
        leads: Words to look for first, in lower case.
        form: What must stand there, from the lead on.
    """

    name: str
    severity: Severity
    leads: tuple[str, ...]
    form: re.Pattern[str]


def _pattern(name: str, severity: Severity, leads: str, form: str) -> _Pattern:
    return _Pattern(name, severity, tuple(leads.split("|")), re.compile(form))


_S: Final = r"(?:[\s,]{1,4})"
_FEW: Final = rf"(?:[\w'’]{{1,14}}{_S}){{0,4}}?"
_RULES: Final = (
    r"(?:instruction|direction|rule|guideline|command|prompt|constraint|directive|programming|training)s?\b"
)
_BEFORE: Final = r"(?:previous|prior|above|earlier|preceding|original|initial|existing|system|former|past|foregoing|your|other)"
_GUARDS: Final = r"(?:safety|security|content|moderation|ethical|safeguard|guardrail|filter|restriction|limitation|protection|censorship)"

PATTERNS: Final = (
    _pattern("ignore_instructions", Severity.CRITICAL, "ignore|disregard|forget|neglect|bypass|skip|drop|discard|do not follow|don't follow|stop following",
             rf"[a-z' ]{{4,15}}?{_S}{_FEW}(?:all{_S})?(?:of{_S})?(?:(?:the|your|my|any|these|those){_S})?{_BEFORE}{_S}{_FEW}{_RULES}|(?:ignore|disregard|forget){_S}(?:everything|anything|all|what){_S}{_FEW}(?:(?:told|said|instructed|taught)\b|(?:above|before|previously|earlier|so far)\s*(?:[.!;,\n]|and\b|then\b|$))"),
    _pattern("new_instructions", Severity.CRITICAL, "override|new instruction|updated instruction|real instruction|your new|instead of your|replace your",
             rf"override{_S}(?:(?:all|any|the|of|these){_S}){{0,2}}(?:previous|prior|your|earlier|original|initial){_S}{_FEW}{_RULES}|(?:new|updated|real){_S}instructions?{_S}?(?::|are:|follow)|your{_S}new{_S}(?:instructions?|system prompt|task is to ignore)\b|(?:instead{_S}of|replace){_S}your{_S}(?:(?:original|previous|system|prior){_S}){{1,2}}{_RULES}"),
    _pattern("role_change", Severity.HIGH, "you are now|you're now|from now on|act as|pretend to be|pretend you|pretend that you|roleplay as|behave as|simulate being",
             rf"you(?:{_S}a|')re{_S}now{_S}(?:an?|the|in|no longer|free|my|acting|dan|called|named)\b|from{_S}now{_S}on{_S}you{_S}(?:will|are|must|should|only|shall|can){_S}{_FEW}(?:only|not|no longer|obey|answer|respond|ignore|act|be\b|an?\b)|(?:act|behave|roleplay){_S}as{_S}(?:if{_S}you|an?{_S}{_FEW}(?:unrestricted|unfiltered|uncensored|evil|jailbroken|hacker|root|admin))|pretend{_S}(?:to{_S}be|that{_S}you|you){_S}|simulate{_S}being{_S}"),
    _pattern("jailbreak", Severity.CRITICAL, "do anything now|jailbreak|dan mode|dan prompt|developer mode|god mode|stan mode|dude mode|unrestricted mode|you are dan|you're dan",
             r"do anything now|jailbreak(?:ed mode| yourself)|(?:dan|stan|dude) (?:mode|prompt)\b|(?:god|developer|unrestricted|jailbreak) mode (?:enabled|activated|unlocked)|you(?: a|')re dan\b"),
    _pattern("prompt_extraction", Severity.CRITICAL, "reveal|print|show|repeat|output|display|tell me|what is your|what are your|leak|dump|copy|summarize your",
             rf"(?:reveal|print|show|repeat|output|display|tell|leak|dump|copy|summarize){_S}{_FEW}(?:your|the){_S}(?:(?:full|entire|exact|complete|original|initial|hidden|secret|own|internal){_S}){{0,3}}(?:system{_S}(?:prompt|message|instructions?)|(?:initial|hidden|secret|original|internal){_S}(?:prompt|instructions?|rules)|instructions{_S}(?:verbatim|word for word|above|you were given)|prompt{_S}(?:above|verbatim))|what{_S}(?:is|are){_S}your{_S}(?:system{_S}(?:prompt|message)|(?:initial|hidden|secret|original){_S}(?:prompt|instructions?))|(?:repeat|print|output){_S}(?:everything|all|the words|the text){_S}{_FEW}(?:above|before)"),
    _pattern("fake_delimiter", Severity.CRITICAL, "<|im|<|system|<|endof|<|start|[inst]|<<sys>>|[system]|### system|</system>|<system>|[/inst]|begin system|end of|begin of|system:",
             r"<\|(?:im start|im end|system|endoftext|endofprompt|start header id)[^\n]{0,20}|\[/?inst\]|<<sys>>|### system:|(?:\[system\]|</?system>|system:)\s{0,3}(?:you are|you must|ignore|override|new instructions)|(?:begin|end) of (?:the )?system prompt\b"),
    _pattern("encoded_payload", Severity.HIGH, "decode|base64|rot13|from hex|deobfuscate|unscramble",
             rf"(?:decode|deobfuscate|unscramble|base64|rot13|from hex)[^\n.]{{0,80}}?\b(?:and|then){_S}{_FEW}(?:execute|follow|run|obey|do what|carry out|perform)"),
    _pattern("context_reset", Severity.HIGH, "forget|start over|reset|end of conversation|new conversation|clear your|erase|wipe",
             rf"(?:forget|erase|wipe|clear|reset){_S}(?:(?:all|the|entire|whole){_S}){{0,3}}(?:your|everything|our){_S}(?:(?:whole|entire|previous|prior|own|in){_S}){{0,2}}(?:memory|memories|context|history|conversation|training|state|programming)\b|start{_S}over{_S}with{_S}(?:no|new){_S}{_FEW}{_RULES}|end{_S}of{_S}conversation|(?:begin|start){_S}a?{_S}?new{_S}conversation{_S}(?:with|where|in which)|new{_S}conversation{_S}(?:where|in which|with no)"),
    _pattern("safety_bypass", Severity.HIGH, "disable|bypass|turn off|circumvent|evade|remove|deactivate|ignore|override|switch off|lift",
             rf"(?:disable|bypass|circumvent|evade|remove|deactivate|ignore|override|lift|(?:turn|switch){_S}off){_S}(?:(?:all|the|any|of|every){_S}){{0,3}}(?:your{_S}(?:own{_S})?(?:(?:built-in|internal|ethical|content|safety|security|moderation){_S}){{0,2}}{_GUARDS}s?|(?:safety|ethical|moderation|content){_S}(?:filter|guardrail|safeguard|restriction|guideline|protection|rule|polic(?:y|ie))s?)\b"),
    _pattern("claimed_authority", Severity.HIGH, "i am your|i'm your|i am the|i'm the|as your|sudo|admin override|administrator override|this is your|authorized by|openai|anthropic",
             rf"(?:i{_S}am|i'm|this{_S}is){_S}(?:your|the){_S}(?:new{_S})?(?:developer|creator|administrator|admin|owner|operator|programmer|system|supervisor){_S}{_FEW}(?:and|so|speaking|you|i|order|command|now|grant|authori[sz]e)|as{_S}your{_S}(?:developer|creator|administrator|admin|owner|operator|programmer)\b|sudo{_S}(?:mode|ignore|reveal|override|do)|admin(?:istrator)?{_S}override|authori[sz]ed{_S}by{_S}(?:openai|anthropic|the developers?)|(?:openai|anthropic){_S}(?:has{_S})?(?:authori[sz]ed|instructs|orders|requires){_S}you"),
    _pattern("data_exfiltration", Severity.HIGH, "send|post|upload|forward|exfiltrate|transmit|email|leak|append|submit",
             rf"(?:send|post|upload|forward|exfiltrate|transmit|e?mail|leak|append|submit){_S}(?:(?:all|the|this|your|my|any|every|entire|whole|full|these|our|user|users'|user's|me){_S}){{0,4}}(?:(?:chat|system|private|secret|stored|internal|conversation|environment|api){_S}){{0,2}}(?:conversation|history|secrets?|credentials?|passwords?|api keys?|keys|tokens?|environment variables?|env vars?|prompt|instructions|private data|personal data){_S}{_FEW}to{_S}(?:https?:|http|[\w.-]{{1,60}}@|an? {_FEW}(?:url|server|endpoint|webhook|address)|this (?:url|server|endpoint|webhook|address)|me\b|my )"),
    _pattern("tool_abuse", Severity.HIGH, "execute|run|call|invoke|use the|delete|rm -rf",
             rf"(?:execute|run|call|invoke|use){_S}[^\n.]{{0,80}}?without{_S}(?:asking|approval|confirmation|permission|telling|notifying|any{_S}(?:approval|confirmation|checks?))|(?:execute|run){_S}(?:the{_S})?(?:following{_S})?(?:shell{_S})?(?:commands?{_S}?:?{_S}?)?`?(?:sudo{_S})?rm{_S}-rf{_S}[/~]|delete{_S}(?:all|every|everything){_S}{_FEW}without{_S}(?:asking|confirmation|approval|permission)"),
    _pattern("hidden_text", Severity.HIGH, "<!--|display:none|display: none|font-size:0|font-size: 0|color:white",
             r"<!--[^>]{0,200}?(?:ignore (?:all|any|previous|the)|system prompt|you must|ai model|do not tell)|(?:display: ?none|font-size: ?0|color: ?white)[^<\n]{0,60}>[^<\n]{0,200}?(?:ignore (?:all|any|previous|the)|system prompt|you must)"),
    _pattern("fictional_frame", Severity.HIGH, "hypothetically|hypothetical|imagine|in a fictional|in a world|let's play|for a novel|write a story",
             rf"(?:hypothetical(?:ly)?|imagine|in a (?:fictional )?(?:world|story|universe)|let's play|for a novel|write a story)[^\n.]{{0,100}}?(?:no{_S}(?:rules|restrictions|limits|laws|filters|ethics|guidelines)|without{_S}(?:any{_S})?(?:rules|restrictions|limits|filters|ethics|guidelines)|(?:rules|restrictions|filters){_S}do(?:es)?{_S}?(?:n't|{_S}not){_S}(?:apply|exist))"),
)  # fmt: skip
"""The fourteen, by what they try."""

_MAX_FOUND: Final = 1_000
_QUOTES: Final = {'"': '"', "“": "”", "«": "»", "`": "`", "‘": "’", "„": "“", "'": "'"}
_QUOTE_REACH: Final = 300
_MIN_AROUND_CHARS: Final = 20
"""A quotation has something around it: a text that is nothing but one in quotation marks is still a command."""

_ACADEMIC: Final = re.compile(
    r"prompt[ -]injection|injection (?:attack|attempt|example|pattern)|jailbreak(?:s|ing)? (?:attack|attempt|technique|research|prompts)|attack(?:er|ers|s)?\b|adversar|"
    r"\bessays?\b|\bpapers?\b|research|\bstud(?:y|ies)\b|literature|phras(?:e|es|ings?) (?:like|such as)|such as|for example|e\.g\.|known as|example of|classic|vulnerabilit|"
    r"explain(?:s|ing)? (?:why|how)|blog post|owasp|threat model|lecture|course on"
)
_TESTING: Final = re.compile(
    r"\btests?\b|test case|unit test|\bassert|expect(?:s|ed)?\b|detect(?:s|or|ion)?\b|red[ -]team|benchmark|fixture|regression|classif(?:y|ier)|verif(?:y|ies) that|check that|refuses? (?:to|when|inputs?)|corpus|sample input"
)
_NEGATED: Final = re.compile(
    r"(?:\bnever|\bdo not|\bdon't|\bdoes not|\bdoesn't|\bmust not|\bmustn't|\bshould not|\bshouldn't|\bcannot|\bcan't|\bwill not|\bwon't|\brefuses? to|\brather than|\bwithout|\bavoid|\bnot to|\bdid not|\bnobody may|\bno one may|\bprevents? (?:anyone|users|it|them) from)[\s\w]{0,24}$"
)
_COMMANDS: Final = re.compile(
    r"(?:^|[.!?:;\n\]>)}*#-]|,? ?\b(?:please|now|and|then|first|next|just|must|should|will|also|so|to you|assistant|ai|model|immediately|simply|kindly)\b,?)[\s\"'“”‘’`*_]{0,4}$"
)
_AROUND_CHARS: Final = 160
_NEGATION_REACH: Final = 40
_BLOCKS_FROM: Final = Severity.CRITICAL


def find_injections(text: str) -> tuple[Injection, ...]:
    """Every place that reads like an instruction to the model, in order; at most a thousand."""
    places = None if text.isascii() or INVISIBLE.search(text) is None else _seen(text)
    seen = text if places is None else "".join([text[place] for place in places])
    lower = normal(seen).replace("’", "'")
    found: list[Injection] = []
    for pattern in PATTERNS:
        for start, end in _matches(pattern, lower):
            found.append(_judged(pattern, seen, lower, start, end))
            if len(found) >= _MAX_FOUND:
                break
    if places is not None:
        found = [each._replace(start=places[each.start], end=places[each.end - 1] + 1) for each in found]
    return tuple(sorted(found, key=lambda each: (each.start, each.end)))


def blocked_by(text: str) -> Injection | None:
    """The gravest place of a text that must not be obeyed; None: it may pass."""
    gravest = max(find_injections(text), key=lambda each: each.severity, default=None)
    return gravest if gravest is not None and gravest.severity >= _BLOCKS_FROM else None


def _seen(text: str) -> list[int]:
    hidden = {match.start() for match in INVISIBLE.finditer(text)}
    return [place for place in range(len(text)) if place not in hidden]


def _matches(pattern: _Pattern, lower: str) -> Iterator[tuple[int, int]]:
    after = 0
    for lead in pattern.leads:
        at = lower.find(lead)
        while at >= 0:
            starts = at == 0 or not (lower[at - 1].isalnum() and lead[0].isalnum())
            match = pattern.form.match(lower, at) if starts else None
            if match is not None and (at >= after or match.end() > after):
                after = match.end()
                yield match.span()
            at = lower.find(lead, at + len(lead) if match is None else match.end())


def _judged(pattern: _Pattern, text: str, lower: str, start: int, end: int) -> Injection:
    """The severity after what the words around it say; quoting and negation weigh two steps, others one."""
    line_start = max(lower.rfind("\n", 0, start) + 1, start - _AROUND_CHARS)
    around = lower[line_start:start] + " " + lower[end : end + _AROUND_CHARS]
    reasons = {
        "quoted": 2 if _is_quoted(text, start, end) else 0,
        "negated": 2 if _NEGATED.search(lower[max(0, start - _NEGATION_REACH) : start]) else 0,
        "academic": 1 if _ACADEMIC.search(around) else 0,
        "testing": 1 if _TESTING.search(around) else 0,
        "embedded": 0 if _COMMANDS.search(lower[max(0, start - _NEGATION_REACH) : start]) else 1,
    }
    lowered = tuple(name for name, steps in reasons.items() if steps)
    severity = Severity(max(Severity.LOW, pattern.severity - sum(reasons.values())))
    return Injection(pattern.name, severity, start, end, lowered)


def _is_quoted(text: str, start: int, end: int) -> bool:
    """Inside quotation marks or a quoted line, with something of the text's own around it."""
    line_start = text.rfind("\n", 0, start) + 1
    if text[line_start:start].lstrip().startswith(">") and len(text) - (end - start) > _MIN_AROUND_CHARS * 2:
        return True
    before, after = text[max(0, start - _QUOTE_REACH) : start], text[end : end + _QUOTE_REACH]
    for opening, closing in _QUOTES.items():
        opened = before.rfind(opening)
        if opened < 0 or (opening == closing and before.count(opening) % 2 == 0):
            continue
        closed = after.find(closing)
        outside = len(text) - (len(before) - opened + (end - start) + closed)
        if closed >= 0 and closing not in before[opened + 1 :] and outside > _MIN_AROUND_CHARS:
            return True
    return False
