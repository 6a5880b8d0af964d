"""Pages opened in headless Chromium: what a reader sees, what the page asks for, what axe finds.

Tests that use this are skipped, with the reason, where Playwright or a Chromium is missing; on
Debian ``apt-get install chromium``, elsewhere name the program in ``CHROMIUM``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WIDE, NARROW = (1280, 900), (390, 844)
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def chromium() -> str:
    """The browser's program; skips the test where there is none."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    return found


@dataclass
class Opened:
    """A page in the browser, and everything it complained about or asked for."""

    page: Any  # playwright.sync_api.Page
    errors: list[str] = field(default_factory=list)  # console errors and warnings, exceptions
    requests: list[str] = field(default_factory=list)  # addresses other than the file itself

    def axe(self) -> list[str]:
        """Violations of WCAG level A and AA, one line each: rule, how often, the first place."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": _RULES}})
        return [
            f"{rule['id']} x{len(rule['nodes'])}: {rule['nodes'][0]['html'][:160]}"
            for rule in found.response["violations"]
        ]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window; 0 if nothing scrolls sideways."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))


@contextmanager
def browser() -> Iterator[Any]:
    """One Chromium for many pages (start it once a module)."""
    program = chromium()
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(
    started: Any,
    path: Path,
    *,
    size: tuple[int, int] = WIDE,
    dark: bool = False,
    script: bool = True,
    locale: str = "en-US",
) -> Iterator[Opened]:
    """A file opened from disk, offline, in a context of its own."""
    context = started.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        locale=locale,
        offline=True,
    )
    page = context.new_page()
    found = Opened(page)
    address = path.resolve().as_uri()
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on(
        "console",
        lambda m: found.errors.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on(
        "request",
        lambda r: (
            found.requests.append(r.url)
            if r.url.split("#")[0] != address and not r.url.startswith(("data:", "blob:"))
            else None
        ),
    )
    try:
        page.goto(address, wait_until="load")
        yield found
    finally:
        context.close()
