"""A page is the page that was asked for, or what is amiss is told, in the words that decide what comes next."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import JSHandle, Page, sync_playwright

from collect.browser import navigation
from collect.browser.blocking import check_marks, check_status
from collect.browser.launch import launch_browser
from collect.browser.navigation import expect_arrival, visit
from collect.browser.page import evaluate
from collect.browser.recorder import RECORDER_SCRIPT
from collect.browser.traffic import Traffic
from collect.errors import CaptchaRequired, NotSignedIn, RateLimited, SubmitFailed, TransientError
from collect.platform import Site, load_platform
from params import PlatformRow

ORIGIN = "http://127.0.0.1:1"


def adapter(origin: str = ORIGIN) -> Site:
    site = load_platform("weibo", PlatformRow(adapter="weibo"), origin=origin)
    assert isinstance(site, Site)
    return site


@pytest.mark.parametrize(
    ("site", "address", "for_guests"),
    [
        ("weibo", "https://passport.weibo.com/visitor/visitor?entry=miniblog&url=x", True),
        ("weibo", "https://weibo.com/newlogin?tabtype=weibo", True),
        ("weibo", "https://weibo.com/u/1?from=/newlogin", False),
        ("facebook", "https://www.facebook.com/login?next=x", True),
        ("facebook", "https://www.facebook.com/login/device-based/regular/login/", True),
        ("facebook", "https://www.facebook.com/login/save-device/", False),  # somebody who has just signed in
        ("facebook", "https://www.facebook.com/login.php?next=https%3A%2F%2Fwww.facebook.com%2F", True),
        ("facebook", "https://www.facebook.com/login/?next=x", True),
        ("facebook", "https://www.facebook.com/me/photos_albums", False),
    ],
)
def test_where_a_site_sends_its_guests_is_known(site: str, address: str, for_guests: bool) -> None:
    platform = load_platform(site, PlatformRow(adapter=site))
    assert isinstance(platform, Site)
    assert platform.is_for_guests(address) is for_guests


@pytest.mark.parametrize("status", [418, 420, 429])
def test_a_status_that_asks_for_less_is_told_with_the_wait(status: int) -> None:
    with pytest.raises(RateLimited, match=f"HTTP {status}") as caught:
        check_status(adapter(), status, "", "12")
    assert caught.value.retry_after_s == 12


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_servers_own_trouble_is_no_turning_away(status: int) -> None:
    with pytest.raises(TransientError, match=f"HTTP {status}") as caught:
        check_status(adapter(), status, "", "12")
    assert not isinstance(caught.value, RateLimited)
    assert caught.value.retry_after_s == 12
    with pytest.raises(TransientError) as caught:
        check_status(adapter(), status, "")
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [200, 204, 302, 304, 404])
def test_other_statuses_pass(status: int) -> None:
    check_status(adapter(), status, f"{ORIGIN}/u/7", "12")


def test_a_mark_in_the_address_or_the_text_wants_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    site = adapter()
    for where, text in (("https://weibo.com/signin/captcha?t=s3cret", ""), ("", "<p>请输入验证码</p>")):
        with pytest.raises(CaptchaRequired, match="asks for a person") as caught:
            check_marks(site, where, text)
        assert not isinstance(caught.value, TransientError)  # nobody tries again
        assert "s3cret" not in caught.value.message
    monkeypatch.setattr(type(site), "block_marks", ("too often",))
    with pytest.raises(RateLimited, match="block page") as turned_away:
        check_marks(site, "", "you come too often", "12")
    assert turned_away.value.retry_after_s == 12
    check_marks(site, "https://weibo.com/", "<p>hello</p>")


PAGES = {  # path → status, body, headers
    "/fine": (200, "<p>fine</p>", {}),
    "/captcha": (200, "<p>请输入验证码</p>", {}),
    "/signin/captcha": (200, "<p>hello</p>", {}),
    "/to-captcha": (302, "", {"Location": "/signin/captcha?ticket=s3cret"}),
    "/to-sign-in": (302, "", {"Location": "/sso/signin?ticket=s3cret"}),
    "/to-guests": (302, "", {"Location": "/newlogin?url=s3cret"}),
    "/newlogin": (200, "<p>What people talk about</p>", {}),
    "/sso/signin": (200, "<p>who are you?</p>", {}),
    "/blocked": (200, "<p>too often</p>", {"Retry-After": "3600"}),
    "/blocked-form": (200, '<form action="/blocked" method="post"><button>Go</button></form>', {}),
    "/data-form": (
        200,
        "<script>comreadvAnswers = []</script><button onclick=\"fetch('/blocked', {method: 'POST'})\">Go</button>",
        {},
    ),
    "/busy": (429, "<p>later</p>", {"Retry-After": "3600"}),
    "/broken": (503, "<p>sorry</p>", {"Retry-After": "3600"}),
    "/form": (200, '<form action="/done" method="post"><button>Go</button></form>', {}),
    "/slow-form": (200, "<button onclick=\"setTimeout(() => location.assign('/done'), 1500)\">Go</button>", {}),
    "/guest-form": (200, '<form action="/newlogin" method="post"><button>Go</button></form>', {}),
    "/alert-form": (
        200,
        "<p role=alert>Old\nnews</p><p role=alert></p><p role=alert id=new></p>"
        "<button onclick=\"document.querySelector('#new').innerHTML = 'Too<br>dull'\">Go</button>",
        {},
    ),
    "/captcha-form": (
        200,
        "<p></p><button onclick=\"document.querySelector('p').innerText = '\\u8bf7输入验证码'\">Go</button>",
        {},
    ),
    "/bad-form": (200, '<form action="/broken" method="post"><button>Go</button></form>', {}),
    "/forbidden": (403, "<p>who are you?</p>", {}),
    "/forbidden-form": (200, '<form action="/forbidden" method="post"><button>Go</button></form>', {}),
    "/cut-form": (200, '<form action="/cut" method="post"><button>Go</button></form>', {}),
    "/done": (200, "<p>done</p>", {}),
    "/slow": (200, "<p>slow</p>", {}),
    "/in-flight": (
        200,
        "<button onclick=\"fetch('/hang', {method: 'POST'}); navigator.sendBeacon('/hang');"
        "setTimeout(() => location.assign('/slow'), 300)\">Go</button>",
        {},
    ),
    "/frames": (
        200,
        "<button onclick=\"document.body.innerHTML = '<iframe src=http://127.0.0.1:1/></iframe><iframe src=/cut>';"
        "setTimeout(() => location.assign('/slow'), 500)\">Go</button>",
        {},
    ),
    "/frames-form": (
        200,
        "<button>Go</button><script>document.querySelector('button').onclick = () => {"
        "document.body.append(Object.assign(document.createElement('iframe'), {src: '/busy'}));"
        "fetch(location.search.slice(1) + '/busy', {method: 'POST', mode: 'no-cors'});"
        "navigator.sendBeacon('/busy');"
        "setTimeout(() => location.assign('/done'), 500)}</script>",
        {},
    ),
    "/own-busy-form": (200, "<button onclick=\"fetch('/busy', {method: 'POST'})\">Go</button>", {}),
    "/json": (200, ' {"album": "/done"}', {}),
    "/json-form": (
        200,
        "<button onclick=\"fetch('/json', {method: 'POST'}).then((answer) => answer.json())"
        '.then((told) => setTimeout(() => location.assign(told.album), 300))">Go</button>',
        {},
    ),
    "/json-app": (
        200,
        "<button onclick=\"fetch('/json', {method: 'POST'}).then((answer) => answer.json())"
        ".then((told) => history.pushState(null, '', told.album))\">Go</button>",
        {},
    ),
    "/json-stays": (200, "<button onclick=\"fetch('/json', {method: 'POST'})\">Go</button>", {}),
    "/page-form": (200, "<button onclick=\"fetch('/blocked', {method: 'POST'})\">Go</button>", {}),
    "/typed-form": (
        200,
        '<button onclick="const asked = new XMLHttpRequest();'
        "asked.open('POST', '/blocked'); asked.responseType = 'json'; asked.send()\">Go</button>",
        {},
    ),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Serve PAGES; /cut breaks off in the middle, /once answers with 500 the first time.

    /hang does not answer, and /slow is late.
    """
    with serve() as address:
        yield address


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Serve PAGES from another origin."""
    with serve() as address:
        yield address


@contextlib.contextmanager
def serve() -> Iterator[str]:
    seen: list[str] = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            seen.append(path)
            if path == "/hang":
                ended.wait()
            status, body, headers = PAGES.get(path, (404, "", {}))
            if path == "/once":
                status, body = (500, "") if seen.count(path) % 2 else (200, "<p>at last</p>")
            whole = body.encode() if path != "/cut" else b"<p>half" + bytes(5000)
            self.send_response(status if path != "/cut" else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(whole) + (1000 if path == "/cut" else 0)))
            for name, content in headers.items():
                self.send_header(name, content)
            self.end_headers()
            if path == "/slow":
                time.sleep(0.3)
            self.wfile.write(whole)
            self.close_connection = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        ended.set()
        http.shutdown()


@pytest.fixture(scope="module")
def page(origin: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch_browser(playwright, adapter(origin))
        opened = browser.new_page()
        opened.set_default_timeout(8_000)
        yield opened
        browser.close()


@pytest.mark.browser
def test_a_page_that_is_whole_is_visited(page: Page, origin: str) -> None:
    assert visit(adapter(origin), page, f"{origin}/fine").status == 200
    assert page.inner_text("p") == "fine"
    assert visit(adapter(origin), page, f"{origin}/once").status == 200
    assert page.inner_text("p") == "at last"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/captcha", CaptchaRequired),
        ("/to-captcha", CaptchaRequired),
        ("/to-sign-in", NotSignedIn),
        ("/to-guests", NotSignedIn),
        ("/busy", RateLimited),
        ("/broken", TransientError),
        ("/cut", TransientError),
    ],
)
def test_a_page_that_is_not_the_page_is_told(page: Page, origin: str, path: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        visit(adapter(origin), page, f"{origin}{path}?ticket=s3cret")
    assert type(caught.value) is kind
    assert "s3cret" not in str(caught.value)
    if path in ("/busy", "/broken"):
        assert isinstance(caught.value, TransientError)
        assert caught.value.retry_after_s == 3600


@pytest.mark.browser
@pytest.mark.parametrize(("marks", "said"), [(("too often",), "a block page"), ((), "a page where data should be")])
def test_a_page_that_turns_away_with_http_200_is_told_with_the_wait(page, origin, marks, said, monkeypatch) -> None:
    site = adapter(origin)
    monkeypatch.setattr(navigation, "PAGE_TIMEOUT_S", 3.0)  # in which a text that nobody has kept may still lead on
    monkeypatch.setattr(type(site), "block_marks", marks)
    for path in ("/blocked", "/blocked-form") if marks else ("/data-form",):
        with pytest.raises(RateLimited, match=said) as caught:
            visit(site, page, f"{origin}{path}")
            with expect_arrival(site, page, re.compile("/(blocked|done)$")):
                page.get_by_role("button").click()
        assert caught.value.retry_after_s == 3600


@pytest.mark.browser
def test_a_server_that_is_not_there_is_an_interruption(page: Page) -> None:
    with pytest.raises(TransientError, match=r"did not load|was cut") as caught:
        visit(adapter(), page, f"{ORIGIN}/?ticket=s3cret")
    assert "s3cret" not in caught.value.message


@pytest.mark.browser
@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("/bad-form", TransientError),
        ("/cut-form", TransientError),
        ("/guest-form", NotSignedIn),
        ("/forbidden-form", NotSignedIn),
    ],
)
def test_where_a_form_leads_is_seen_to(page: Page, origin: str, form: str, kind: type[Exception]) -> None:
    site = adapter(origin)
    visit(site, page, f"{origin}/form")
    with expect_arrival(site, page, re.compile("/done$")):
        page.get_by_role("button").click()
    assert page.inner_text("p") == "done"
    visit(site, page, f"{origin}{form}")
    with pytest.raises(kind), expect_arrival(site, page, re.compile("/done$")):
        page.get_by_role("button").click()


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/in-flight", "/frames"])
def test_what_a_page_leaves_unfinished_and_what_its_frames_meet_is_not_its_own(page, origin, path: str) -> None:
    site = adapter(origin)
    visit(site, page, f"{origin}{path}")
    with expect_arrival(site, page, re.compile("/slow$")):
        page.get_by_role("button").click()
    assert page.inner_text("p") == "slow"


@pytest.mark.browser
def test_others_that_turn_away_a_page_on_its_way_are_not_the_site(page: Page, origin: str, elsewhere: str) -> None:
    site = adapter(origin)
    visit(site, page, f"{origin}/frames-form?{elsewhere}")
    with expect_arrival(site, page, re.compile("/done$")):
        page.get_by_role("button").click()
    assert page.inner_text("p") == "done"
    visit(site, page, f"{origin}/own-busy-form")
    with pytest.raises(RateLimited, match="429"), expect_arrival(site, page, re.compile("/done$")):
        page.get_by_role("button").click()


@pytest.fixture
def keeping(page: Page) -> Iterator[Page]:
    """Open a page that keeps the answers which its scripts read."""
    opened = page.context.browser.new_page()
    opened.set_default_timeout(8_000)
    opened.add_init_script(RECORDER_SCRIPT)
    yield opened
    opened.close()


@pytest.mark.browser
def test_data_that_are_sent_as_a_page_turn_nobody_away(keeping: Page, origin: str, monkeypatch) -> None:
    site = adapter(origin)
    for path in ("/json-form", "/json-app"):
        visit(site, keeping, f"{origin}{path}")
        with expect_arrival(site, keeping, re.compile("/done$")):
            keeping.get_by_role("button").click()
    monkeypatch.setattr(navigation, "PAGE_TIMEOUT_S", 1.0)
    visit(site, keeping, f"{origin}/json-stays")
    with pytest.raises(SubmitFailed), expect_arrival(site, keeping, re.compile("/done$")):
        keeping.get_by_role("button").click()


@pytest.mark.browser
def test_a_page_where_data_should_be_is_told_by_its_text(keeping: Page, origin: str, monkeypatch) -> None:
    site = adapter(origin)
    check_data, stayed = Traffic.check_data, list[bool]()

    def noted(traffic: Traffic, *, stays: bool = False) -> None:
        stayed.append(stays)
        check_data(traffic, stays=stays)

    monkeypatch.setattr(Traffic, "check_data", noted)
    for path, whole, once_it_stays in (("/page-form", 30.0, False), ("/typed-form", 1.0, True)):
        monkeypatch.setattr(navigation, "PAGE_TIMEOUT_S", whole)
        stayed.clear()
        visit(site, keeping, f"{origin}{path}")
        turned_away = pytest.raises(RateLimited, match="data should be")
        with turned_away as caught, expect_arrival(site, keeping, re.compile("/done$")):
            keeping.get_by_role("button").click()
        assert caught.value.retry_after_s == 3600
        assert stayed[-1] == once_it_stays and not any(stayed[:-1])


@pytest.mark.browser
def test_a_page_that_stays_is_told_with_what_it_says_since(page: Page, origin: str, monkeypatch) -> None:
    monkeypatch.setattr(navigation, "PAGE_TIMEOUT_S", 0.5)
    site = adapter(origin)
    for form, kind in (("/alert-form", SubmitFailed), ("/captcha-form", CaptchaRequired)):
        visit(site, page, f"{origin}{form}")
        with pytest.raises(kind) as caught, expect_arrival(site, page, re.compile("/done$")):
            page.get_by_role("button").click()
        if form == "/alert-form":
            assert caught.value.site_message == "Too dull"
            assert str(caught.value).endswith("stays at /alert-form instead of going on. It says: Too dull")


@pytest.mark.browser
def test_files_that_go_up_over_a_real_line_have_their_time(page: Page, origin: str, monkeypatch) -> None:
    monkeypatch.setattr(navigation, "PAGE_TIMEOUT_S", 0.5)
    for live, kind in ((False, pytest.raises(SubmitFailed)), (True, contextlib.nullcontext())):
        site = adapter(origin)
        monkeypatch.setattr(type(site), "is_live", live)
        visit(site, page, f"{origin}/slow-form")
        with kind, expect_arrival(site, page, re.compile("/done$"), files=1):
            page.get_by_role("button").click()


@pytest.mark.browser
def test_what_a_page_takes_away_with_it_is_asked_of_the_next_one(page: Page, origin: str, monkeypatch) -> None:
    read, reads = JSHandle.json_value, []

    def read_too_late(handle: JSHandle) -> object:
        reads.append(handle)
        if len(reads) == 1:
            page.goto(f"{origin}/done")
        return read(handle)

    visit(adapter(origin), page, f"{origin}/fine")
    monkeypatch.setattr(JSHandle, "json_value", read_too_late)
    assert evaluate(page, "document.body.innerText") == "done"
    assert len(reads) == 2
