"""What a run does besides the plain way: mosaics, further renditions, lost order, cleanup, live sites."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import Page
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from typer.testing import CliRunner

import comreadv
import params
from collect import sandbox
from collect.browser.launch import end_browsers
from collect.browser.session import open_session
from collect.codecs import quantisation
from collect.errors import CaptchaRequired, RateLimited, SubmitFailed, TransientError, Trouble, UploadRejected
from collect.ledger.models import NO_LONGER_SHOWN, Upload
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import Heartbeat
from collect.platform import Batch, load_platform
from collect.platforms.codec import Codec, LocalSession
from collect.platforms.weibo import Weibo
from collect.round_trip import Original, read_round_trips, round_trip
from collect.round_trip.cleanup import cleanup
from collect.round_trip.retry_policy import MAX_RATE_LIMITS
from collect.round_trip.uploads import Uploader
from collect.sandbox.site import Site as Sandbox
from collect.sandbox.sites import douban, facebook, weibo
from collect.sandbox.sites.douban import Sandbox as Douban
from collect.store import stored
from collect.thumbnails import distance, read_thumbnail, shows
from pairing.build import build
from params import Params, UserError

ROOT = Path(__file__).parents[3]
SETTINGS = params.load(ROOT / "params.yaml")
SITES = ["douban", "weibo", "facebook"]
SANDBOXES: dict[str, type[Sandbox]] = {"douban": douban.Sandbox, "weibo": weibo.Sandbox, "facebook": facebook.Sandbox}


def with_row(name: str, **changes: object) -> Params:
    """Return the settings with a platform's row changed."""
    row = SETTINGS.platform(name).model_copy(update=changes)
    return SETTINGS.model_copy(update={"platforms": SETTINGS.platforms | {name: row}})


def prepared(originals: list) -> None:
    """Lay the images out as `prepare` does, so that pairing finds them."""
    (Path("data") / "images").mkdir(parents=True)
    Path("data/images/train").symlink_to(originals[0].path.parent)
    rows = [
        {"name": each.name, "split": "train", "source": "x", "label": None, "crop": None, "sha256": each.sha256}
        for each in originals
    ]
    Path("data/images/manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.browser
def test_a_mosaic_goes_up_once_and_its_tiles_are_what_single_uploads_are(photos, workplace) -> None:
    originals = photos(40)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        outcome = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin, mosaic=True)
        again = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin)
        assert requests.get(f"{origin}/sandbox/received").json()["photos"] == 1
    assert (outcome.complete, outcome.files, outcome.uploaded) == (40, 1, 1)
    assert (again.complete, again.uploaded, again.downloaded) == (40, 0, 0)
    with sandbox.serve("weibo", state=workplace / "other") as origin:
        alone = round_trip("weibo", SETTINGS, originals, Path("alone"), generation=1, origin=origin)
    assert alone.files == 40 and alone.fingerprint["codec"] == outcome.fingerprint["codec"]
    for tile, single in zip(read_round_trips(Path("out")), read_round_trips(Path("alone")), strict=True):
        assert tile.mosaic and tile.source == single.source
        assert quantisation.read_codec(Path("out", tile.file)) == quantisation.read_codec(Path("alone", single.file))
        with Image.open(Path("out", tile.file)) as first, Image.open(Path("alone", single.file)) as second:
            assert first.tobytes() == second.tobytes()
    prepared(originals)
    assert build(Path("data/images"), Path("out"), Path("data/pairs/weibo.db"), SETTINGS.pairing) == {None: 40}


def test_images_that_went_up_alone_are_never_packed(photos, workplace) -> None:
    originals = photos(6)
    round_trip("jpeg-75", SETTINGS, originals[:2], Path("out"), generation=1)
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.uploaded, outcome.files) == (6, 1, 3)
    assert cleanup("jpeg-75", SETTINGS) == 3
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.uploaded) == (6, 0)


def test_a_codec_that_looks_at_the_whole_image_gets_no_mosaic(photos, workplace) -> None:
    outcome = round_trip("jp2-10", SETTINGS, photos(4), Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.files) == (4, 4)


def missing() -> dict[str, str]:
    """Read from the manifest why images have no round trip yet, by their names."""
    rows = map(json.loads, Path("out/manifest.jsonl").read_text().splitlines())
    return {row["source"]: row["missing"] for row in rows if "missing" in row}


@pytest.mark.browser
def test_images_of_a_mosaic_that_is_refused_go_up_alone(photos, workplace, monkeypatch) -> None:
    originals = photos(8)
    monkeypatch.setattr(Weibo, "longest_side", 192)  # four images a mosaic
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        where = {"out": Path("out"), "generation": 1, "origin": origin}
        assert round_trip("weibo", SETTINGS, originals[:4], **where, mosaic=True).files == 1
        with monkeypatch.context() as small:
            small.setattr("collect.sandbox.images.MAX_PIXELS", 64 * 64)
            outcome = round_trip("weibo", SETTINGS, originals, **where, mosaic=True)
        assert (outcome.complete, outcome.rejected, outcome.missing, outcome.files) == (4, 0, 4, 1)
        assert missing().keys() == {each.name for each in originals[4:]}
        assert all("上传失败" in each and "the next run sends the image alone" in each for each in missing().values())
        part = round_trip("weibo", SETTINGS, originals, **where, limit=1)
        outcome = round_trip("weibo", SETTINGS, originals, **where, mosaic=True)
        again = round_trip("weibo", SETTINGS, originals, **where, mosaic=True)
        received = requests.get(f"{origin}/sandbox/received").json()["images"]
    assert (part.uploaded, part.complete, outcome.uploaded, outcome.complete) == (1, 5, 3, 8)
    assert (again.uploaded, again.downloaded, again.complete, again.files) == (0, 0, 8, 5)
    assert len(received) == 5 and {each["times"] for each in received} == {1}
    assert {each.sha256 for each in originals[4:]} < {each["sha256"] for each in received}
    with sqlite3.connect("data/ledger/ledger.db") as books:
        refused = books.execute("SELECT reason FROM uploads WHERE state = 'rejected'").fetchall()
    assert len(refused) == 1 and "上传失败" in refused[0][0]


SHRUNK = with_row("jpeg-75", codec="fit:200+jpeg:75")


@pytest.mark.parametrize(("longest_side", "files"), [(2048, 9), (192, 3)], ids=["as large", "smaller"])
def test_images_of_a_mosaic_that_came_back_smaller_go_up_again(longest_side, files, photos, workplace, monkeypatch):
    originals = photos(9)
    outcome = round_trip("jpeg-75", SHRUNK, originals, Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.rejected, outcome.missing, outcome.files) == (0, 0, 9, 1)
    assert "went up at 288x288 pixels and is served at 200x200; the next run" in missing()[originals[0].name]
    monkeypatch.setattr(Codec, "longest_side", longest_side)
    outcome = round_trip("jpeg-75", SHRUNK, originals, Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.missing, outcome.uploaded, outcome.files) == (9, 0, files, files)
    outcome = round_trip("jpeg-75", SHRUNK, originals, Path("out"), generation=1)
    assert (outcome.complete, outcome.uploaded, outcome.files) == (9, 0, files)
    assert cleanup("jpeg-75", SHRUNK) == files + 1  # the large mosaic too


def test_what_went_up_in_a_mosaic_that_came_down_well_goes_up_for_no_smaller_rendition(
    photos, workplace, monkeypatch
) -> None:
    originals = photos(9)
    monkeypatch.setattr(Codec, "renditions", ("file", "small"))
    round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1, mosaic=True)
    download = LocalSession.download

    def shrunk(session, remote_ids, rendition, files, accept=None) -> list[Any]:
        found = download(session, remote_ids, rendition, files, accept)
        for file in files:
            with Image.open(file) as image:
                image.reduce(2).save(file, "JPEG")
        return found

    monkeypatch.setattr(LocalSession, "download", shrunk)
    settings = with_row("jpeg-75", rendition="small")
    for _ in range(2):
        outcome = round_trip("jpeg-75", settings, originals, Path("out"), generation=1)
        assert (outcome.uploaded, outcome.complete, outcome.missing) == (0, 0, 9)
        assert missing()[originals[0].name].endswith("is served at 144x144")


@pytest.mark.browser
def test_a_collector_makes_a_mosaic_again_that_another_one_packed(photos, workplace, monkeypatch) -> None:
    originals = photos(5)
    ledger = SETTINGS.collect.model_copy(update={"ledger": f"sqlite:///{workplace}/ledger.db"})
    settings = SETTINGS.model_copy(update={"collect": ledger})
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        where = {"out": Path("out"), "generation": 1, "origin": origin}
        round_trip("weibo", settings, originals, **where, mosaic=True)
        ours = read_round_trips(Path("out"))
        (workplace / "elsewhere").mkdir()
        monkeypatch.chdir(workplace / "elsewhere")
        with pytest.raises(
            UserError, match=r"\.png, which some .* image of sha256 .* is not among .* Share the folder"
        ):
            round_trip("weibo", settings, originals[:4], **where)
        body = originals[0].path.read_bytes()
        shutil.copyfile(originals[1].path, originals[0].path)
        with pytest.raises(UserError, match="can't be made again: it comes out as another file"):
            round_trip("weibo", settings, originals, **where)
        originals[0].path.unlink()
        with pytest.raises(UserError, match=r"can't be made again: .*No such file.*000\.png"):
            round_trip("weibo", settings, originals, **where)
        originals[0].path.write_bytes(body)
        outcome = round_trip("weibo", settings, originals, **where)
    assert (outcome.complete, outcome.uploaded) == (5, 0) and read_round_trips(Path("out")) == ours


def test_pairs_an_upload_are_images_with_a_round_trip_by_uploaded_files(photos, workplace, monkeypatch) -> None:
    originals = photos(9)
    prepared(originals)
    (workplace / "fingerprints").symlink_to(ROOT / "fingerprints")
    settings = (ROOT / "params.yaml").read_text().replace('codec: "jpeg:75"', 'codec: "fit:200+jpeg:75"')
    (workplace / "params.yaml").write_text(settings)

    def said(arguments: str) -> str:
        answer = CliRunner().invoke(comreadv.app, ["collect", "--platform", "jpeg-75", *arguments.split()])
        assert answer.exit_code == 0, answer.output
        return answer.output

    first = said("--mosaic")
    assert "0.0 pairs an upload (uploaded files: 1)." in first
    assert "9 files did not come back, or not as what went up (reasons in manifest.jsonl;" in first
    assert "Run `comreadv collect --platform jpeg-75` again" in first
    assert "`dvc repro --force --single-item collect@jpeg-75`" in first
    monkeypatch.setattr(Codec, "longest_side", 192)
    assert "4.0 pairs an upload (uploaded files: 1)." in said("--mosaic --limit 1")
    assert "3.0 pairs an upload (uploaded files: 3)." in said("--mosaic")
    assert "pairs an upload" not in said("")


@pytest.mark.browser
def test_further_renditions_are_exported_beside_the_first(photos, workplace) -> None:
    originals = photos(3)
    settings = with_row("douban", more_renditions=("l", "m"))
    with sandbox.serve("douban", state=workplace / "site") as origin:
        outcome = round_trip("douban", settings, originals, Path("out"), generation=1, origin=origin)
    assert outcome.complete == 3
    for rendition, kind in (("l", "WEBP"), ("m", "JPEG")):
        rows = read_round_trips(Path("out/renditions", rendition))
        assert [(row.rendition, row.format) for row in rows] == [(rendition, kind)] * 3
        assert all(Path("out/renditions", rendition, row.file).is_file() for row in rows)
    assert {row.rendition for row in read_round_trips(Path("out"))} == {"xl"}
    with pytest.raises(UserError, match="no rendition 'huge'"):
        round_trip("jpeg-75", with_row("jpeg-75", more_renditions=("huge",)), originals, Path("x"), generation=1)


@pytest.mark.browser
def test_a_further_rendition_that_shows_something_else_is_told_and_nothing_goes_up_for_it(
    photos, workplace, monkeypatch
) -> None:
    file = Douban.file

    def cropped(self: Douban, request: Request, key: str, rendition: str, extension: str) -> Response:
        answer = file(self, request, key, rendition, extension)
        if rendition != "m":
            return answer
        Image.new("RGB", (60, 60), "red").save("cropped.jpg")
        return Response(Path("cropped.jpg").read_bytes(), media_type="image/jpeg")

    monkeypatch.setattr(Douban, "file", cropped)
    settings, originals = with_row("douban", more_renditions=("l", "m")), photos(3)
    with sandbox.serve("douban", state=workplace / "site") as origin:
        outcome = round_trip("douban", settings, originals, Path("out"), generation=1, origin=origin)
        assert (outcome.complete, outcome.missing) == (3, 3)
        told = [json.loads(line) for line in Path("out/renditions/m/manifest.jsonl").read_text().splitlines()]
        assert {row["missing"] for row in told} == {"it did not come down, or not as what went up"}
        assert cleanup("douban", settings, origin=origin) == 3
        again = round_trip("douban", settings, originals, Path("out"), generation=1, origin=origin)
    assert (again.complete, again.uploaded) == (3, 0)


@pytest.mark.browser
@pytest.mark.parametrize("faults", [{"reordered": 1.0}, {"wrong": 0.3}, {"duplicate": 1.0}], ids=str)
def test_each_file_is_its_own_originals_whatever_the_album_says(faults, photos, workplace) -> None:
    originals = photos(12)
    with sandbox.serve("facebook", state=workplace / "site", faults=faults, seed=1) as origin:
        for _ in range(10):  # what stays wrong three times is asked for again by the next run
            outcome = round_trip("facebook", SETTINGS, originals, Path("out"), generation=1, origin=origin)
            if outcome.complete == 12:
                break
        assert {each["times"] for each in requests.get(f"{origin}/sandbox/received").json()["images"]} == {1}
    assert outcome.complete == 12
    looks = {each.name: read_thumbnail(each.path) for each in originals}
    for row in read_round_trips(Path("out")):
        others = [each for name, each in looks.items() if name != row.source]
        assert shows(read_thumbnail(Path("out", row.file)), looks[row.source], others)


@pytest.mark.browser
def test_an_id_that_went_to_the_wrong_image_by_a_passing_fault_comes_back(photos, workplace) -> None:
    originals = photos(6)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        round_trip("facebook", SETTINGS, originals, Path("out"), generation=1, origin=origin)
        with sqlite3.connect("data/ledger/ledger.db") as books:  # as a file served for another's had left them
            (first, one), (second, other) = books.execute("SELECT id, remote_id FROM uploads LIMIT 2").fetchall()
            books.execute("UPDATE uploads SET remote_id = ?, state = 'confirmed' WHERE id = ?", (other, first))
            books.execute("UPDATE uploads SET remote_id = ? WHERE id = ?", (one, second))
            books.execute("DELETE FROM downloads WHERE upload_id = ?", (first,))
        outcome = round_trip("facebook", SETTINGS, originals, Path("out"), generation=1, origin=origin)
        with sqlite3.connect("data/ledger/ledger.db") as books:
            ids = dict(books.execute("SELECT id, remote_id FROM uploads").fetchall())
    assert outcome.complete == 6 and (ids[first], ids[second]) == (one, other)


@pytest.mark.browser
@pytest.mark.parametrize("site", SITES)
def test_cleanup_deletes_what_was_uploaded_and_only_that(site, photos, workplace) -> None:
    originals = photos(5)
    with sandbox.serve(site, state=workplace / "site") as origin:
        round_trip(site, SETTINGS, originals[:2], Path("ours"), generation=1, origin=origin)
        shutil.move("data/ledger/ledger.db", "elsewhere.db")  # those of somebody else from now on
        for suffix in ("-wal", "-shm"):
            Path(f"data/ledger/ledger.db{suffix}").unlink(missing_ok=True)
        round_trip(site, SETTINGS, originals[2:], Path("out"), generation=1, origin=origin)
        assert cleanup(site, SETTINGS, origin=origin) == 3
        left = {each["sha256"] for each in requests.get(f"{origin}/sandbox/received").json()["images"]}
        assert left == {each.sha256 for each in originals[:2]}
        assert cleanup(site, SETTINGS, origin=origin) == 0
        again = round_trip(site, SETTINGS, originals[2:], Path("out"), generation=1, origin=origin)
    assert (again.complete, again.uploaded) == (3, 0)  # what was downloaded stays


def test_a_mosaic_whose_file_is_damaged_here_is_fetched_again(photos, workplace) -> None:
    originals = photos(6)
    first = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1, mosaic=True)
    with sqlite3.connect("data/ledger/ledger.db") as books:
        (name,) = books.execute("SELECT sha256 FROM downloads").fetchone()
    stored(name).write_bytes(b"")
    again = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1, mosaic=True)
    assert (first.uploaded, first.complete) == (1, 6)
    assert (again.uploaded, again.downloaded, again.complete) == (0, 1, 6)


def test_a_mosaic_that_does_not_come_down_is_told_for_each_of_its_images(photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(LocalSession, "download", lambda _, ids, *__: [TransientError("no download")] * len(ids))
    outcome = round_trip("jpeg-75", SETTINGS, photos(6), Path("out"), generation=1, mosaic=True)
    assert (outcome.complete, outcome.missing) == (0, 6)
    rows = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert [row["missing"] for row in rows] == ["no download"] * 6


@pytest.fixture
def troubled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Original], Exception], list[int]]:
    """Have a codec's platform raise something for a batch with one of some images; list the batches' sizes."""

    def troubled_by(images: Sequence[Original], trouble: Exception) -> list[int]:
        contents, sizes = {each.path.read_bytes() for each in images}, list[int]()
        upload = LocalSession.read_back

        def raising(session: LocalSession, batch: Batch) -> dict[int, str]:
            sizes.append(len(batch.files))
            for position, file in enumerate(batch.files):
                if file.read_bytes() in contents:
                    raise UploadRejected(position, str(trouble)) if isinstance(trouble, UploadRejected) else trouble
            return upload(session, batch)

        monkeypatch.setattr(LocalSession, "upload", raising)
        monkeypatch.setattr(LocalSession, "read_back", lambda *_: {})
        monkeypatch.setattr(Heartbeat, "rest", lambda *_: None)
        return sizes

    return troubled_by


@pytest.mark.parametrize(
    "trouble", [SubmitFailed("The page stays.", "unfit"), UploadRejected(0, "unfit")], ids=["stays", "refuses"]
)
def test_images_that_a_site_refuses_hold_up_no_others_though_they_come_first(
    trouble, troubled, photos, workplace
) -> None:
    originals = photos(14)
    troubled(originals[:5], trouble)
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.complete, outcome.rejected) == (9, 5)


def rejected() -> int:
    with open_ledger(SETTINGS.collect.ledger) as engine, engine.connect() as books:
        return len(books.execute(select(Upload.id).where(Upload.state == "rejected")).all())


def test_a_site_that_refuses_every_image_rejects_none_and_what_came_is_exported(troubled, photos, workplace) -> None:
    originals = photos(20)
    round_trip("jpeg-75", SETTINGS, originals[:5], Path("out"), generation=1)
    shutil.rmtree("out")
    sizes = troubled(originals[5:], UploadRejected(0, "the album is full"))
    with pytest.raises(TransientError, match=r"It says: the album is full\. It refuses one after the other"):
        round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert sizes == [15, 14, 13, *[1] * 9]
    assert (rejected(), len(read_round_trips(Path("out")))) == (0, 5)


def test_many_images_that_a_site_refuses_hold_up_no_others(troubled, photos, workplace) -> None:
    originals = photos(30)
    troubled([*originals[:16], *originals[20:26]], UploadRejected(0, "unfit"))
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.complete, outcome.rejected, outcome.missing) == (8, 22, 0)


def test_passing_trouble_with_the_last_image_is_not_its_own(troubled, photos, workplace) -> None:
    originals = photos(3)
    round_trip("jpeg-75", SETTINGS, originals[:2], Path("out"), generation=1)
    sizes = troubled(originals[2:], TransientError("HTTP 500."))
    with pytest.raises(TransientError, match="HTTP 500"):
        round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert len(sizes) == 12


def test_an_image_that_always_fails_is_left_and_the_rest_is_exported(troubled, photos, workplace, caplog) -> None:
    originals = photos(6)
    troubled(originals[2:3], TransientError("HTTP 500."))
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.complete, outcome.rejected, outcome.missing, len(read_round_trips(Path("out")))) == (5, 0, 1, 5)
    assert f"{originals[2].path} is left for the next run. HTTP 500." in caplog.text


def test_a_run_that_has_nothing_more_to_try_ends_at_once(troubled, photos, workplace) -> None:
    originals = photos(1)
    sizes = troubled(originals, SubmitFailed("The page stays.", "unfit"))
    with pytest.raises(SubmitFailed, match=r"The page stays\. It says: unfit"):
        round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert len(sizes) == 3


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b"another")], ids=["gone", "changed"])
def test_an_image_that_is_not_what_was_planned_is_named(change, ordered, photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(Codec, "ordered", ordered)
    originals = photos(3)
    change(originals[1].path)
    with pytest.raises(UserError, match=f"{originals[1].path} is gone, or another file than before"):
        round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)


def test_a_stored_file_that_lost_its_end_is_fetched_again(photos, workplace) -> None:
    originals = photos(2)
    round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    (row, _other) = read_round_trips(Path("out"))
    whole = stored(row.sha256).read_bytes()
    stored(row.sha256).write_bytes(whole[:100])
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.complete, outcome.uploaded, stored(row.sha256).read_bytes()) == (2, 0, whole)


def test_a_file_is_taken_for_no_image_that_another_of_its_batch_is_nearer_to(workplace, monkeypatch) -> None:
    """Two images nearly alike, their ids crossed, as Facebook's are, and one of them is cut off at first."""
    Path("photos").mkdir()
    colours = np.random.default_rng(0).integers(40, 200, (3, 4, 4, 3), dtype=np.uint8)
    originals = []
    for name, pixels in (("base", colours[0]), ("alike", colours[0] + 9), ("other", colours[1])):
        file = Path("photos", f"{name}.png")
        Image.fromarray(pixels.astype(np.uint8)).resize((64, 64), Image.Resampling.NEAREST).save(file)
        originals.append(Original.of(file))
    upload, download, cut = LocalSession.upload, LocalSession.download, [True]

    def crossed(session: LocalSession, batch: Batch) -> dict[int, str]:
        ids = upload(session, batch)
        return ids | {0: ids[1], 1: ids[0]}

    def cut_first(session: LocalSession, remote_ids: Sequence[str], *rest: Any) -> list[str | Trouble]:
        told = download(session, remote_ids, *rest)
        return [TransientError("It was cut off."), *told[1:]] if cut and cut.pop() else told

    monkeypatch.setattr(Codec, "ordered", False)
    monkeypatch.setattr(LocalSession, "upload", crossed)
    monkeypatch.setattr(LocalSession, "download", cut_first)
    assert round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1).complete == 3
    shown = {row.source: read_thumbnail(Path("out", row.file)) for row in read_round_trips(Path("out"))}
    for each in originals:
        assert distance(shown[each.name], read_thumbnail(each.path)) < 4  # from the one alike it is 9


def test_a_run_after_one_that_a_captcha_has_ended_sends_fewer_at_once(photos, workplace, monkeypatch) -> None:
    sizes: list[int] = []
    upload = LocalSession.read_back

    def challenged(session: LocalSession, batch: Batch) -> dict[int, str]:
        sizes.append(len(batch.files))
        if len(batch.files) > 2:
            raise CaptchaRequired("A captcha.")
        return upload(session, batch)

    monkeypatch.setattr(LocalSession, "upload", challenged)
    monkeypatch.setattr(LocalSession, "read_back", lambda *_: {})
    for _ in range(3):
        with pytest.raises(CaptchaRequired):
            round_trip("jpeg-75", SETTINGS, photos(12), Path("out"), generation=1)
    assert sizes == [12, 6, 3]


@pytest.fixture
def shared(workplace: Path) -> Params:
    """Give settings with a ledger that all folders share."""
    ledger = params.Collect(ledger=f"sqlite:///{workplace}/shared.db")
    return SETTINGS.model_copy(update={"collect": ledger})


def test_cleanup_from_another_folder_sends_nothing_up_again(photos, workplace, shared, monkeypatch) -> None:
    originals = photos(4)
    round_trip("jpeg-75", shared, originals, Path("out"), generation=1)
    assert cleanup("jpeg-75", shared) == 4
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    assert cleanup("jpeg-75", shared) == 0
    monkeypatch.chdir(workplace)
    again = round_trip("jpeg-75", shared, originals, Path("out"), generation=1)
    assert (again.complete, again.uploaded) == (4, 0)


@pytest.mark.parametrize("trouble", [CaptchaRequired, TransientError], ids=["a captcha", "a fault that stays"])
def test_what_cannot_be_fetched_from_another_folder_stays_verified(
    trouble, photos, workplace, shared, monkeypatch
) -> None:
    originals, asked = photos(40), []  # more than are downloaded at once
    round_trip("jpeg-75", shared, originals, Path("out"), generation=1)

    def download(_session: object, remote_ids: Sequence[str], *_: object) -> list[UserError]:
        asked.append(len(remote_ids))
        return [trouble("the site says no")] * len(remote_ids)

    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    monkeypatch.setattr(LocalSession, "download", download)
    with pytest.raises(UserError, match=r"the site says no|is not here: another collector"):
        round_trip("jpeg-75", shared, originals, Path("out"), generation=1)
    assert asked == ([32] if trouble is CaptchaRequired else [32] * 3 + [8] * 3)
    with sqlite3.connect(workplace / "shared.db") as books:
        assert books.execute("SELECT count(*) FROM downloads WHERE verified").fetchone() == (40,)
        assert books.execute("SELECT DISTINCT state FROM uploads").fetchall() == [("verified",)]


def test_cleanup_leaves_all_as_it_is_while_another_collects(photos, workplace, shared, monkeypatch) -> None:
    """The other one waits for its rate, with nothing in hand but what is up and down already."""
    originals, send, refused = photos(3), Uploader._send, []

    def waiting(run: Uploader, limit: int | None) -> bool:
        if run.uploaded and not refused:
            with pytest.raises(UserError, match="is being collected from by another process"):
                cleanup("jpeg-75", shared)
            refused.append(True)
        return send(run, limit)

    monkeypatch.setattr(Uploader, "_send", waiting)
    monkeypatch.setattr(Codec, "batch_size", 2)
    outcome = round_trip("jpeg-75", shared, originals, Path("out"), generation=1)
    assert (outcome.uploaded, outcome.complete, refused) == (3, 3, [True])
    assert cleanup("jpeg-75", shared) == 3


@pytest.mark.browser
def test_a_picture_that_was_gone_and_is_back_is_deleted_with_its_post(photos, workplace) -> None:
    originals = photos(3)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin)
        with sqlite3.connect("data/ledger/ledger.db") as books:  # as a run leaves it that the wall has not shown one to
            gone = "UPDATE uploads SET state = 'rejected', reason = ? WHERE sha256 = ?"
            books.execute(gone, (NO_LONGER_SHOWN, originals[1].sha256))
            books.execute("DELETE FROM downloads WHERE upload_id = (SELECT id FROM uploads WHERE state = 'rejected')")
        assert cleanup("weibo", SETTINGS, origin=origin) == 2
        assert requests.get(f"{origin}/sandbox/received").json()["photos"] == 0
        again = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin)
    assert (again.complete, again.rejected, again.uploaded) == (2, 1, 0)


@pytest.mark.browser
def test_cleanup_reads_a_weibo_album_once_for_all_its_posts(photos, workplace, monkeypatch) -> None:
    pages: list[str] = []
    wall = Weibo._wall

    def read(weibo: Weibo, page: Page, account: str, cursor: str) -> dict[str, Any]:
        pages.append(cursor)
        return wall(weibo, page, account, cursor)

    with sandbox.serve("weibo", state=workplace / "site") as origin:
        monkeypatch.setattr(Weibo, "batch_size", 2)
        round_trip("weibo", SETTINGS, photos(7), Path("out"), generation=1, origin=origin)
        monkeypatch.setattr(Weibo, "_wall", read)
        assert cleanup("weibo", SETTINGS, origin=origin) == 7
        assert requests.get(f"{origin}/sandbox/received").json()["photos"] == 0
    assert pages == ["0"]


def answering(site: str, answers: list[Callable[[Sandbox], Response]], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have a sandbox answer so to the next deletions, with nothing done; return what is waited, without waiting."""
    kind, name = SANDBOXES[site], "destroy" if site == "weibo" else "delete"
    delete, waited = getattr(kind, name), list[float]()

    async def instead(self: Sandbox, request: Request) -> Response:
        return answers.pop(0)(self) if answers else await delete(self, request)

    monkeypatch.setattr(kind, name, instead)
    monkeypatch.setattr("collect.ledger.workers.Heartbeat.rest", lambda _heart, seconds: waited.append(seconds))
    return waited


def busy(status: int, headers: dict[str, str] | None = None) -> Callable[[Sandbox], Response]:
    return lambda _sandbox: HTMLResponse("<p>sandbox</p>", status, headers)


@pytest.mark.browser
@pytest.mark.parametrize("site", SITES)
def test_cleanup_waits_when_it_is_turned_away_and_goes_on(site, photos, workplace, monkeypatch) -> None:
    answers = [busy(418), busy(429, {"Retry-After": "7"}), busy(503)]
    if site != "weibo":  # which has no block page
        answers.append(lambda sandbox: sandbox.block())
    waited = answering(site, answers, monkeypatch)
    monkeypatch.setattr("collect.browser.navigation.PAGE_TIMEOUT_S", 3.0)  # how long Facebook's page may stay
    with sandbox.serve(site, state=workplace / "site") as origin:
        round_trip(site, SETTINGS, photos(2), Path("out"), generation=1, origin=origin)
        count = len(answers)
        assert cleanup(site, SETTINGS, origin=origin) == 2
        assert requests.get(f"{origin}/sandbox/received").json()["photos"] == 0
    assert answers == [] and len(waited) == count
    assert waited[1] == 7  # what the site asked for


@pytest.mark.browser
def test_cleanup_gives_up_in_the_end_and_knows_what_is_deleted(photos, workplace, monkeypatch) -> None:
    answers: list[Callable[[Sandbox], Response]] = []
    monkeypatch.setattr(Weibo, "batch_size", 2)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        round_trip("weibo", SETTINGS, photos(3), Path("out"), generation=1, origin=origin)
    delete = Weibo.delete

    def delete_one(weibo: Weibo, page: Page, remote_ids: Sequence[str], title: str) -> None:
        delete(weibo, page, remote_ids, title)
        answers.extend([busy(418)] * 100)

    monkeypatch.setattr(Weibo, "delete", delete_one)
    monkeypatch.setattr("collect.browser.session_health.MAX_ERROR_SCORE", 1000.0)  # no new contexts, for speed
    waited = answering("weibo", answers, monkeypatch)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with pytest.raises(RateLimited, match="HTTP 418"):
            cleanup("weibo", SETTINGS, origin=origin)
        assert len(waited) == MAX_RATE_LIMITS - 1
        answers[:] = [lambda sandbox: sandbox.captcha()]
        with pytest.raises(CaptchaRequired):
            cleanup("weibo", SETTINGS, origin=origin)
        assert len(waited) == MAX_RATE_LIMITS - 1
        assert cleanup("weibo", SETTINGS, origin=origin) == 1
        assert requests.get(f"{origin}/sandbox/received").json()["photos"] == 0


def test_a_real_site_has_to_be_asked_for(photos, workplace, monkeypatch) -> None:
    monkeypatch.delenv("COMREADV_LIVE", raising=False)
    for settings, origin in ((with_row("weibo", site="live"), None), (SETTINGS, "https://weibo.example")):
        with pytest.raises(UserError, match=r"the real site, with your account: ask for it by --live"):
            round_trip("weibo", settings, photos(1), Path("out"), generation=1, origin=origin)
    with pytest.raises(UserError, match="comreadv login"):  # asked for, it goes on to the sign-in
        round_trip("weibo", with_row("weibo", site="live"), photos(1), Path("out"), generation=1, live=True)


@pytest.mark.browser
def test_a_sandbox_is_not_collected_from_where_the_real_site_is_asked_for(photos, workplace, monkeypatch) -> None:
    not_the_site = pytest.raises(UserError, match=r"weibo is not the real site\. Leave --live out, or set `site: live`")
    for settings, origin in ((SETTINGS, None), (with_row("weibo", site="live"), "http://127.0.0.1:9")):
        with not_the_site:
            round_trip("weibo", settings, photos(1), Path("out"), generation=1, origin=origin, live=True)
    with not_the_site:
        cleanup("weibo", SETTINGS, live=True)
    monkeypatch.setenv("COMREADV_LIVE", "1")  # which dvc hands to the rows of sandboxes too
    assert round_trip("weibo", SETTINGS, photos(1), Path("out"), generation=1).complete == 1


@pytest.mark.parametrize("name", ["weibo", "wagtail"])
def test_nothing_but_a_1_in_the_environment_asks_for_a_real_site(name, photos, workplace, monkeypatch) -> None:
    monkeypatch.setenv("COMREADV_LIVE", "0")
    where = {"origin": "https://site.example", "generation": 1}
    with pytest.raises(UserError, match="the real site, with your account") as caught:
        round_trip(name, SETTINGS, photos(1), Path("out"), **where)
    assert ("`site: sandbox`" in caught.value.message) == (name == "weibo")  # Wagtail has none
    monkeypatch.setenv("COMREADV_LIVE", "1")
    with pytest.raises(UserError, match="comreadv login"):
        round_trip(name, SETTINGS, photos(1), Path("out"), **where)


def test_a_folder_of_the_collectors_that_can_not_be_made_is_told(photos, workplace, shared) -> None:
    (workplace / "data").touch()
    with pytest.raises(UserError, match=r"data/ledger can't be written: .* See that its folder is there"):
        round_trip("jpeg-75", shared, photos(1), Path("out"), generation=1)


def as_if_live(monkeypatch: pytest.MonkeyPatch, clock) -> None:
    """Take Weibo's sandbox for the live site, by the sign-in of state.json and a clock that nobody waits for."""
    monkeypatch.setattr(Weibo, "is_live", property(lambda _self: True))
    monkeypatch.setattr("collect.browser.storage_state.stored_state", lambda _site: Path("state.json"))
    monkeypatch.setattr("collect.browser.storage_state.save_state", lambda *_: None)
    monkeypatch.setattr("collect.round_trip.connect.NOTICE_S", 0.0)
    for module in ("collect.ledger.rate_limit", "collect.retry"):
        monkeypatch.setattr(f"{module}.time", clock)
    monkeypatch.setattr("collect.ledger.workers.Heartbeat.rest", lambda _heart, seconds: clock.sleep(seconds))


@pytest.mark.browser
def test_a_live_run_says_first_what_it_will_do_and_keeps_its_rate(
    photos, workplace, monkeypatch, clock, caplog
) -> None:
    """The sandbox stands in for the live site: only that it is one is made up."""
    originals = photos(12)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with open_session(load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)) as session:
            session.context.storage_state(path="state.json")
            account = session.account
        as_if_live(monkeypatch, clock)
        outcome = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin, live=True)
        collecting = clock.slept.copy()
        monkeypatch.setattr("collect.sandbox.sites.weibo.WALL", 5)
        assert cleanup("weibo", SETTINGS, origin=origin, live=True) == 12
    assert outcome.complete == 12 and outcome.site == "live"
    assert sum(collecting) >= 20  # 9 at once, the other 3 at 9 a minute
    assert len([each for each in collecting if 1 <= each <= 3]) >= 12  # a pause before each download
    deleting = clock.slept[len(collecting) :]
    assert len(deleting) == 4 and all(1 <= each <= 3 for each in deleting)  # two further pages, and two posts
    said = caplog.text
    assert f"weibo, the real site: 12 files go up to the account {account}, for its owner's eyes only" in said
    assert "about 9 a minute and at most 600 a day" in said and "--cleanup" in said


@pytest.mark.browser
def test_a_run_that_is_stopped_while_the_site_wants_a_rest_rests_on(
    photos, workplace, monkeypatch, clock, caplog
) -> None:
    originals, uploads, upload = photos(1), [], Weibo.upload

    def turned_away_once(self, page: Page, batch: Batch) -> dict[int, str]:
        uploads.append(clock.now)
        if len(uploads) == 1:
            raise RateLimited("weibo: the site turns us away for now (HTTP 429).", 3600)
        return upload(self, page, batch)

    def stopped(_heart, seconds: float) -> None:
        assert seconds == 3600
        raise KeyboardInterrupt

    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with open_session(load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)) as session:
            session.context.storage_state(path="state.json")
        as_if_live(monkeypatch, clock)
        monkeypatch.setattr(Weibo, "upload", turned_away_once)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("collect.ledger.workers.Heartbeat.rest", stopped)
            round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin, live=True)
        outcome = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin, live=True)
    assert outcome.complete == 1
    assert uploads[1] - uploads[0] >= 3600
    assert "weibo: the site has turned this account away. Going on in 60.0 minutes." in caplog.text


@pytest.mark.browser
def test_a_browser_that_ends_on_a_live_site_gives_way_to_another(photos, workplace, monkeypatch) -> None:
    originals = photos(1)
    batch = Batch("comreadv x", [each.path for each in originals], known={0: "1"})
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        with open_session(adapter) as session:
            session.context.storage_state(path="state.json")
        monkeypatch.setattr(Weibo, "is_live", property(lambda _self: True))
        monkeypatch.setattr("collect.browser.storage_state.stored_state", lambda _site: Path("state.json"))
        monkeypatch.setattr("collect.retry.random.uniform", lambda *_: 0.0)  # nobody waits
        with open_session(adapter) as session:
            end_browsers()
            with pytest.raises(TransientError, match="the browser has ended"):
                session.read_back(batch)
            assert session.read_back(batch) == {}
