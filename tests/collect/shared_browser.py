"""A driver and a browser that tests hand on to each other, since starting both is most of the work of many a test.

Contexts are opened and closed as ever. Commands that tests start in processes of their own start their own browsers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

Manager = type(sync_playwright())
start, stop, launch, close = Manager.__enter__, Manager.__exit__, BrowserType.launch, Browser.close


class SharedBrowser:
    """Stands in for starts and ends in this thread: what was closed is taken again by the next that starts the same."""

    def __init__(self) -> None:
        self.manager: Any = None
        self.playwright: Playwright | None = None
        self.idle: list[tuple[str, Browser]] = []
        self.taken: list[tuple[str, Browser]] = []
        self.thread = threading.current_thread()

    def start(self, manager: Any) -> Playwright:
        if threading.current_thread() is not self.thread:
            return start(manager)
        if self.playwright is None:
            self.manager, self.playwright = manager, start(manager)
        return self.playwright

    def stop(self, manager: Any, *error: Any) -> None:
        if threading.current_thread() is not self.thread:
            stop(manager, *error)
            return
        for _, browser in list(self.taken):
            self.close(browser)

    def launch(self, kind: BrowserType, **options: Any) -> Browser:
        key = repr(sorted(options.items()))
        if threading.current_thread() is not self.thread:
            return launch(kind, **options)
        for each in [each for each in self.idle if each[0] == key]:
            self.idle.remove(each)
            with suppress(PlaywrightError):  # it has been killed
                each[1].new_context().close()
                self.taken.append(each)
                return each[1]
        self.taken.append((key, launch(kind, **options)))
        return self.taken[-1][1]

    def close(self, browser: Browser, **options: Any) -> None:
        mine = [each for each in self.taken if each[1] is browser]
        if not mine:
            close(browser, **options)
            return
        self.taken.remove(mine[0])
        with suppress(PlaywrightError):
            for context in browser.contexts:
                context.close()
            self.idle.append(mine[0])

    def end(self) -> None:
        if self.playwright:
            stop(self.manager)


@contextmanager
def shared_browser() -> Iterator[None]:
    """Hand browsers on until the end of the block."""
    shared = SharedBrowser()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Manager, "__enter__", lambda manager: shared.start(manager))
        patched.setattr(Manager, "__exit__", lambda manager, *error: shared.stop(manager, *error))
        patched.setattr(BrowserType, "launch", lambda kind, **options: shared.launch(kind, **options))
        patched.setattr(Browser, "close", lambda browser, **options: shared.close(browser, **options))
        try:
            yield
        finally:
            patched.undo()
            shared.end()
