"""Signing in: a person's is waited for, looked at, kept for them alone, and checked again later."""

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright
from typer.testing import CliRunner

import comreadv
import params
from collect import sandbox
from collect.browser import login, storage_state
from collect.browser.launch import launch_browser
from collect.platform import Site, load_platform
from collect.sandbox.store import Store
from params import PlatformRow, UserError

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[3]
SITES = ["douban", "weibo", "facebook"]
SETTINGS = params.load(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def project(workplace: Path) -> None:
    (workplace / "params.yaml").symlink_to(ROOT / "params.yaml")


@contextmanager
def a_window(site: str, origin: str) -> Iterator[tuple[Site, Browser, BrowserContext]]:
    """Open a window as the person's, but one that needs no screen."""
    adapter = load_platform(site, SETTINGS.platform(site), origin=origin)
    assert isinstance(adapter, Site)
    with sync_playwright() as playwright:
        browser = launch_browser(playwright, adapter)
        yield adapter, browser, browser.new_context()
        browser.close()


def press_the_button_after(context: BrowserContext, milliseconds: int) -> None:
    press = "() => setTimeout(() => document.querySelector('main form button')?.click(), %d)"
    context.add_init_script(f"addEventListener('load', {press % milliseconds})")


def sign_in(site: str, origin: str, minutes: float = 0.2) -> str:
    with a_window(site, origin) as (adapter, browser, window):
        press_the_button_after(window, 700)
        return login.sign_in_by_hand(
            adapter, window, lambda state: login.read_account(adapter, browser, state), minutes=minutes
        )


def check(site: str, origin: str) -> tuple[int, str]:
    answer = CliRunner().invoke(comreadv.app, ["login", "--check", "--platform", site, "--origin", origin])
    return answer.exit_code, " ".join(answer.output.split())


def account(site: str, state: Path) -> str:
    store = Store(state, site)
    number = store.read_setting("account", "")
    store.close()
    return number


@pytest.mark.parametrize("site", SITES)
def test_a_sign_in_is_waited_for_kept_for_its_owner_alone_and_checked_until_it_ends(site, workplace) -> None:
    with sandbox.serve(site, state=workplace / "site") as origin:
        who = account(site, workplace / "site")
        assert check(site, origin) == (
            1,
            f"Error: Nobody has signed in to {site} yet. Run `comreadv login --platform {site} --origin {origin}`.",
        )
        assert sign_in(site, origin) == who
        (file,) = (workplace / "state" / "comreadv").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.name == f"{site}-{origin.removeprefix('http://').replace(':', '-')}.json"  # not the real site's
        os.utime(file, (0, time.time() - 3 * 86_400 - 60))
        kept = file.read_bytes()
        assert check(site, origin) == (0, f"Signed in to {site} as {who}; the sign-in was stored 3 days ago.")
        store = Store(workplace / "site", site)
        for cookie in json.loads(kept)["cookies"]:
            store.sign_out(cookie["value"])
        store.close()
        assert check(site, origin) == (
            1,
            f"Error: The sign-in to {site} that was stored 3 days ago does not hold any more."
            f" Run `comreadv login --platform {site} --origin {origin}`.",
        )


def test_the_command_opens_a_window_and_keeps_the_sign_in(workplace, monkeypatch) -> None:
    windows: list[bool] = []

    def without_a_screen(playwright: Playwright, adapter: Site, *, visible: bool = False) -> Browser:
        browser = launch_browser(playwright, adapter)
        windows.append(visible)
        if visible:
            new_context = browser.new_context

            def window() -> BrowserContext:
                context = new_context()
                press_the_button_after(context, 300)
                return context

            monkeypatch.setattr(browser, "new_context", window)
        return browser

    monkeypatch.setattr("collect.browser.launch.launch_browser", without_a_screen)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        answer = CliRunner().invoke(comreadv.app, ["login", "--platform", "weibo", "--origin", origin])
        who = account("weibo", workplace / "site")
        (file,) = (workplace / "state" / "comreadv").iterdir()
        assert answer.exit_code == 0 and windows == [False, True], answer.output
        assert answer.output == f"Signed in to weibo as {who}; kept in {file}, readable by you alone.\n"
        assert check("weibo", origin)[0] == 0


@pytest.mark.parametrize("site", SITES)
def test_cookies_alone_are_no_sign_in(site, workplace) -> None:
    """A guest gets cookies of the same names on some sites."""
    with sandbox.serve(site, state=workplace / "site") as origin, a_window(site, origin) as (adapter, browser, window):
        window.add_cookies([{"name": name, "value": "guest", "url": origin} for name in adapter.cookie_names])
        with pytest.raises(UserError, match=rf"{site} shows nobody signed in, though.*nothing was saved"):
            login.sign_in_by_hand(
                adapter, window, lambda state: login.read_account(adapter, browser, state), minutes=0.02
            )
    assert not (workplace / "state").exists()


def test_a_guest_who_then_signs_in_is_seen(workplace, monkeypatch) -> None:
    monkeypatch.setattr(login, "ACCOUNT_CHECK_INTERVAL_S", 0.1)
    with sandbox.serve("weibo", state=workplace / "site") as origin, a_window("weibo", origin) as (site, quiet, window):
        window.add_cookies([{"name": name, "value": "guest", "url": origin} for name in site.cookie_names])
        press_the_button_after(window, 1_500)
        name = login.sign_in_by_hand(site, window, lambda state: login.read_account(site, quiet, state), minutes=0.3)
    assert name == account("weibo", workplace / "site")


def test_nobody_signs_in(workplace) -> None:
    with sandbox.serve("weibo", state=workplace / "site") as origin, a_window("weibo", origin) as (site, _, window):
        start = time.monotonic()
        with pytest.raises(UserError, match="Nobody signed in to weibo; nothing was saved"):
            login.sign_in_by_hand(site, window, lambda _: "", minutes=0.02)
        assert time.monotonic() - start < 4


def test_a_window_that_is_closed_ends_the_wait(workplace) -> None:
    with sandbox.serve("weibo", state=workplace / "site") as origin, a_window("weibo", origin) as (site, _, window):
        window.on("page", lambda page: page.on("load", lambda: page.close()))
        with pytest.raises(UserError, match="Nobody signed in to weibo"):
            login.sign_in_by_hand(site, window, lambda _: "", minutes=1)


def test_the_check_of_a_site_that_is_not_there_says_so(workplace) -> None:
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        sign_in("weibo", origin)
    status, said = check("weibo", origin)
    assert status == 1
    assert "weibo: the connection was cut (net::ERR_CONNECTION_REFUSED)" in said


@pytest.mark.parametrize("spoil", ["group", "world", "link", "folder"])
def test_a_state_that_others_may_know_is_not_used(spoil, workplace) -> None:
    live = load_platform("weibo", PlatformRow(adapter="weibo", site="live"))
    assert isinstance(live, Site)
    file = storage_state.save_state(live, {"cookies": [], "origins": []})
    assert storage_state.stored_state(live) == file
    if spoil in ("group", "world"):
        file.chmod(0o640 if spoil == "group" else 0o604)
    elif spoil == "link":
        file.rename(workplace / "elsewhere.json")
        file.symlink_to(workplace / "elsewhere.json")
    else:
        file.unlink()
        file.mkdir(0o700)
    with pytest.raises(UserError, match=r"readable by others.*delete the file, and run `comreadv login"):
        storage_state.stored_state(live)


def test_a_state_is_not_written_through_a_link(workplace) -> None:
    live = load_platform("weibo", PlatformRow(adapter="weibo", site="live"))
    assert isinstance(live, Site)
    victim = workplace / "victim"
    victim.write_text("mine")
    storage_state.state_file(live).symlink_to(victim)
    storage_state.save_state(live, {"cookies": [], "origins": []})
    assert victim.read_text() == "mine"
    assert storage_state.stored_state(live).is_file()


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o720])
def test_a_folder_that_others_can_enter_is_refused(mode, workplace) -> None:
    storage_state.state_folder().chmod(mode)
    with pytest.raises(UserError, match="chmod 700"):
        storage_state.state_folder()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_a_link_is_refused_and_one_below_a_link_is_fine(there, workplace) -> None:
    if there:
        (workplace / "real").mkdir(mode=0o700)
    (workplace / "state").mkdir()
    (workplace / "state" / "comreadv").symlink_to(workplace / "real")
    with pytest.raises(UserError, match="no link" if there else r"no link|can't be made"):
        storage_state.state_folder()
    (workplace / "state" / "comreadv").unlink()
    (workplace / "state").rename(workplace / "moved")
    (workplace / "state").symlink_to(workplace / "moved")
    assert storage_state.state_folder().is_dir()


def test_a_folder_in_the_projects_repository_is_refused_and_not_made(workplace, monkeypatch) -> None:
    subprocess.run(["git", "init", "-q", workplace], check=True)
    (workplace / "project").mkdir()
    monkeypatch.chdir(workplace / "project")
    with pytest.raises(UserError, match=r"in the git repository.*XDG_STATE_HOME"):
        storage_state.state_folder()
    assert not (workplace / "state").exists()
    monkeypatch.chdir("/")  # another repository than that of the work
    assert storage_state.state_folder().is_dir()


def test_signing_in_for_real_needs_a_live_row(workplace) -> None:
    answer = CliRunner().invoke(comreadv.app, ["login", "--platform", "weibo"])
    assert answer.exit_code == 1
    assert "needs no sign-in: only the live site does" in " ".join(answer.output.split())
