"""Values that most records carry unchanged, so that they are recognised instead of written and read anew.

On the way out by identity, on the way in by their bytes: no value of a schema is the beginning of another, so
where these bytes stand, this value stands.
"""

from __future__ import annotations

from typing import Any, Final

from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, NOTHING, Amounts, Limits, RetryPolicy

USUAL: Final[dict[type[Any], Any]] = {Limits: NO_LIMITS, Amounts: NOTHING, RetryPolicy: DEFAULT_RETRY}
