"""Verdicts from an output folder, without torch and without its configuration at hand (row 7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .analysis import Analysis, analyze
from .config.claims import Claim, load_claims
from .errors import StoreError
from .records.results import CellRecord
from .records.store import Store
from .report.terminal.progress import warn
from .search import folder_records, unfinished_cells


def analyze_folder(path: str | Path, claims: str | None = None, language: str = "en") -> Analysis:
    """Verdicts from the records of an output folder, without torch.

    Where the folder holds a config.yaml, records of other settings are left out. A broken
    estimates.json is told on standard error and left out, and so is what of config.yaml a run would
    refuse today (in ``language``). Raises StoreError.
    """
    found = read_folder(path, claims, language)
    estimates = read_estimates(Store(path), warn, language)
    return analyze(found.records, found.claims, estimates, found.base_model, found.unfinished)


class FolderContents(NamedTuple):
    """What an output folder holds to be judged."""

    records: list[CellRecord]
    claims: list[Claim]
    base_model: str | None  # the other model of a cross-model comparison
    unfinished: int | None = None  # planned cells without a record, where the plan is known


def read_folder(
    path: str | Path, claims: str | None = None, language: str = "en"
) -> FolderContents:
    """Records and claims of a folder: the claims given, else those noted there, else paper-r5.

    Raises StoreError where there are no records, ConfigError on a file of claims that is none.
    """
    records, config = folder_records(
        path, lambda english, japanese: warn(japanese if language == "ja" else english)
    )
    if config is not None:
        noted = Store(path).path / "claims.yaml"
        claims = claims or (str(noted) if noted.is_file() else config.claims)
    base_model = None if config is None else config.base_model_name
    left = None if config is None else unfinished_cells(config, records)
    return FolderContents(records, load_claims(claims or "paper-r5"), base_model, left)


def read_estimates(
    store: Store, tell: Callable[[str], None], language: str = "en"
) -> list[dict[str, Any]]:
    """Entries of estimates.json; a file that cannot be used is said, and is as good as none."""
    try:
        return store.read_estimates()
    except StoreError as error:
        left_out = "推定値は除きました" if language == "ja" else "estimates left out"
        tell(f"{left_out}: {error.text(language)}")
        return []
