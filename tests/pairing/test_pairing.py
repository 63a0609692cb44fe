"""Pairs are proved by content: a wrong file is rejected with the reason, and never trained on."""

import hashlib
import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from databases import accepted, engine_of
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from collect.command_line import command_line
from pairing.alignment.align import mean_absolute_difference, measure_pair, psnr, read_pixels
from pairing.alignment.mask import mask_from_png
from pairing.alignment.registration import Alignment
from pairing.build import build
from pairing.commands.pairing import pairing
from pairing.database import Pair, Source, Stored
from pairing.shared_database import open_platform, open_shared, publish
from params import Pairing, UserError

ROOT = Path(__file__).parents[2]
SETTINGS = Pairing()


def photo(number: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += random.integers(-12, 13, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class House:
    """Where pairs are built, and where they are kept: in the file alone, or in a shared database too."""

    address: str | None
    file: Path = Path("data/pairs/weibo.db")

    def build(self) -> dict:
        outcome = build(Path("data/images"), Path("data/round_trips/weibo"), self.file, SETTINGS)
        if self.address is not None:
            with open_shared(self.address) as engine:
                publish(self.file, "weibo", engine)
        return dict(outcome)

    def stored(self) -> AbstractContextManager[Stored]:
        return open_platform("weibo", self.file, self.address)

    def accepted(self, split: str) -> list[tuple[Path, Path]]:
        with self.stored() as stored:
            return [(pair.original, pair.rendition) for pair in stored.aligned(split)]

    def engine(self) -> Engine:
        return engine_of(self.address or f"sqlite:///{self.file}")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_setting: str | None) -> House:
    """Prepared images and honest round trips of eight photos."""
    monkeypatch.chdir(tmp_path)
    images, trips = Path("data/images"), Path("data/round_trips/weibo")
    rows, served = [], []
    for number in range(8):
        split = ("train", "validation", "test")[number % 3]
        name = f"{split}/{number}.png"
        (images / split).mkdir(parents=True, exist_ok=True)
        (trips / split).mkdir(parents=True, exist_ok=True)
        photo(number).save(images / name)
        digest = hashlib.sha256((images / name).read_bytes()).hexdigest()
        rows.append({"name": name, "split": split, "source": name, "label": number, "sha256": digest, "crop": None})
        file = f"{split}/{number}.jpg"
        photo(number).save(trips / file, quality=60)
        served.append(
            {"source": name, "source_sha256": digest, "file": file, "platform": "weibo", "generation": 3}
            | {"remote_id": f"r{number}", "rendition": "large", "format": "JPEG", "bytes": 1, "sha256": "s"}
        )
    write(images, rows)
    write(trips, served)
    return House(pairs_setting)


def write(folder: Path, rows: list[dict]) -> None:
    lines = [json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row.get("name") or row["source"])]
    (folder / "manifest.jsonl").write_text("".join(lines))


def test_honest_round_trips_become_pairs_with_split_generation_and_measurements(house: House) -> None:
    assert house.build() == {None: 8}
    with house.stored() as stored:
        pair = stored.session.scalars(stored.select(Pair).where(Source.name == "validation/1.png")).one()
        assert (pair.round_trip.generation, pair.round_trip.remote_id, pair.round_trip.source.label) == (3, "r1", 1)
        assert (pair.width, pair.height, pair.scale_x, pair.scale_y) == (96, 96, 1.0, 1.0)
        first = read_pixels(Path("data/images/validation/1.png"))
        second = read_pixels(Path("data/round_trips/weibo/validation/1.jpg"))
        assert pair.residual == pytest.approx(mean_absolute_difference(first, second))
        assert pair.psnr == pytest.approx(psnr(first, second))
    assert accepted(house.file, "train") == (files := house.accepted("train"))
    assert [original.name for original, _ in files] == ["0.png", "3.png", "6.png"]
    assert all(original.is_file() and rendition.is_file() for original, rendition in files)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: photo(77).save(file), "another picture"),
        (lambda file: Image.new("RGB", (96, 96), "grey").save(file), "a blank placeholder"),
        (lambda file: photo(3).crop((0, 0, 96, 80)).save(file), "cropped by more than 10% of a side"),
        (lambda file: photo(3).resize((96, 80)).save(file), "stretched"),
        (lambda file: Image.fromarray(np.asarray(photo(3)) // 3).save(file), "too far off"),
        (lambda file: file.write_bytes(file.read_bytes()[:300]), "unreadable"),
    ],
)
def test_a_wrong_file_is_rejected_and_never_among_the_accepted(house: House, spoil, reason: str) -> None:
    spoil(Path("data/round_trips/weibo/train/3.jpg"))
    assert house.build() == {None: 7, reason: 1}
    assert [original.name for original, _ in house.accepted("train")] == ["0.png", "6.png"]


def test_two_files_that_changed_places_are_both_rejected(house: House) -> None:
    trips = Path("data/round_trips/weibo/train")
    shutil.move(trips / "0.jpg", trips / "x")
    shutil.move(trips / "3.jpg", trips / "0.jpg")
    shutil.move(trips / "x", trips / "3.jpg")
    assert house.build() == {None: 6, "another picture": 2}


def test_two_crops_of_one_photo_that_changed_places_are_both_rejected(house: House) -> None:
    whole = photo(50, (200, 200))
    for number, box in ((0, (0, 0, 190, 190)), (3, (6, 4, 196, 194))):
        crop = whole.crop(box).resize((96, 96), Image.Resampling.LANCZOS)
        crop.save(f"data/images/train/{number}.png")
        crop.save(f"data/round_trips/weibo/train/{3 - number}.jpg", quality=75)
    rows = [json.loads(line) for line in Path("data/images/manifest.jsonl").read_text().splitlines()]
    trips = [json.loads(line) for line in Path("data/round_trips/weibo/manifest.jsonl").read_text().splitlines()]
    assert (
        measure_pair(Path("data/images/train/0.png"), Path("data/round_trips/weibo/train/0.jpg"), SETTINGS).reason
        is None
    )
    write(Path("data/images"), rows)
    write(Path("data/round_trips/weibo"), trips)
    assert house.build() == {None: 6, "another picture": 2}


def test_an_original_that_changed_since_is_rejected(house: House) -> None:
    manifest = Path("data/round_trips/weibo/manifest.jsonl")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[0]["source_sha256"] = "older"
    write(manifest.parent, rows)
    assert house.build() == {None: 7, "the original has changed since it was uploaded": 1}


def test_a_scaled_rendition_is_measured_at_the_originals_size(tmp_path: Path) -> None:
    photo(1, (200, 120)).save(tmp_path / "original.png")
    photo(1, (200, 120)).resize((100, 60), Image.Resampling.LANCZOS).save(tmp_path / "served.png")
    measured = measure_pair(tmp_path / "original.png", tmp_path / "served.png", SETTINGS)
    assert measured.reason is None
    assert (measured.width, measured.height, measured.scale_x, measured.scale_y) == (100, 60, 0.5, 0.5)


def test_the_same_input_gives_the_same_database_and_a_stray_image_is_a_user_error(house: House) -> None:
    house.build()
    before = Path("data/pairs/weibo.db").read_bytes()
    house.build()
    assert Path("data/pairs/weibo.db").read_bytes() == before
    Path("data/images/manifest.jsonl").write_text("")
    with pytest.raises(UserError, match="8 images that are not in data/images"):
        house.build()
    assert Path("data/pairs/weibo.db").read_bytes() == before


def test_the_database_opens_read_only_and_holds_its_constraints(house: House) -> None:
    house.build()
    with house.stored() as stored, pytest.raises(DBAPIError, match=r"read-?only"):
        stored.session.add(Source(platform="weibo", name="x", path="x", split="train", label=None, sha256="x"))
        stored.session.commit()
    with pytest.raises(FileNotFoundError), open_platform("none", Path("data/pairs/none.db"), house.address):
        pass
    with Session(house.engine()) as session:
        session.add(Pair(round_trip_id=1, accepted=True, reason="both"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Source(platform="weibo", name="x", path="x", split="holdout", label=None, sha256="x"))
        with pytest.raises(IntegrityError, match="ck_sources_split"):
            session.commit()


def test_the_command_asks_the_database_before_the_work_and_fills_it_after(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    monkeypatch.setenv("COMREADV_PAIRS", "postgresql://me:s3cret@127.0.0.1:1/pairs")
    answer = CliRunner().invoke(command_line(pairing), ["--platform", "weibo"])
    assert answer.exit_code == 1 and "COMREADV_PAIRS in the environment can't be opened" in answer.output
    assert "s3cret" not in answer.output and not house.file.exists()
    monkeypatch.setenv("COMREADV_PAIRS", house.address or "")
    answer = CliRunner().invoke(command_line(pairing), ["--platform", "weibo"])
    assert answer.exit_code == 0, answer.output
    assert ("weibo: they are in the shared database too." in answer.output) == (house.address is not None)
    assert house.accepted("train") == accepted(house.file, "train") != []


def variants(number: int, quality: int, swapped: bool) -> None:
    """Make two originals of one photo that differ by 3 grey levels, as attacks' images do, and their renditions."""
    pixels = np.asarray(photo(number, (224, 224))).astype(np.int16)
    for place, name in enumerate(("0", "3")):
        signs = 3 * np.random.default_rng(place).choice([-1, 1], pixels.shape)
        image = Image.fromarray((pixels + signs).clip(0, 255).astype(np.uint8))
        image.save(f"data/images/train/{name}.png")
        served = ("3", "0")[place] if swapped else name
        image.save(f"data/round_trips/weibo/train/{served}.jpg", quality=quality)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("swapped", [False, True])
def test_adversarial_variants_of_one_photo_are_not_confused(house: House, quality: int, swapped: bool) -> None:
    variants(50, quality, swapped)
    assert house.build() == ({None: 6, "another picture": 2} if swapped else {None: 8})


def test_crops_of_one_photo_that_the_platform_resized_are_not_confused(house: House) -> None:
    whole = photo(50, (400, 400))
    trips = Path("data/round_trips/weibo/train")
    for swapped in (False, True):
        for name, box in (("0", (0, 0, 300, 300)), ("3", (10, 7, 310, 307))):
            crop = whole.crop(box).resize((150, 150), Image.Resampling.LANCZOS)
            crop.save(f"data/images/train/{name}.png")
            served = str(3 - int(name)) if swapped else name
            crop.resize((120, 120), Image.Resampling.BICUBIC, box=(2, 1, 150, 149)).save(trips / f"{served}.jpg")
        assert house.build() == ({None: 6, "another picture": 2} if swapped else {None: 8})


def test_the_same_file_for_two_originals_is_a_duplicate_for_the_wrong_one(house: House) -> None:
    trips = Path("data/round_trips/weibo/train")
    shutil.copy(trips / "0.jpg", trips / "3.jpg")
    assert house.build() == {None: 7, "a duplicate": 1}


def test_a_mirrored_and_marked_rendition_is_kept_with_its_turn_and_mask(house: House) -> None:
    marked = photo(3).resize((192, 192), Image.Resampling.LANCZOS)
    marked.save("data/images/train/3.png")
    marked.paste((255, 255, 255), (130, 150, 180, 170))
    marked.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("data/round_trips/weibo/train/3.jpg", quality=90)
    assert house.build() == {None: 8}
    with house.stored() as stored:
        (pair,) = [each for each in stored.aligned("train") if each.original.name == "3.png"]
    assert pair.alignment == Alignment(0, 0, 192, 192, Image.Transpose.FLIP_LEFT_RIGHT)
    assert pair.mask
    mask = mask_from_png(pair.mask)
    assert mask[150:170, 130:180].all() and mask.mean() < 0.08
