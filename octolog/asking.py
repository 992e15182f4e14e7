"""Asking the projections, with patience for a query service that is just coming back.

While a node runs, the file is its projector's: opened directly in a moment without query service, it would keep
the projector from opening it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from octolog.app.node import query_url, status
from octolog.app.queries import Queries, open_queries
from octolog.app.settings import Settings
from octolog.domain.errors import StoreUnavailable

_PATIENCE_S: Final = 20.0
_PAUSE_S: Final = 0.1


@contextmanager
def questions(settings: Settings) -> Iterator[Queries]:
    """The running node's query service once it answers, or the file itself where no node runs.

    Raises:
        NotFound: When nothing was projected in this home yet.
        StoreUnavailable: When the service does not come back, or the file cannot be opened.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while query_url(settings) is None and status(settings).running:
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"no query service after {_PATIENCE_S:.0f} s; see `octolog status`")
        time.sleep(_PAUSE_S)
    with open_queries(settings) as queries:
        yield queries
