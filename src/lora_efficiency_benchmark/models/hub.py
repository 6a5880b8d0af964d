"""Whether the model Hub can be reached (row 4): asked once, before anything waits for it.

The Hub's library tries a request six times, with growing pauses: without a network every look-up is
23 seconds of silence, also where the files lie in the cache already.
"""

from __future__ import annotations

import functools
import sys

_SECONDS = 4.0  # for a connection and a first answer; downloads keep the library's own limits
_TRIES = 2


def prepare_hub() -> None:
    """Where the Hub does not answer, use its cache alone, in this process.

    Any answer counts, an error of the server too: then the library's own patience is right.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and is_unreachable():
        constants.HF_HUB_OFFLINE = True
        data_sets = sys.modules.get("datasets.config")  # it reads the setting once, when imported
        if data_sets is not None:
            data_sets.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


@functools.cache
def is_unreachable() -> bool:
    """True where nobody answers at the Hub's address, a proxy included; False where not asked for.

    The request goes through the library's own session, which knows proxies and certificates.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    for _ in range(_TRIES):
        try:
            get_session().head(constants.ENDPOINT, timeout=_SECONDS)
        except Exception:  # whatever the library's HTTP client raises: no connection, no answer
            continue
        return False
    return True
