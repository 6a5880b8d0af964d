"""How processes end, in the words of a record, and what they said before. No torch here."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import LoraBenchError, OutOfMemoryCell, TimeLimitCell, WorkerDied
from ..language import Statement
from ..plain_text import one_line

LAST = ("record", "checked", "estimated", "user_error", "error")
"""Events after which no other comes."""
_logger = logging.getLogger("LoRA_Benchmark")


def message_of(error: LoraBenchError) -> dict[str, str]:
    """What an error says, as the part of an event: English for records, Japanese beside it."""
    return {"message": error.text("en"), "message_ja": error.text("ja")}


def statement_of(event: Mapping[str, Any]) -> Statement:
    """The inverse; a library's own words have no Japanese."""
    return Statement(event["message"], event.get("message_ja", event["message"]))


def failure(kind: str, en: str, ja: str) -> dict[str, Any]:
    """The event that ends a request without a result."""
    return {"event": "error", "kind": kind, "message": en, "message_ja": ja}


def out_of_time(limit: float | None) -> dict[str, Any]:
    """The event of a process that was stopped at its limit, in seconds."""
    minutes = f"{(limit or 0) / 60:g}"
    return failure(
        TimeLimitCell.kind,
        f"did not end within {minutes} min; stopped",
        f"{minutes}分以内に終わらないため止めました",
    )


def death(code: int, killed_before: int | None, why: str = "") -> dict[str, Any]:
    """The event of a process that ended without an answer.

    ``code`` is its exit code, negative for a signal; ``killed_before`` is what ``oom_kills`` said
    when it began; ``why`` follows the code, such as its last line.
    """
    killed_after = oom_kills()
    counted = killed_before is not None and killed_after is not None
    if code == -signal.SIGKILL and counted and killed_after > killed_before:  # type: ignore[operator]
        return failure(
            OutOfMemoryCell.kind,
            "the system killed the process for memory",
            "メモリ不足のため、システムがプロセスを終了しました",
        )
    if code < 0:
        name = signal.Signals(-code).name
        hint, hint_ja = "", ""
        if -code == signal.SIGKILL:
            hint = "; the system does so when memory runs out"
            hint_ja = "。メモリが尽きるとシステムが行います"
        return failure(
            WorkerDied.kind,
            f"the process was killed by {name}{hint}",
            f"プロセスが {name} で終了しました{hint_ja}",
        )
    return failure(
        WorkerDied.kind,
        f"the process ended with code {code}{why}",
        f"プロセスがコード {code} で終了しました{why}",
    )


def keep_lines(stream: IO[str], kept: deque[str], who: str) -> None:
    """Read what a process prints until it ends, for the log and for ``death``."""
    try:
        for line in stream:
            text = one_line(line)  # a model's code or a data set may have printed it
            if text:
                kept.append(text)
                _logger.debug("%s: %s", who, text)
    except ValueError:  # closed meanwhile
        pass


def kill(pid: int) -> None:
    """End a process, if it is there and ours."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def kill_group(pid: int) -> None:
    """End a process group, if it is there and ours."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def oom_kills() -> int | None:
    """Processes the kernel has killed for memory since boot (Linux), else None."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return None
