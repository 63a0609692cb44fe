"""A download is the file as served, or an error; nothing half, nothing else, passes for it."""

import gzip
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from collect.browser import downloader
from collect.browser.blocking import parse_retry_after
from collect.browser.downloader import Downloader, find_body_problem
from collect.errors import AddressExpired, CaptchaRequired, RateLimited, TransientError
from collect.platform import Site, load_platform
from params import PlatformRow, UserError


def encoded(kind: str, image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or Image.radial_gradient("L").resize((64, 64)).convert("RGB")).save(buffer, kind)
    return buffer.getvalue()


JPEG = encoded("JPEG")
CHUNK = 1 << 16  # what is read at once; less than that is lost when the connection is cut


def noise(seed: int, height: int) -> bytes:
    """Encode so many rows of 900 bytes each, which no codec makes smaller."""
    return encoded(
        "PNG", Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, 300, 3), dtype=np.uint8))
    )


FIRST, SECOND = noise(1, 500), noise(2, 500)


@dataclass(frozen=True)
class Answer:
    """What the server says; `cut`: the connection ends after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Answering = Answer | Callable[[Mapping[str, str]], Answer]


def ranged(body: bytes, etag: str, cut: int | None = None) -> Callable[[Mapping[str, str]], Answer]:
    """Answer as a server does that knows Range and If-Range."""

    def answer(asked: Mapping[str, str]) -> Answer:
        about = {"ETag": etag}
        if "Range" not in asked or asked.get("If-Range", etag) != etag:
            return Answer(200, body, about, cut)
        start = int(asked["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return Answer(416, b"", about)
        about["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Answer(206, body[start:], about, cut)

    return answer


@contextmanager
def server(*answers: Answering) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve the answers in turn, the last one from then on; tell the headers of each request."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append({"path": self.path, **self.headers})
            answer = answers[min(len(asked), len(answers)) - 1]
            if not isinstance(answer, Answer):
                answer = answer(asked[-1])
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | dict(answer.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, clock) -> None:
    monkeypatch.setattr(downloader, "time", clock)


def fetch(origin: str, destination: Path, **cookie: object) -> None:
    site = load_platform("weibo", PlatformRow(adapter="weibo"), origin=origin)
    assert isinstance(site, Site)
    cookies = [{"name": "SUB", "value": "s3cret", "domain": "127.0.0.1", "path": "/"} | cookie]
    Downloader(site, cookies=cookies, headers={"Referer": "https://weibo.com/", "Accept": "image/webp"}).fetch(
        f"{origin}/large/1.jpg?oh=s1gnature", destination
    )


def tells_no_secret(error: UserError) -> bool:
    return "s1gnature" not in error.message and "s3cret" not in error.message


def test_bytes_are_kept_as_served_and_asked_for_as_a_browser_does(tmp_path: Path) -> None:
    with server(Answer(200, JPEG)) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == JPEG
    assert {key: asked[0].get(key) for key in ("path", "Referer", "Accept", "Cookie", "Range")} == {
        "path": "/large/1.jpg?oh=s1gnature",
        "Referer": "https://weibo.com/",
        "Accept": "image/webp",
        "Cookie": "SUB=s3cret",
        "Range": None,
    }
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("cookie", [{"secure": True}, {"domain": "weibo.com"}, {"path": "/other"}])
def test_a_cookie_goes_only_where_a_browser_sends_it(tmp_path: Path, cookie: dict[str, object]) -> None:
    with server(Answer(200, JPEG)) as (origin, asked):
        fetch(origin, tmp_path / "file", **cookie)
    assert "Cookie" not in asked[0]


@pytest.mark.parametrize("status", [408, 418, 420, 429, 500, 502, 503])
def test_a_passing_fault_is_tried_again(tmp_path: Path, status: int, clock) -> None:
    with server(Answer(status), Answer(status), Answer(200, JPEG)) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert len(asked) == 3
    assert len(clock.slept) == 2
    assert (tmp_path / "file").read_bytes() == JPEG


def test_a_lasting_fault_is_told_in_the_end(tmp_path: Path) -> None:
    with server(Answer(503)) as (origin, asked), pytest.raises(TransientError, match="HTTP 503"):
        fetch(origin, tmp_path / "file")
    assert len(asked) == downloader.MAX_ATTEMPTS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_site_asks_to_wait_is_waited(tmp_path: Path, status: int, clock) -> None:
    with server(Answer(status, headers={"Retry-After": "7"}), Answer(200, JPEG)) as (origin, _):
        fetch(origin, tmp_path / "file")
    assert clock.slept == [7]


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, TransientError)])
def test_a_long_wait_is_the_collectors_affair(tmp_path: Path, status: int, kind: type[TransientError], clock) -> None:
    with server(Answer(status, headers={"Retry-After": "3600"})) as (origin, asked), pytest.raises(kind) as caught:
        fetch(origin, tmp_path / "file")
    assert caught.value.retry_after_s == 3600
    assert (len(asked), clock.slept) == (1, [])


@pytest.mark.parametrize("status", [200, 403])
def test_a_block_page_is_told_with_the_wait(tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collect.platforms.weibo.Weibo.block_marks", ("too often",))
    answer = Answer(status, b"<p>too often</p>", {"Retry-After": "3600"})
    with server(answer) as (origin, asked), pytest.raises(RateLimited, match="a block page") as caught:
        fetch(origin, tmp_path / "file")
    assert (caught.value.retry_after_s, len(asked)) == (3600, 1)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_address_that_serves_nothing_any_more_is_gone_at_once(tmp_path: Path, status: int) -> None:
    with (
        server(Answer(status, b"no")) as (origin, asked),
        pytest.raises(AddressExpired, match=f"HTTP {status}") as caught,
    ):
        fetch(origin, tmp_path / "file")
    assert len(asked) == 1
    assert tells_no_secret(caught.value)
    assert list(tmp_path.iterdir()) == []


CAPTCHA = "<html>请输入验证码</html>".encode()


@pytest.mark.parametrize("answer", [Answer(200, CAPTCHA), Answer(200, b"\xef\xbb\xbf" + CAPTCHA), Answer(403, CAPTCHA)])
def test_a_page_that_wants_a_person_stops_at_once(tmp_path: Path, answer: Answer) -> None:
    with server(answer) as (origin, asked), pytest.raises(CaptchaRequired) as caught:
        fetch(origin, tmp_path / "file")
    assert len(asked) == 1
    assert tells_no_secret(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_way_to_where_a_person_is_wanted_stops_at_once(tmp_path: Path) -> None:
    away = Answer(302, headers={"Location": "/signin/captcha?from=s1gnature"})
    with server(away, Answer(200, b"<html>hello</html>")) as (origin, asked), pytest.raises(CaptchaRequired) as caught:
        fetch(origin, tmp_path / "file")
    assert len(asked) == 2
    assert tells_no_secret(caught.value)


def bomb(side: int) -> bytes:
    return encoded("PNG", Image.new("1", (side, side)))


REFUSED = {
    "denied": (Answer(400, b"no"), "HTTP 400"),
    "empty": (Answer(200, b""), "an empty answer"),
    "page": (Answer(200, b" <html>sorry</html>"), "a page instead of an image"),
    "marked page": (Answer(200, b"\xef\xbb\xbf<html>sorry</html>"), "a page instead of an image"),
    "truncated JPEG": (Answer(200, JPEG[:-40]), "not an image that can be decoded"),
    "truncated PNG": (Answer(200, encoded("PNG")[:-40]), "not an image that can be decoded"),
    "truncated WebP": (Answer(200, encoded("WEBP")[:-10]), "not an image that can be decoded"),
    "nearly": (Answer(200, b"GIF89a, nearly"), "not an image that can be decoded"),
    "data": (Answer(200, b'{"error": "later"}'), "not an image that can be decoded"),
    "no site's kind": (Answer(200, encoded("PCX")), "not an image that can be decoded"),
    "bomb": (Answer(200, bomb(9_000)), "more than 80,000,000 pixels"),
    "large bomb": (Answer(200, bomb(14_000)), "not an image that can be decoded"),
    "another part": (Answer(206, JPEG, {"Content-Range": "bytes 5-9/10"}), "another part of the file"),
    "unasked part": (Answer(206, JPEG, {"Content-Range": "bytes 0-9/10"}), "another part of the file"),
    "cut": (Answer(200, JPEG, cut=300), "was cut off"),
    "cut at once": (Answer(200, JPEG, cut=0), "was cut off"),
    "round and round": (Answer(302, headers={"Location": "/?oh=s1gnature"}), "was cut off"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_whole_image_is_refused_without_telling_secrets(tmp_path: Path, answer: Answer, said: str) -> None:
    with server(answer) as (origin, _), pytest.raises(TransientError) as caught:
        fetch(origin, tmp_path / "file")
    assert said in caught.value.message
    assert "/large/1.jpg" in caught.value.message
    assert tells_no_secret(caught.value)
    assert not (tmp_path / "file").exists()


def test_a_server_that_is_gone_is_told_without_secrets(tmp_path: Path) -> None:
    with server(Answer()) as (origin, _):
        pass
    with pytest.raises(TransientError, match="cut off") as caught:
        fetch(origin, tmp_path / "file")
    assert tells_no_secret(caught.value)


def test_what_is_too_large_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloader, "MAX_FILE_BYTES", 1 << 20)
    seen: list[int] = []

    def problem(body: bytes) -> str | None:
        seen.append(len(body))
        return find_body_problem(body)

    monkeypatch.setattr(downloader, "find_body_problem", problem)
    with (
        server(Answer(200, JPEG + bytes(8 << 20))) as (origin, _),
        pytest.raises(TransientError, match="more than 1 MB"),
    ):
        fetch(origin, tmp_path / "file")
    assert max(seen) <= (1 << 20) + CHUNK
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_was_cut_goes_on_from_there(tmp_path: Path) -> None:
    with server(ranged(FIRST, '"v1"', cut=2 * CHUNK + 9), ranged(FIRST, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [(each.get("Range"), each.get("If-Range")) for each in asked] == [
        (None, None),
        (f"bytes={2 * CHUNK}-", '"v1"'),
    ]
    assert (tmp_path / "file").read_bytes() == FIRST
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_download_that_was_cut_goes_on_after_a_restart(tmp_path: Path) -> None:
    with server(ranged(FIRST, '"v1"', cut=CHUNK)) as (origin, asked), pytest.raises(TransientError):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == [
        None,
        *(f"bytes={place}-" for place in range(CHUNK, 5 * CHUNK, CHUNK)),
    ]
    with server(ranged(FIRST, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == [f"bytes={5 * CHUNK}-"]
    assert (tmp_path / "file").read_bytes() == FIRST
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_file_that_has_changed_since_it_was_cut_is_fetched_anew(tmp_path: Path) -> None:
    with server(
        ranged(FIRST, '"v1"', cut=2 * CHUNK + 9), ranged(SECOND, '"v2"', cut=CHUNK), ranged(SECOND, '"v2"')
    ) as (
        origin,
        asked,
    ):
        fetch(origin, tmp_path / "file")
    assert [(each.get("Range"), each.get("If-Range")) for each in asked] == [
        (None, None),
        (f"bytes={2 * CHUNK}-", '"v1"'),
        (f"bytes={CHUNK}-", '"v2"'),
    ]
    assert (tmp_path / "file").read_bytes() == SECOND


@pytest.mark.parametrize(
    "first",
    [
        Answer(200, SECOND, cut=2 * CHUNK + 9),
        Answer(200, SECOND, {"ETag": 'W/"v1"'}, cut=2 * CHUNK + 9),
        Answer(200, SECOND, {"ETag": ""}, cut=2 * CHUNK + 9),
        Answer(200, gzip.compress(SECOND), {"ETag": '"v1"', "Content-Encoding": "gzip"}, cut=2 * CHUNK + 9),
    ],
    ids=["no ETag", "weak ETag", "empty ETag", "compressed"],
)
def test_what_cannot_be_told_to_be_the_same_file_is_fetched_anew(tmp_path: Path, first: Answer) -> None:
    with server(first, ranged(FIRST, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == [None, None]
    assert (tmp_path / "file").read_bytes() == FIRST


def test_a_server_that_takes_no_range_is_asked_again_from_the_start(tmp_path: Path) -> None:
    with server(ranged(FIRST, '"v1"', cut=2 * CHUNK + 9), Answer(200, FIRST)) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert asked[1]["Range"] == f"bytes={2 * CHUNK}-"
    assert (tmp_path / "file").read_bytes() == FIRST


@pytest.mark.parametrize("place", ["bytes 0-1/9", "bytes 131073-449999/450000", "bytes 13107-/9", "", "nonsense"])
def test_another_part_than_was_asked_for_is_not_joined(tmp_path: Path, place: str) -> None:
    wrong = Answer(206, FIRST[2 * CHUNK + 1 :], {"ETag": '"v1"', "Content-Range": place})
    with server(ranged(FIRST, '"v1"', cut=2 * CHUNK + 9), wrong, ranged(FIRST, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == [None, f"bytes={2 * CHUNK}-", None]
    assert (tmp_path / "file").read_bytes() == FIRST


def test_a_part_that_was_whole_already_is_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(FIRST)  # as when we were killed just before it got its name
    (tmp_path / "file.part.tag").write_text('"v1"')
    with server(ranged(FIRST, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == [f"bytes={len(FIRST)}-", None]
    assert (tmp_path / "file").read_bytes() == FIRST
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_parts_that_make_no_image_together_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(bytes(300))
    (tmp_path / "file.part.tag").write_text('"v1"')
    with server(ranged(JPEG, '"v1"')) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert [each.get("Range") for each in asked] == ["bytes=300-", None]
    assert (tmp_path / "file").read_bytes() == JPEG


def test_a_full_disk_is_a_user_error_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    large = noise(3, 1500)
    assert len(large) > 1 << 20
    with server(ranged(large, '"v1"')) as (origin, asked):
        with pytest.raises(UserError, match="can't be written: No space") as caught:
            fetch(origin, small_disk / "file")
        assert not isinstance(caught.value, TransientError)
        assert tells_no_secret(caught.value)
        assert list(small_disk.iterdir()) == []
        fetch(origin, tmp_path / "file")
    assert len(asked) == 2
    assert (tmp_path / "file").read_bytes() == large


def test_an_earlier_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SECOND)
    with server(Answer(200, JPEG, cut=300)) as (origin, _), pytest.raises(TransientError):
        fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == SECOND


KINDS = [encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "GIF", "TIFF", "BMP", "PPM")]


@pytest.mark.parametrize("body", KINDS)
def test_an_image_of_each_kind_passes(body: bytes) -> None:
    assert find_body_problem(body) is None


@given(
    st.binary(max_size=300)
    | st.tuples(st.sampled_from(KINDS), st.floats(0, 1), st.binary(min_size=1, max_size=8)).map(
        lambda fuzz: fuzz[0][: (at := int(fuzz[1] * len(fuzz[0])))] + fuzz[2] + fuzz[0][at + len(fuzz[2]) :]
    )
    | st.tuples(st.sampled_from(KINDS), st.floats(0, 1)).map(lambda fuzz: fuzz[0][: int(fuzz[1] * len(fuzz[0]))])
)
@settings(max_examples=400, deadline=None)
def test_no_bytes_make_the_check_crash(body: bytes) -> None:
    problem = find_body_problem(body)
    assert problem is None or problem


DATES = st.from_regex(
    r"(Mon, )?[0-9]{1,12} (Jan|Feb|Dec) [0-9]{1,12} [0-9]{1,9}:[0-9]{1,9}(:[0-9]{1,9})?( GMT| [+-][0-9]{1,12}| EST)?",
    fullmatch=True,
)


@given(st.none() | st.text() | st.from_regex(r"\s*\d{1,400}\s*", fullmatch=True) | DATES)
@example("0\x1f")
@example("9" * 400)
@example("Mon, 1 Jan 2024 0:0:0 +999999999999")
@settings(max_examples=500, deadline=None)
def test_no_retry_after_makes_us_crash_or_wait_for_ever(header: str | None) -> None:
    wait = parse_retry_after(header)
    assert wait is None or 0 <= wait < float("inf")


def test_a_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert parse_retry_after("120") == 120
    assert parse_retry_after(" 0 ") == 0
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    wait = parse_retry_after("Wed, 21 Oct 2127 07:28:00 GMT")
    assert wait is not None
    assert 80 * 365 * 86400 < wait < 130 * 366 * 86400
    assert [parse_retry_after(each) for each in (None, "", "-1", "1.5", "soon")] == [None] * 5
