"""What the site answers of the files of a batch: which have arrived, and when nothing may be published."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

import params
from collect.browser.launch import launch_browser
from collect.browser.page import read_alerts, read_property
from collect.browser.recorder import RECORDER_SCRIPT, read_recorded
from collect.browser.responses import (
    Answer,
    Response,
    check_file_count,
    expect_responses,
    parse_answer,
    read_file_responses,
)
from collect.errors import CaptchaRequired, NotSignedIn, PageChanged, RateLimited, TransientError
from collect.platform import Site, load_platform

SETTINGS = params.load(Path(__file__).parents[3] / "params.yaml")
FILES = [Path("000.png"), Path("001.png"), Path("002.png")]


@pytest.fixture
def site() -> Site:
    adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin="http://127.0.0.1:9")
    assert isinstance(adapter, Site)
    return adapter


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch_browser(playwright, site)
        page = browser.new_page()
        page.set_default_timeout(5_000)
        yield page
        browser.close()


def good(site: Site, file: str) -> Response:
    return Response(site, 200, json.dumps({"ret": True, "of": file}), file=file)


def test_what_failed_is_left_out_and_the_rest_is_told_by_position(site: Site) -> None:
    answers = [good(site, "002.png"), Response(site, 503, file="000.png"), good(site, "001.png")]
    assert {position: told["of"] for position, told in read_file_responses(answers, FILES).items()} == {
        1: "001.png",
        2: "002.png",
    }
    cut = Response(site, 0, file="000.png")
    assert sorted(read_file_responses([cut, *answers[::2]], FILES)) == [1, 2]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (503, "", TransientError),
        (418, "", RateLimited),
        (403, "", NotSignedIn),
        (200, "<p>请输入验证码</p>", CaptchaRequired),
        (200, "<p>another page</p>", RateLimited),
    ],
)
def test_what_is_no_ones_own_trouble_stops_the_batch(site: Site, status: int, text: str, kind: type) -> None:
    bad = Response(site, status, text, file="000.png", retry_after="120")
    with pytest.raises(kind) as stopped:
        read_file_responses([good(site, "001.png"), good(site, "002.png"), bad], FILES)
    assert not isinstance(stopped.value, TransientError) or stopped.value.retry_after_s == 120


def test_a_block_page_in_the_place_of_data_is_told_with_the_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(site), "block_marks", ("too often",))
    with pytest.raises(RateLimited, match="a block page") as turned_away:
        Response(site, 200, "<p>too often</p>", retry_after="120").json()
    assert turned_away.value.retry_after_s == 120


def test_data_that_are_nested_without_end_are_no_data(site: Site) -> None:
    with pytest.raises(RateLimited, match="no data"):
        Response(site, 200, '{"a":' * 100_000).json()


class Photo(Answer):
    id: str
    sizes: tuple[str, ...] = ()


def test_data_are_read_by_the_form_that_is_expected(site: Site) -> None:
    assert parse_answer(site, {"id": 10**17, "more": None}, Photo).id == str(10**17)
    for content, wrong in (({}, "id: Field required"), ([], "valid dictionary"), ({"id": "1", "sizes": 3}, "sizes: ")):
        with pytest.raises(PageChanged, match=rf"not as collect/platforms/weibo\.py expects: .*{wrong}"):
            parse_answer(site, content, Photo)


@pytest.mark.browser
@pytest.mark.parametrize("record", ["[7]", "'no list'", "[['/upload', null, 'OK', '', null, '']]", "{slice: () => 7}"])
def test_a_record_that_a_page_has_spoilt_is_a_changed_page(site: Site, page: Page, record: str) -> None:
    page.set_content(f"<script>window.comreadvAnswers = {record}</script>")
    with pytest.raises(PageChanged, match="changed the record"):
        read_recorded(site, page)


@pytest.mark.browser
def test_properties_that_are_no_text_are_a_changed_page(site: Site, page: Page) -> None:
    page.set_content("<a href='/1'>1</a><svg><a href='/2'>2</a></svg><svg role=alert><text>no text</text></svg>")
    assert read_property(site, page.locator("body > a"), "text") == ["1"]
    assert read_property(site, page.locator("b"), "href") == read_alerts(page) == []
    for selector, name in (("a", "href"), ("svg", "src")):
        with pytest.raises(PageChanged, match=f"no {name}"):
            read_property(site, page.locator(selector), name)


def test_when_all_fail_that_is_told(site: Site) -> None:
    with pytest.raises(TransientError, match="HTTP 502"):
        read_file_responses([Response(site, 502, file=file.name) for file in FILES], FILES)


def test_a_file_that_was_sent_twice_stands_for_no_other(site: Site) -> None:
    answers = [Response(site, 503, file="000.png"), good(site, "001.png"), good(site, "000.png")]
    with pytest.raises(TransientError, match="sent a file twice"):
        read_file_responses(answers, FILES)
    with pytest.raises(PageChanged):
        read_file_responses([Response(site, 200, "{}", file=None)] * 3, FILES)


@pytest.mark.browser
def test_a_page_that_sends_a_file_again_by_itself_is_not_made_to_publish(site: Site, page: Page) -> None:
    page.set_content(
        "<i title='删除'>x</i><button disabled>Send</button><script>setTimeout(() => {"
        " document.querySelector('i').after(document.querySelector('i').cloneNode(true));"
        " document.querySelector('button').disabled = false; }, 300)</script>"
    )
    shown, button = page.get_by_title("删除"), page.get_by_role("button")
    with pytest.raises(TransientError, match="Nothing of the batch was published"):
        check_file_count(site, {0: "a"}, shown, button)
    check_file_count(site, {0: "a", 2: "b"}, shown, button)


@pytest.mark.browser
def test_a_page_that_stops_after_a_failed_file_is_told_as_the_servers_trouble(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collect.browser.responses.RESPONSE_TIMEOUT_S", 0.0)
    monkeypatch.setattr("collect.browser.responses.FILE_TIMEOUT_S", 0.3)
    page.set_content("<script>window.comreadvAnswers = []</script>")
    with pytest.raises(TransientError, match="HTTP 503") as stopped, expect_responses(site, page, "/upload", 3):
        page.evaluate("comreadvAnswers.push(['/beacon', null, 204, '', null, ''])")  # nobody waits for this one
        page.evaluate("comreadvAnswers.push(['/upload', '000.png', 503, '', '7', ''])")
    assert stopped.value.retry_after_s == 7


OPEN = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
ELSEWHERE = {  # what another origin answers to an upload: status and headers
    "429-withheld": (429, {"Retry-After": "3600"}),
    "429-of-which-the-wait-is-withheld": (429, {"Retry-After": "3600", **OPEN}),
    "418-before-the-upload": (204, {}),
    "503": (503, {"Retry-After": "3600"}),
    "captcha": (302, {"Location": "/signin/captcha?ticket=s3cret"}),
    "captcha-led-to": (302, {"Location": "/signin/captcha?ticket=s3cret", **OPEN}),
    "page": (200, {"Content-Type": "text/html"}),
    "403": (403, {}),
    "cut-off": (200, OPEN),
}
UPLOAD = """([address, names]) => {
  for (const name of names) {
    const request = new XMLHttpRequest();
    request.open('POST', address);
    request.upload.onprogress = () => {};
    request.send(new File(['photo'], name, { type: 'image/png' }));
  }
}"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Serve ELSEWHERE on a port, to 127.0.0.1 and to localhost, which is another origin."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, headers: dict[str, str], length: int = 0) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(length)} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def do_OPTIONS(self) -> None:
            if "before-the-upload" in self.path:
                self.answer(418, {"Retry-After": "3600"})
            else:
                self.answer(204, OPEN)

        def do_GET(self) -> None:
            self.answer(200, {"Content-Type": "text/html"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.rpartition("/")[2]
            self.answer(*ELSEWHERE[kind], 1000 if kind == "cut-off" else 0)
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield http.server_port
        http.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("kind", "trouble", "wait"),
    [
        ("429-withheld", RateLimited, 3600),
        ("429-of-which-the-wait-is-withheld", RateLimited, 3600),
        ("418-before-the-upload", RateLimited, 3600),
        ("503", TransientError, 3600),
        ("captcha", CaptchaRequired, None),
        ("captcha-led-to", CaptchaRequired, None),
        ("page", RateLimited, None),
        ("403", NotSignedIn, None),
        ("cut-off", TransientError, None),
    ],
)
def test_what_another_origin_answers_is_known_though_the_page_may_not_read_it(
    site: Site, page: Page, elsewhere: int, kind: str, trouble: type, wait: float | None, monkeypatch
) -> None:
    monkeypatch.setattr(type(site), "is_live", True)
    page.add_init_script(RECORDER_SCRIPT)
    page.goto(f"http://127.0.0.1:{elsewhere}/")
    with expect_responses(site, page, "/upload/", len(FILES)) as answers:
        page.evaluate(UPLOAD, [f"http://localhost:{elsewhere}/upload/{kind}", [each.name for each in FILES]])
    with pytest.raises(trouble) as told:
        read_file_responses(answers, FILES)
    assert type(told.value) is trouble
    assert not isinstance(told.value, TransientError) or told.value.retry_after_s == wait
    assert "s3cret" not in str(told.value)


@pytest.mark.browser
def test_one_answer_that_is_withheld_tells_of_the_whole_batch(
    site: Site, page: Page, elsewhere: int, monkeypatch
) -> None:
    monkeypatch.setattr(type(site), "is_live", True)
    monkeypatch.setattr("collect.browser.responses.RESPONSE_TIMEOUT_S", 0.0)
    monkeypatch.setattr("collect.browser.responses.FILE_TIMEOUT_S", 0.5)
    page.add_init_script(RECORDER_SCRIPT)
    page.goto(f"http://127.0.0.1:{elsewhere}/")
    with pytest.raises(RateLimited) as told, expect_responses(site, page, "/upload/", 3):  # and the third never comes
        for kind, name in (("cut-off", "000.png"), ("429-withheld", "001.png")):
            page.evaluate(UPLOAD, [f"http://localhost:{elsewhere}/upload/{kind}", [name]])
    assert told.value.retry_after_s == 3600
