"""The doctor ticks every step of a platform that works, and names the one that a redesign breaks."""

import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import Page
from starlette.responses import HTMLResponse, JSONResponse
from typer.testing import CliRunner

import comreadv
import params
from collect import fingerprint, sandbox
from collect.browser import launch, storage_state
from collect.codecs.chain import encode
from collect.doctor import pending_deletions
from collect.doctor.checks import SiteChecks
from collect.platform import Batch, Platform, Site, load_platform
from collect.platforms import weibo as weibo_adapter
from collect.sandbox.sites import douban, facebook, weibo

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[3]
SITES = ["douban", "weibo", "facebook"]
SANDBOXES = {"douban": douban.Sandbox, "weibo": weibo.Sandbox, "facebook": facebook.Sandbox}
SETTINGS = params.load(ROOT / "params.yaml")
LOCAL = ["upload", "read back", "download", "picture", "codec", "delete"]
STEPS = ["browser", "state folder", "sign-in", "account", *LOCAL[:2], "address", *LOCAL[2:]]


@pytest.fixture(autouse=True)
def project(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "fingerprints"):
        (workplace / name).symlink_to(ROOT / name)
    monkeypatch.setattr("collect.browser.context.SANDBOX_STEP_TIMEOUT_MS", 1_500)


class Report:
    """What a run of the doctor says."""

    def __init__(self, *arguments: str) -> None:
        answer = CliRunner().invoke(comreadv.app, ["doctor", *arguments])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        self.status, self.text = answer.exit_code, answer.output
        rows = re.findall(r"^([✓✗-]) (\S+(?: \S+)*?)  +(?:(\d+\.\d\d) s  )?(.*)$", self.text, re.MULTILINE)
        self.marks = {step: mark for mark, step, _, _ in rows}
        self.seen = {step: seen for _, step, _, seen in rows}
        self.seconds = {step: float(seconds) for _, step, seconds, _ in rows if seconds}

    def names(self, mark: str) -> list[str]:
        return [step for step, each in self.marks.items() if each == mark]


def shown(origin: str) -> tuple[int, int]:
    """Count, by the site's own account, what is published and what was deleted."""
    received = requests.get(f"{origin}/sandbox/received").json()
    return received["photos"], received["deleted"]


@pytest.mark.parametrize("site", SITES)
def test_a_site_that_works_gets_a_tick_a_step_and_keeps_nothing(site, workplace) -> None:
    with sandbox.serve(site, state=workplace / "site") as origin:
        report = Report("--platform", site, "--origin", origin)
        again = Report("--platform", site, "--origin", origin)
        assert shown(origin) == (0, 2)
    assert (report.status, list(report.marks), report.names("✓")) == (0, STEPS, STEPS), report.text
    assert list(report.seconds) == STEPS
    assert f"{site}: everything works." in report.text
    assert f"as in fingerprints/{site}.json" in report.seen["codec"]
    assert report.seen["download"].startswith("JPEG, 64×64, ")
    assert "?" not in report.text
    assert report.seen["upload"] != again.seen["upload"]
    assert len(list((workplace / "site" / "originals").iterdir())) == 2  # another image each time


@pytest.mark.parametrize("site", SITES)
def test_without_an_address_it_serves_the_sandbox_itself(site, workplace) -> None:
    report = Report("--platform", site)
    assert (report.status, report.names("✓")) == (0, STEPS), report.text
    assert sorted(each.name for each in workplace.iterdir()) == ["fingerprints", "params.yaml", "state"]


def test_a_local_codec_has_the_steps_that_apply() -> None:
    report = Report("--platform", "webp-50")
    assert (report.status, list(report.marks), report.names("✓")) == (0, LOCAL, LOCAL)


REDESIGNS = [
    ("weibo", "有什么新鲜事想分享给大家？", "说点什么", "upload", "get_by_placeholder("),
    ("douban", 'type="file"', 'type="text"', "upload", 'locator("input[type=\\"file\\"]")'),
    ("facebook", ">Post<", ">Share now<", "upload", 'get_by_role("button", name=re.compile(r"^(Post|发布)$"))'),
    ("facebook", "media-vc-image", "photo-viewer", "address", "media-vc-image"),
    ("douban", 'class="photolst ', 'class="grid ', "read back", 'locator(".photolst")'),
    ("facebook", ">Delete album</button></p>", ">Bin album</button></p>", "delete", "Delete album|删除相册"),
]


@pytest.mark.parametrize(("site", "old", "new", "step", "locator"), REDESIGNS, ids=lambda each: each[:20])
def test_a_redesign_is_named_by_step_line_and_locator_with_the_page_beside_it(
    site, old, new, step, locator, workplace, monkeypatch
) -> None:
    def redesigned(self, *rest, **more) -> HTMLResponse:
        answer = page(self, *rest, **more)
        html = bytes(answer.body).decode()
        return HTMLResponse(html.replace(old, new), answer.status_code)

    page = SANDBOXES[site].page
    monkeypatch.setattr(SANDBOXES[site], "page", redesigned)
    with sandbox.serve(site, state=workplace / "site") as origin:
        report = Report("--platform", site, "--origin", origin)
        left, _ = shown(origin)
    assert report.status == 1
    assert report.marks[step] == "✗", report.text
    assert "Timeout 1500ms exceeded" in report.seen[step]
    assert f"in collect/platforms/{site}.py, line " in report.text
    assert locator in next(line for line in report.text.splitlines() if "found nothing: " in line)
    kept = [Path(each) for each in re.findall(r"Screenshot and HTML: (\S+\.png), (\S+\.html)", report.text)[0]]
    for file in kept:
        assert file.parent == workplace / "state" / "comreadv" / "failures"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert new in kept[1].read_text()
    ran = STEPS[: STEPS.index(step)]
    assert [each for each in ran if report.marks[each] != "✓"] == []
    assert (left > 0) == (report.marks["delete"] != "✓")
    if left:
        assert f"Still up on {site}: " in report.text
    for skipped in report.names("-"):
        assert report.seen[skipped].startswith("skipped, for it needs: ")


def test_on_weibo_a_link_to_somebody_else_is_not_taken_for_the_account(workplace, monkeypatch) -> None:
    home, own = weibo.Sandbox.home, []

    def with_a_stranger(self, request) -> HTMLResponse:
        own.append(self.account)
        answer = home(self, request)
        html = bytes(answer.body).replace(b"<header>", b'<header><a href="/u/1000000001">somebody</a>')
        who = {"X-Log-Uid": answer.headers["X-Log-Uid"]}
        return HTMLResponse(html, answer.status_code, who)

    monkeypatch.setattr(weibo.Sandbox, "home", with_a_stranger)
    report = Report("--platform", "weibo")
    assert report.names("✗") == [], report.text
    assert own[0] in report.seen["account"] and own[0] != "1000000001"


def test_a_weibo_that_does_not_say_who_is_signed_in_gets_nothing(workplace, monkeypatch) -> None:
    home = weibo.Sandbox.home
    monkeypatch.setattr(weibo.Sandbox, "home", lambda self, request: HTMLResponse(home(self, request).body))
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        report = Report("--platform", "weibo", "--origin", origin)
        assert shown(origin) == (0, 0)
    assert (report.status, report.names("✗")) == (1, ["account"]), report.text
    assert "weibo no longer says who is signed in" in report.text
    assert "upload" in report.names("-")


def test_a_weibo_that_shows_a_guest_its_first_page_is_signed_out(workplace, monkeypatch) -> None:
    monkeypatch.setattr(weibo.Sandbox, "home", lambda *_: HTMLResponse("<p>sandbox</p>"))
    monkeypatch.setattr(weibo.Sandbox, "session", lambda *_: None)
    report = Report("--platform", "weibo")
    assert report.names("✗") == ["account"], report.text
    assert report.seen["account"] == "The site shows nobody signed in."


def test_what_a_failed_step_does_not_touch_is_tried_all_the_same(workplace, monkeypatch) -> None:
    monkeypatch.setattr(weibo.Sandbox, "publish", lambda *_: JSONResponse({"ok": 0, "msg": "not today"}))
    report = Report("--platform", "weibo")
    assert report.status == 1
    assert (report.names("✗"), report.names("-")) == (["upload"], STEPS[5:-1]), report.text
    assert "weibo refuses the post. It says: not today" in report.seen["upload"]
    assert report.seen["delete"] == "nothing was published"
    assert "Still up" not in report.text
    assert report.text.endswith("weibo: upload fails.\n")


def test_what_was_published_by_a_failed_upload_is_deleted(workplace, monkeypatch) -> None:
    def publish(*arguments) -> JSONResponse:
        whole(*arguments)
        return JSONResponse({"ok": 0, "msg": "an error that is none"})

    whole = weibo.Sandbox.publish
    monkeypatch.setattr(weibo.Sandbox, "publish", publish)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        report = Report("--platform", "weibo", "--origin", origin)
        assert shown(origin) == (0, 1)
    assert (report.marks["upload"], report.marks["delete"]) == ("✗", "✓")


def test_an_answer_of_another_form_is_told_with_the_adapters_line(monkeypatch) -> None:
    monkeypatch.setattr(weibo.Sandbox, "take_upload", lambda *_: JSONResponse({"ret": True, "picture": {}}))
    report = Report("--platform", "weibo")
    assert report.seen["upload"].endswith("not as collect/platforms/weibo.py expects: pic: Field required.")
    assert "weibo.py, line " in report.text and ".pic.pid" in report.text


def test_a_changed_codec_is_told_with_what_was_known(workplace) -> None:
    with sandbox.serve("weibo", state=workplace / "site", codec="jpeg:50") as origin:
        report = Report("--platform", "weibo", "--origin", origin)
    assert (report.status, report.names("✗")) == (1, ["codec"])
    assert (
        "JPEG quality 50, 4:2:0, baseline, but fingerprints/weibo.json says JPEG quality 85, 4:4:4, baseline"
        in (report.seen["codec"])
    )


def test_a_platform_without_a_fingerprint_is_told_how_to_get_one(workplace, monkeypatch) -> None:
    monkeypatch.setattr(fingerprint, "FOLDER", workplace / "none")
    report = Report("--platform", "webp-50")
    assert report.names("✗") == ["codec"]
    assert "comreadv fingerprint --platform webp-50 --write" in report.seen["codec"]


def test_another_picture_is_no_picture(monkeypatch) -> None:
    grey = encode(Image.new("RGB", (64, 64), "grey"), "jpeg:85:444:optimised")
    monkeypatch.setattr(weibo.Sandbox, "render", lambda *_: grey)
    report = Report("--platform", "weibo")
    assert report.names("✗") == ["picture"]
    assert "another picture than went up" in report.seen["picture"]


def test_a_file_that_is_cut_short_is_no_download(workplace) -> None:
    with sandbox.serve("douban", state=workplace / "site", faults={"truncated": 1}) as origin:
        report = Report("--platform", "douban", "--origin", origin)
    assert (report.names("✗"), report.names("-")) == (["download"], ["picture", "codec"])
    assert "not an image that can be decoded" in report.seen["download"]


def test_a_site_that_asks_for_a_person_is_told_apart_from_a_redesign(workplace) -> None:
    with sandbox.serve("facebook", state=workplace / "site", faults={"captcha": 1}) as origin:
        report = Report("--platform", "facebook", "--origin", origin)
    assert report.names("✗") == ["account"]
    assert "asks for a person (a captcha)" in report.seen["account"]
    assert "Screenshot and HTML" in report.text


def test_without_a_browser_nothing_can_be_tried(monkeypatch) -> None:
    monkeypatch.setenv("COMREADV_BROWSER", "/bin/false")
    report = Report("--platform", "weibo")
    assert (report.status, report.names("✗"), report.names("✓")) == (1, ["browser"], ["state folder"])
    assert "/bin/false does not start" in report.seen["browser"]


def test_a_state_folder_that_others_can_read_stops_the_sign_in() -> None:
    storage_state.state_folder().chmod(0o755)
    report = Report("--platform", "weibo")
    assert (report.names("✗"), report.names("✓")) == (["state folder"], ["browser"])
    assert "chmod 700" in report.seen["state folder"]


def test_another_site_at_the_address_fails_at_the_sign_in(workplace) -> None:
    with sandbox.serve("douban", state=workplace / "site") as origin:
        report = Report("--platform", "weibo", "--origin", origin)
    assert report.names("✗") == ["sign-in"]


KILLED = (
    "import os, comreadv; from collect.doctor.checks import SiteChecks;"
    "SiteChecks.read_back_upload = lambda _checks: os.kill(os.getpid(), 9); comreadv.main()"
)


@pytest.mark.parametrize("site", SITES)
def test_what_a_killed_doctor_left_is_deleted_by_the_next(site, workplace) -> None:
    with sandbox.serve(site, state=workplace / "site") as origin:
        at = ("doctor", "--platform", site, "--origin", origin)
        killed = subprocess.run([sys.executable, "-c", KILLED, *at], capture_output=True, text=True, timeout=200)
        assert killed.returncode == -signal.SIGKILL and shown(origin) == (1, 0), killed.stdout
        (left,) = re.findall(r"is up as (\S+)", killed.stdout)
        report = Report(*at[1:])
        assert shown(origin) == (0, 2)
        (own,) = re.findall(r"is up as (\S+)", report.seen["upload"])
        assert (report.status, report.seen["delete"]) == (0, f"{own} and {left}: gone")
    assert list((workplace / "state" / "comreadv").glob("*.doctor")) == []


def test_what_a_doctor_left_that_was_killed_before_it_knew_an_id_is_deleted_too(workplace) -> None:
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        at = ("doctor", "--platform", "facebook", "--origin", origin)
        program = KILLED.replace("read_back_upload = lambda _checks:", "_received = lambda _checks, _ids:")
        killed = subprocess.run([sys.executable, "-c", program, *at], capture_output=True, text=True, timeout=200)
        assert killed.returncode == -signal.SIGKILL and shown(origin) == (1, 0), killed.stdout
        assert Report(*at[1:]).status == 0
        assert shown(origin) == (0, 2)


def test_ctrl_c_says_what_is_still_up(workplace, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with monkeypatch.context() as patched:
            patched.setattr(SiteChecks, "read_back_upload", stop)
            report = Report("--platform", "weibo", "--origin", origin)
        assert shown(origin) == (1, 0)
        (left,) = re.findall(r"is up as (\S+)", report.seen["upload"])
        assert report.status != 0 and f"Still up on weibo: {left}, called 'comreadv doctor " in report.text
        assert Report("--platform", "weibo", "--origin", origin).status == 0
        assert shown(origin) == (0, 2)


def test_what_is_left_in_another_account_is_left_to_it(workplace) -> None:
    site = load_platform("weibo", SETTINGS.platform("weibo"), origin="http://127.0.0.1:1")
    assert isinstance(site, Site)
    one, other = Batch("one", []), Batch("other", [], known={0: "7"})
    pending_deletions.record_pending(site, "me", one)
    pending_deletions.record_pending(site, "you", other)
    assert [each.title for each in pending_deletions.list_pending(site, "me", workplace)] == ["one"]
    assert [each.known for each in pending_deletions.list_pending(site, "you", workplace)] == [{0: "7"}]
    pending_deletions.remove_pending(site, one)
    assert pending_deletions.list_pending(site, "me", workplace) == []
    assert [each.title for each in pending_deletions.list_pending(site, "you", workplace)] == ["other"]


def test_a_person_is_told_who_sees_the_image() -> None:
    report = Report("--platform", "douban", "--origin", "https://douban.example")
    said = (
        "uploads one tiny image, into the album that you named, which is as private as you have made it, and deletes it"
    )
    assert said in " ".join(report.text.split())


@pytest.mark.parametrize("arguments", [("--origin", "https://weibo.example"), ("--params", "live.yaml")])
def test_the_real_site_has_to_be_asked_for(arguments, workplace) -> None:
    text = (ROOT / "params.yaml").read_text()
    Path("live.yaml").write_text(text.replace("adapter: weibo, site: sandbox", "adapter: weibo, site: live"))
    report = Report("--platform", "weibo", *arguments)
    assert (report.status, report.marks) == (1, {})
    said = "`comreadv doctor --platform weibo --live` uploads one tiny image, for its owner's eyes only, and deletes it"
    assert said in " ".join(report.text.split())


def test_a_sandbox_is_not_examined_where_the_real_site_is_asked_for(workplace) -> None:
    report = Report("--platform", "weibo", "--live")
    assert (report.status, report.marks) == (1, {}) and "weibo is not the real site." in " ".join(report.text.split())


def test_nothing_but_a_1_in_the_environment_asks_the_doctor_to_the_real_site(workplace, monkeypatch) -> None:
    monkeypatch.setenv("COMREADV_LIVE", "0")
    report = Report("--platform", "weibo", "--origin", "https://weibo.example")
    assert (report.status, report.marks) == (1, {}) and "--live` uploads one tiny image" in report.text


def test_a_stored_sign_in_is_used_at_the_real_site_until_it_ends(workplace, sign_in, monkeypatch) -> None:
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        assert isinstance(adapter, Site)
        sign_in(adapter)
        monkeypatch.setattr(Platform, "is_live", True)  # as far as anything here can tell
        monkeypatch.setattr(Site, "album_lag_s", 0)
        report = Report("--platform", "weibo", "--origin", origin, "--live")
        assert (report.status, report.names("✓")) == (0, STEPS), report.text
        assert "one tiny image goes up, for its owner's eyes only, and is deleted again" in report.text
        assert report.seen["sign-in"] == "stored less than a minute ago"
        storage_state.save_state(adapter, {"cookies": [], "origins": []})
        report = Report("--platform", "weibo", "--origin", origin, "--live")
        assert report.names("✗") == ["sign-in"]
        assert f"Run `comreadv login --platform weibo --origin {origin}`" in report.seen["sign-in"]
        storage_state.state_file(adapter).unlink()
        report = Report("--platform", "weibo", "--origin", origin, "--live")
        assert "Nobody has signed in to weibo yet" in report.seen["sign-in"]


def test_a_browser_that_dies_at_the_real_site_still_leaves_a_verdict(workplace, sign_in, monkeypatch) -> None:
    def upload(_site: Site, page: Page, _batch: Batch) -> dict[int, str]:
        launch.end_browsers()
        page.wait_for_timeout(10_000)
        return {}

    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        assert isinstance(adapter, Site)
        sign_in(adapter)
        monkeypatch.setattr(Platform, "is_live", True)
        monkeypatch.setattr(Site, "album_lag_s", 0)
        monkeypatch.setattr(weibo_adapter.Weibo, "upload", upload)
        report = Report("--platform", "weibo", "--origin", origin, "--live")
    assert report.names("✗") == ["upload", "delete"]
    assert "weibo: upload, delete fail." in report.text
