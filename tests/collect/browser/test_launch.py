"""Which browser is taken: for whom, in which order, and what is said when there is none that will do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

import params
from collect.browser import install, launch
from collect.platform import Site, load_platform
from params import UserError

SETTINGS = params.load(Path(__file__).parents[3] / "params.yaml")
OWN = "ms-playwright/chromium-1234/chrome-linux/chrome"
OWN_SHELL = "ms-playwright/chromium_headless_shell-1234/chrome-linux/headless_shell"
OLD_SHELL = "ms-playwright/chromium_headless_shell-1111/chrome-linux/headless_shell"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer with no browsers."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(launch.BROWSER_VARIABLE, raising=False)
    return tmp_path


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)


def playwright(here: Path) -> Any:
    return SimpleNamespace(chromium=SimpleNamespace(executable_path=str(here / OWN)))


@pytest.mark.parametrize(
    ("there", "for_sandboxes", "whole"),
    [
        ([], [], []),
        (["bin/chromium"], ["bin/chromium"], ["bin/chromium"]),
        (["bin/chromium-headless-shell"], ["bin/chromium-headless-shell"], []),
        ([OWN, OWN_SHELL, OLD_SHELL], [OWN_SHELL, OWN], [OWN]),
        (
            ["bin/google-chrome", "bin/chromium", "bin/chromium-headless-shell", OWN, OWN_SHELL],
            ["bin/chromium-headless-shell", OWN_SHELL, "bin/chromium", "bin/google-chrome", OWN],
            ["bin/chromium", "bin/google-chrome", OWN],
        ),
    ],
)
def test_a_headless_shell_comes_first_but_never_where_a_whole_browser_is_wanted(
    there, for_sandboxes, whole, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here, *there)
    monkeypatch.setenv(launch.BROWSER_VARIABLE, "")
    for wanted, order in ((False, for_sandboxes), (True, whole)):
        assert launch.find_browsers(playwright(here), whole=wanted) == [str(here / each) for each in order]


def test_the_setting_comes_before_all(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here, "bin/chromium", "bin/chromium-headless-shell", "mine")
    monkeypatch.setenv(launch.BROWSER_VARIABLE, str(here / "mine"))
    assert launch.find_browsers(playwright(here), whole=False) == launch.find_browsers(playwright(here), whole=True)
    assert launch.find_browsers(playwright(here), whole=True) == [str(here / "mine")]
    monkeypatch.setenv(launch.BROWSER_VARIABLE, "not-there")
    with pytest.raises(UserError, match="names not-there, which is no program"):
        launch.find_browsers(playwright(here), whole=True)


def site(origin: str) -> Site:
    adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
    assert isinstance(adapter, Site)
    return adapter


@pytest.mark.browser
def test_one_that_does_not_start_gives_way_to_the_next(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with sync_playwright() as real:
        good = launch.find_browsers(real, whole=True)[0]
        put(here, "broken")
        monkeypatch.setattr(launch, "find_browsers", lambda *_, **__: [str(here / "broken"), good])
        running, path = launch.launch_browser_at(real, site("http://127.0.0.1:9"))
        assert path == good and running.is_connected()
        running.close()
        monkeypatch.setattr(launch, "find_browsers", lambda *_, **__: [str(here / "broken")])
        with pytest.raises(UserError, match="broken does not start"):
            launch.launch_browser_at(real, site("http://127.0.0.1:9"))
    monkeypatch.setattr(install, "find_browsers", lambda *_, **__: [str(here / "broken"), good])
    assert install._first_that_starts(whole=False) == good


@pytest.mark.parametrize(("origin", "visible"), [("https://weibo.com", False), ("http://127.0.0.1:9", True)])
def test_a_real_site_and_a_person_get_a_whole_browser(origin: str, visible: bool, here: Path) -> None:
    put(here, "bin/chromium-headless-shell")
    with pytest.raises(UserError, match=r"with windows, .* Run `python -m collect.browser`"):
        launch.launch_browser(playwright(here), site(origin), visible=visible)


def test_a_headless_shell_is_not_taken_for_a_window(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here, "bin/chromium-headless-shell")
    monkeypatch.setenv(launch.BROWSER_VARIABLE, "chromium-headless-shell")
    with pytest.raises(UserError, match="has no windows"):
        launch.launch_browser(playwright(here), site("http://127.0.0.1:9"), visible=True)
