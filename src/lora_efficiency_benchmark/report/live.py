"""The report of a run that goes on (row 6): written between cells, where nothing is timed.

On a cluster, where several cells run at a time, that is between the rounds of a search only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ..errors import first_line
from ..records.results import CellRecord

_EVERY_SECONDS = 60.0
_SHARE = 0.05  # of a run's time, at most: one report takes about a second on two cores
_logger = logging.getLogger("LoRA_Benchmark")


class LiveReport:
    """Calls ``write`` after the base cell, then after a cell at most once a minute.

    A report that cannot be written is a line in the log; the run goes on.
    """

    def __init__(
        self, write: Callable[[], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._next = clock() + _EVERY_SECONDS

    def cell_ended(self, record: CellRecord) -> None:
        """A cell has its record, and no other one has begun."""
        began = self._clock()
        if record.cell.kind != "base" and began < self._next:
            return
        try:
            self._write()
        except Exception as error:  # a full disk, or a defect of a page: measuring is worth more
            _logger.warning("the report of the running benchmark: %s", first_line(error))
        ended = self._clock()
        self._next = ended + max(_EVERY_SECONDS, (ended - began) / _SHARE)
