"""No cookie, token or signature leaves the browser, whatever goes wrong: a search for those that a sandbox issued."""

import json
import logging
import stat
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright
from starlette.responses import JSONResponse

import params
from collect import redaction, sandbox
from collect.browser import launch, storage_state
from collect.browser.downloader import Downloader
from collect.errors import SubmitFailed, TransientError
from collect.platform import Site, load_platform
from collect.sandbox.sites import douban, facebook, weibo

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SITES = ["douban", "weibo", "facebook"]
SANDBOXES = {"douban": douban.Sandbox, "weibo": weibo.Sandbox, "facebook": facebook.Sandbox}
REDESIGNS = {"douban": "保存", "weibo": "仅自己可见", "facebook": "media-vc-image"}
SETTINGS = params.load(ROOT / "params.yaml")
PLAIN = "import comreadv; comreadv.main()"
CRASH = (
    f"from collect.browser import downloader; downloader.find_body_problem = lambda body: body.no_such_thing; {PLAIN}"
)
LIVE = (
    "from collect.round_trip import connect; from collect.platform import Platform, Site;"
    f"Platform.is_live = True; Site.album_lag_s = 0; Site.request_interval_s = 0; connect.NOTICE_S = 0; {PLAIN}"
)
SIGNED = "https://scontent.example/v/1_n.jpg?stp=dst&oh=0123456789abcdef0123456789abcdef&oe=6F"


@pytest.fixture
def issued(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Note down what the sandboxes of this process tell in confidence: cookies, tokens and signatures."""
    secrets: set[str] = set()

    def note(kind: type, name: str, secret_of) -> None:
        original = getattr(kind, name)

        def noted(*arguments):
            answer = original(*arguments)
            secrets.update(secret_of(answer))
            return answer

        monkeypatch.setattr(kind, name, noted)

    for kind in SANDBOXES.values():
        whole = kind.cookies

        def cookies(self, session, whole=whole):
            answer = list(whole(self, session))
            secrets.update([session.csrf, *(each.value for each in answer if each.name != "c_user")])
            return answer

        monkeypatch.setattr(kind, "cookies", cookies)
    note(douban.Sandbox, "upload_token", lambda token: [token])
    note(facebook.Sandbox, "signature", lambda signature: [signature])
    return secrets


@pytest.fixture
def project(workplace, photos) -> Path:
    """Make a folder to run the commands in, with two images."""
    images = workplace / "data" / "images"
    images.mkdir(parents=True)
    (images / "train").symlink_to(workplace / "photos")
    plain = {"split": "train", "source": "x", "label": None, "crop": None}
    rows = [plain | {"name": each.name, "sha256": each.sha256} for each in photos(2)]
    (images / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("params.yaml", "fingerprints"):
        (workplace / name).symlink_to(ROOT / name)
    return workplace


def run(code: str, *arguments: str) -> str:
    """Run a command in a process of its own; return all that it says."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200).stdout


def found(secrets: set[str], folder: Path) -> set[Path]:
    """List the files below a folder that hold one of the secrets, or have one in their name."""
    forms = {form.encode() for each in secrets for form in (each, quote(each, safe=""))}
    return {
        file
        for file in folder.rglob("*")
        if any(form in str(file).encode() or (file.is_file() and form in file.read_bytes()) for form in forms)
    }


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES)
def test_nothing_that_a_site_told_in_confidence_is_said_or_kept(
    site, issued, project, tmp_path_factory, monkeypatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("site")
    at = ("--platform", site, "--origin")
    with sandbox.serve(site, state=elsewhere) as origin:
        crashed = run(CRASH, "collect", *at, origin)
        assert "no_such_thing" in crashed and "Traceback" in crashed
    said = [crashed]
    with sandbox.serve(site, state=elsewhere, faults={"all": 0.1}, seed=1) as origin:
        said.append(run(PLAIN, "collect", *at, origin))
        said.append(run(PLAIN, "doctor", *at, origin))
    assert "✗" in "".join(said) or "Error: " in "".join(said)

    whole = SANDBOXES[site].page
    monkeypatch.setattr(SANDBOXES[site], "page", redesigned(whole, REDESIGNS[site]))
    with sandbox.serve(site, state=elsewhere) as origin:
        said.append(run(PLAIN, "doctor", *at, origin))
        assert "found nothing: " in said[-1]
    monkeypatch.setattr(SANDBOXES[site], "page", whole)
    with sandbox.serve(site, state=elsewhere) as origin:
        said.append(run(PLAIN, "collect", *at, origin))
    assert "2 of 2 images have their round trip" in said[-1]

    assert len(issued) >= 2 * len(said)
    assert found(issued, elsewhere)  # the site knows them: the search would see them
    assert found(issued, project) == set()
    for secret in issued:
        assert secret not in "".join(said)
    kept = list((project / "state" / "comreadv" / "failures").iterdir())
    assert {file.suffix for file in kept} >= {".html", ".png"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}
    assert any(redaction.MASK in file.read_text() for file in kept if file.suffix == ".html") or site == "weibo"


def redesigned(page, word: str):
    """Make pages without a word that the adapter looks for."""

    def instead(*arguments, **more):
        answer = page(*arguments, **more)
        answer.body = answer.body.replace(word.encode(), b"x" * len(word.encode()))  # as long as the header says
        return answer

    return instead


def test_a_stored_sign_in_is_the_one_place_that_has_the_cookies(issued, project, sign_in, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("site")
    with sandbox.serve("facebook", state=elsewhere) as origin:
        adapter = load_platform("facebook", SETTINGS.platform("facebook"), origin=origin)
        assert isinstance(adapter, Site)
        sign_in(adapter)
        at = ("--platform", "facebook", "--origin", origin)
        said = [run(LIVE, "doctor", *at, "--live"), run(LIVE, "collect", *at, "--live")]
        said.append(run(PLAIN, "login", *at, "--check"))
    assert "facebook: everything works." in said[0]
    assert "2 of 2 images have their round trip" in said[1]
    assert "Signed in to facebook as " in said[2]
    (state,) = found(issued, project)
    assert state == storage_state.state_file(adapter)
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert not any(secret in "".join(said) for secret in issued)


def test_what_a_library_says_of_a_signed_address_is_not_repeated(workplace, caplog) -> None:
    signed = SIGNED.replace("https://scontent.example", "http://127.0.0.1:9")
    adapter = load_platform("facebook", SETTINGS.platform("facebook"), origin="http://127.0.0.1:9")
    assert isinstance(adapter, Site)
    with sync_playwright() as playwright:
        page = launch.launch_browser(playwright, adapter).new_page()
        with pytest.raises(PlaywrightError) as failed:
            page.goto(signed)
    assert "oh=0123" in failed.value.message
    assert "http://127.0.0.1:9/v/1_n.jpg?[masked]" in redaction.describe_browser_error(failed.value)
    assert "0123456789abcdef" not in redaction.describe_browser_error(failed.value)
    downloader = Downloader(adapter, cookies=[], headers={})
    with caplog.at_level(logging.INFO), pytest.raises(TransientError) as cut:
        downloader.fetch(signed, workplace / "file")
    told = "".join(traceback.format_exception(cut.value)) + caplog.text
    assert "http://127.0.0.1:9/v/1_n.jpg" in told
    assert "0123456789abcdef" not in told


SIGNATURES = [f"00_AYCd{number}-0123456789_abcdefghijklmn" for number in range(4)]
PAGE = f"""<form><input type="hidden" name="ck" value="hidden-1"><input value="hidden-2" type=hidden name=x>
<input type="text" value="kept-1"></form><script>var UPLOAD = {{UPLOAD_AUTH_TOKEN: "named-1", "fb_dtsg":"named-2"}}
document.cookie = "cookie%2Fvalue"; let more = "cookie/value";</script><p title="token: it">kept-2 kept-3</p>
<img src="{SIGNED.replace("&", "&amp;")}"><a href="/photo/?fbid=123456789012345&amp;set=a.99">kept-4</a>
<script>{{"uri":"https:\\/\\/scontent.example\\/1_n.jpg?stp=dst\\u0026oh={SIGNATURES[0]}\\u0026oe=6F","kept-5":
"1_n.jpg?stp\\u003ddst\\u0026oh\\u003d{SIGNATURES[1]}"}}</script>
<a href="/l.php#u=https%3A%2F%2Fx" title="1_n.jpg%3fstp%3ddst%26oh%3D{SIGNATURES[2]}">kept-6</a>
<a href="https://weibo.example/#access_token={SIGNATURES[3]}">kept-7</a>"""


def test_a_page_is_kept_without_its_secrets_and_with_the_rest() -> None:
    masked = redaction.redact_html(PAGE, ["cookie/value", "1", "kept"])
    named = ("hidden-1", "hidden-2", "named-1", "named-2", "cookie/value", "cookie%2Fvalue", "0123456789abcdef")
    for secret in (*named, *SIGNATURES):
        assert secret not in masked, secret
    for rest in (
        *(f"kept-{number}" for number in range(1, 8)),
        "u=https%3A%2F%2Fx",
        "fbid=123456789012345&amp;set=a.99",
        'name="ck"',
        "UPLOAD",
    ):
        assert rest in masked, rest


@pytest.mark.parametrize(
    "page",
    [
        '<a href="/logout?ck=Ab3d">',
        '<input value="Ab3d">',
        '{"ck": "Ab3d"}',
        r"{\"ck\": \"Ab3d\"}",
        r"{\"token\":\"s3cr3t\"}",
    ],
)
def test_short_tokens_and_escaped_ones_are_masked_where_they_stand_after_a_name(page: str) -> None:
    masked = redaction.redact_html(page, ["Ab3d"])
    assert "Ab3d" not in masked and "s3cr3t" not in masked and redaction.MASK in masked
    assert redaction.redact_html("<p>The Ab3d of it</p>", ["Ab3d"]) == "<p>The Ab3d of it</p>"


def test_queries_and_fragments_of_addresses_are_not_shown() -> None:
    told = f"see <{SIGNED}>, https://weibo.example/#access_token=secret-1, and https://weibo.example/u/7."
    shown = "see <https://scontent.example/v/1_n.jpg?[masked]>, https://weibo.example/#[masked] and https://weibo.example/u/7."
    assert redaction.redact_urls(told) == redaction.redact_urls(shown) == shown


def test_a_sites_own_words_are_kept_and_told_without_its_secrets(project, tmp_path_factory, monkeypatch) -> None:
    secret = SIGNED.partition("oh=")[2]
    assert secret not in SubmitFailed("weibo: the page stays.", f"No: {SIGNED}").message
    refusal = {"ret": False, "msg": f'Not this one: {SIGNED} token="secret-1"'}
    monkeypatch.setattr(weibo.Sandbox, "take_upload", lambda *_: JSONResponse(refusal))
    with sandbox.serve("weibo", state=tmp_path_factory.mktemp("site")) as origin:
        said = [run(PLAIN, command, "--platform", "weibo", "--origin", origin) for command in ("collect", "doctor")]
    assert "0 of 2 images have their round trip" in said[0] and "Not this one: " in said[1]
    assert secret not in "".join(said) and "secret-1" not in "".join(said)
    assert found({secret, "secret-1"}, project) == set()
    rows = (project / "data/round_trips/weibo/manifest.jsonl").read_text().splitlines()
    words = 'Not this one: https://scontent.example/v/1_n.jpg?[masked] token="[masked]"'
    assert [json.loads(row)["rejected"] for row in rows] == [words, words]
