"""A download is the file as served, or an error; nothing half, nothing else, passes for it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from collect.download import Downloader, body_problem
from params import UserError


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").save(buffer, "JPEG")
    return buffer.getvalue()


@contextmanager
def server(*answers: tuple[int, bytes], cut: bool = False) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve the answers in turn, the last one from then on; tell the headers of each request."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            status, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) * (2 if cut else 1)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def fetch(origin: str, destination: Path) -> None:
    cookies = [{"name": "SUB", "value": "s3cret", "domain": "127.0.0.1", "path": "/"}]
    Downloader(cookies=cookies, headers={"Referer": "https://weibo.com/", "Accept": "image/webp"}).fetch(
        f"{origin}/large/1.jpg?oh=s1gnature", destination
    )


def test_bytes_are_kept_as_served_and_asked_for_as_a_browser_does(tmp_path: Path) -> None:
    with server((200, jpeg())) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == jpeg()
    assert {key: asked[0].get(key) for key in ("Referer", "Accept", "Cookie")} == {
        "Referer": "https://weibo.com/",
        "Accept": "image/webp",
        "Cookie": "SUB=s3cret",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_passing_fault_is_tried_again(tmp_path: Path) -> None:
    with server((503, b""), (200, jpeg())) as (origin, asked):
        fetch(origin, tmp_path / "file")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, b"no"), "HTTP 403"),
        ((200, b""), "an empty answer"),
        ((200, b" <html>sorry</html>"), "a page instead of an image"),
        ((200, jpeg()[:-400]), "not an image that can be decoded"),
        ((200, b"GIF89a, nearly"), "not an image that can be decoded"),
    ],
)
def test_what_is_no_whole_image_is_refused_without_telling_secrets(tmp_path: Path, answer, said: str) -> None:
    with server(answer) as (origin, _), pytest.raises(UserError) as caught:
        fetch(origin, tmp_path / "file")
    assert said in caught.value.message
    assert "s1gnature" not in caught.value.message
    assert "s3cret" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_connection_cut_in_the_body_leaves_no_file(tmp_path: Path) -> None:
    with server((200, jpeg()), cut=True) as (origin, _), pytest.raises(UserError, match="no download"):
        fetch(origin, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=300) | st.tuples(st.integers(0, len(jpeg()) - 1), st.binary(min_size=1, max_size=8)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_the_check_crash(fuzz: bytes | tuple[int, bytes]) -> None:
    if isinstance(fuzz, tuple):
        place, bytes_ = fuzz
        fuzz = jpeg()[:place] + bytes_ + jpeg()[place + len(bytes_) :]
    problem = body_problem(fuzz)
    assert problem is None or problem
