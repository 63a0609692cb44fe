"""The emulator: real encoders' chains are found again from their files alone, and what isn't known isn't claimed."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage import data
from typer.testing import CliRunner

from collect import codecs
from collect.codecs.kernels import SizeRule, resize_step
from collect.codecs.steps.backends import is_installed
from params import UserError
from train.emulator import table_rules
from train.emulator.__main__ import app, matching_files
from train.emulator.encoder_guesses import alike
from train.emulator.identify import identify
from train.emulator.model import Emulator, Limit, Tables, bits_a_pixel
from train.emulator.observations import read_header, read_pair, resize_rules
from train.emulator.search import Candidate, Search
from train.layers.bitrate import estimate_bitrate

Platform = Callable[[Image.Image], bytes]

PHOTOS = [Image.fromarray(photo).convert("RGB") for photo in (data.astronaut(), data.coffee(), data.cat())]
RANDOM = np.random.default_rng(3)
LUMA, CHROMA = (tuple(map(int, RANDOM.integers(low, 60, 64))) for low in (3, 9))
FOREIGN = [  # by libraries that need not be installed
    chain
    for chain, package in (
        ("mozjpeg:80:420", "pyvips"),
        ("mozjpeg:77:444:baseline:table0:noovershoot", "pyvips"),
        ("jpegli:80", "pyjpegli"),
        ("vips_avif:50:444:e1", "pyvips"),
        ("webp:70:m4:f20", "webp"),
        ("webp:80:m4:af", "webp"),
        ("webp:60:m4:photo", "webp"),
        ("webp:75:m4:sharp_yuv", "webp"),
    )
    if is_installed(package)
]


def photo(index: int) -> Image.Image:
    """Cut a piece out of a photo and make its sides 64 to 110 pixels long."""
    place, source = np.random.default_rng(index), PHOTOS[index % 3]
    left, top = place.integers(0, source.width - 200), place.integers(0, source.height - 200)
    size = (int(place.integers(64, 111)), int(place.integers(64, 111)))
    return source.crop((left, top, left + 200, top + 200)).resize(size)


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of pairs: photos, and what a platform makes of them."""

    def make(platform: str | Platform, count: int = 8) -> Path:
        for name in ("originals", "renditions"):
            (tmp_path / name).mkdir()
        for index in range(count):
            original = photo(index)
            served = codecs.encode(original, platform) if isinstance(platform, str) else platform(original)
            original.save(tmp_path / "originals" / f"{index}.png")
            (tmp_path / "renditions" / f"{index}.bin").write_bytes(served)
        return tmp_path

    return make


@pytest.mark.parametrize(
    "chain",
    [
        "jpeg:63:422",
        "jpeg:87:444:progressive",
        "jpeg:82:420:ifast",
        "go:75",
        *FOREIGN,
        "webp:37:m4",
        "webp:81:m2",
        "webp:20:m0",
        "webp:30:m1",
        "webp:lossless",
        "jp2:12",
        "jp2:15:irreversible",
        "jp2:33dB",
        "avif:60:420:s8",
        "png",
        "resize:0.75:lanczos+jpeg:71:420",
        "fit:70:bicubic+png",
        "width:70:box+sharpen:0.4+jpeg:80:420",
        "sharpen:0.55+webp:60:m4",
        "resize:0.5:hamming+jp2:10",
        "jpeg:88:420+resize:0.5:lanczos+jpeg:75:420",
        "jpeg:90:444+jpeg:60:420",
    ],
)
def test_a_chain_is_found_again_from_its_files(upload: Callable[..., Path], chain: str) -> None:
    found = identify(matching_files(upload(chain)))
    assert found.chain == chain
    assert (found.mae, found.exact, found.pairs, found.identified) == (0, 1, 4, True)
    assert found.why.startswith("4 of 4 unseen pairs reproduced pixel for pixel")
    assert found(photo(99)).tobytes() == decoded(codecs.encode(photo(99), chain)).tobytes()


def test_a_plan_that_is_right_on_one_pair_by_chance_gives_way_to_one_that_is_right_on_all(tmp_path: Path) -> None:
    pairs = []
    for index, image in enumerate((Image.new("RGB", (40, 40), "red"), photo(1), photo(2))):
        image.save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.bin").write_bytes(codecs.encode(image, "jpeg:80"))
        pairs.append(read_pair(read_header(tmp_path / f"{index}.png", tmp_path / f"{index}.bin")))
    search = Search(pairs, deadline=float("inf"))
    candidates = [
        Candidate("jpeg:80", filter="sharpen:0.5"),
        Candidate("jpeg:80", kernel="box"),
        Candidate("jpeg:80", filter="sharpen:0.1"),
    ]
    assert [search.error(candidate, 1) for candidate in candidates] == [0, 0, 0]
    assert search.best_of(candidates) == candidates[1]
    late = Search(pairs, deadline=0)
    assert late.best_of(candidates) == candidates[0]
    assert not late.is_found(candidates[1])


def test_a_search_that_runs_out_of_time_keeps_the_best_of_what_it_measured(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "1.png")
    (tmp_path / "1.bin").write_bytes(codecs.encode(photo(1), "jpeg:80"))

    class Hurried(Search):
        asked = 0

        def is_late(self) -> bool:  # between what is measured of the worse plan and what is told of it
            self.asked += (Candidate("jpeg:10").chain, 0) in self.errors
            return self.asked > 1

    better, worse = Candidate("jpeg:75"), Candidate("jpeg:10")
    search = Hurried([read_pair(read_header(tmp_path / "1.png", tmp_path / "1.bin"))], deadline=float("inf"))
    assert search.best_of([better, worse]) == better


def test_tables_of_no_quality_come_straight_from_the_files(upload: Callable[..., Path]) -> None:
    chain = "resize:0.6:bicubic+sharpen:0.2+jpeg:tables:444:progressive"
    found = identify(matching_files(upload(lambda image: codecs.encode(image, chain, (LUMA, CHROMA)))))
    assert (found.chain, found.mae, found.identified) == (chain, 0, True)
    assert [(each.luma, each.chroma, each.share) for each in found.tables] == [(LUMA, CHROMA, 1)]


def test_an_unknown_step_is_not_claimed_to_be_known(upload: Callable[..., Path]) -> None:
    found = identify(
        matching_files(upload(lambda image: codecs.encode(image.filter(ImageFilter.MedianFilter(3)), "jpeg:75")))
    )
    assert not found.identified and found.mae > 0.5 and found.exact == 0
    assert found.why.startswith(f"not identified: nearest is {found.chain}, ")


def test_sizes_that_no_step_explains_are_not_identified(upload: Callable[..., Path]) -> None:
    def platform(image: Image.Image) -> bytes:
        return codecs.encode(image.resize((image.width - 7, image.height)), "jpeg:75")

    found = identify(matching_files(upload(platform)))
    assert not found.identified and "no size rule here explains the served sizes" in found.why


def test_a_format_that_no_encoder_here_makes_is_not_identified(upload: Callable[..., Path]) -> None:
    def platform(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, "GIF")
        return file.getvalue()

    found = identify(matching_files(upload(platform)))
    assert (found.format, found.identified) == ("GIF", False)
    assert "GIF" in found.why


def test_the_search_ends_in_time(upload: Callable[..., Path]) -> None:
    def platform(image: Image.Image) -> bytes:
        return codecs.encode(image.filter(ImageFilter.MedianFilter(3)), "avif:50:s4")

    files = matching_files(upload(platform))
    start = time.monotonic()
    assert not identify(files, seconds=2).identified
    assert time.monotonic() - start < 8


def under(bits: float) -> Platform:
    """Make a platform that lowers the quality until a file takes so few bits a pixel."""

    def platform(image: Image.Image) -> bytes:
        files = [codecs.encode(image, f"jpeg:{quality}") for quality in (90, 80, 70)]
        pixels = image.width * image.height
        return next((file for file in files if 8 * len(file) <= bits * pixels), files[-1])

    return platform


def test_a_limit_on_the_file_is_learned_where_tables_vary_with_content(upload: Callable[..., Path]) -> None:
    found = identify(matching_files(upload(under(3.3), count=60)))
    assert found.chain == "jpeg:tables:420"
    assert [each.quality for each in found.tables] == [90, 80, 70]
    assert found.limit is not None and found.limit.bits == pytest.approx(3.3, abs=0.15)
    assert found.thresholds is not None and len(found.thresholds) == 2
    assert found.exact >= 0.9
    by_bitrate = found.model_copy(update={"limit": None})
    asked = [photo(index) for index in range(100, 140)]
    right = [by_bitrate(image).tobytes() == decoded(under(3.3)(image)).tobytes() for image in asked]
    commonest = max(each.share for each in found.tables)
    assert np.mean(right) > commonest


def test_tables_without_a_rule_stay_a_distribution(upload: Callable[..., Path]) -> None:
    draw = random.Random(5)
    found = identify(
        matching_files(upload(lambda image: codecs.encode(image, draw.choice(("jpeg:80", "jpeg:40"))), count=40))
    )
    assert (found.thresholds, found.limit, found.identified) == (None, None, False)
    assert [each.quality for each in found.tables] == [80, 40]
    assert sum(each.share for each in found.tables) == pytest.approx(1)
    assert "nothing found tells" in found.why
    asked = photo(7)
    likely = max(found.tables, key=lambda each: each.share)
    assert found(asked).tobytes() == decoded(codecs.encode(asked, f"jpeg:{likely.quality}")).tobytes()


def test_the_second_half_scores_and_then_all_pairs_teach_the_tables(upload: Callable[..., Path]) -> None:
    files = matching_files(upload("jpeg:80"))
    for original, rendition in files[4:]:
        rendition.write_bytes(codecs.encode(Image.open(original), "jpeg:40"))
    found = identify(files)
    assert (found.exact, found.pairs, found.identified) == (0, 4, False)
    assert found.why.startswith("not identified: nearest is jpeg:80:420")
    assert "2 sets of tables" in found.why and "the score is that of the first half's alone" in found.why
    assert [(each.quality, each.share) for each in found.tables] == [(80, 0.5), (40, 0.5)]
    assert found.chain == "jpeg:tables:420"


def test_a_rule_is_proved_on_other_photos_than_it_was_learned_from() -> None:
    folds = []  # of five photos, six crops of each

    def learned(kept: NDArray[np.int64]) -> Callable[[int], int]:
        folds.append(set(range(30)) - set(kept.tolist()))
        return lambda _: 0

    table_rules._right(np.zeros(30, int), learned)
    assert folds == [set(range(start, start + 6)) for start in range(0, 30, 6)]


def test_a_rule_is_seldom_learned_from_tables_that_are_drawn() -> None:
    tables = [Tables(quality=0, share=0.5, luma=(step,) * 64, chroma=None) for step in (5, 20)]
    images = [photo(index).resize((32, 32)) for index in range(24)]
    draw = random.Random(1)
    learned = [
        table_rules.learn_rules(images, [draw.randrange(2) for _ in images], "jpeg:tables", tables, float("inf"))
        for _ in range(20)
    ]
    assert sum(each != (None, None) for each in learned) <= 4


def test_a_rule_forgets_images_and_stops_in_time() -> None:
    taken = []

    def images() -> Iterator[Image.Image]:
        for index in range(20):
            taken.append(index)
            yield photo(index)

    tables = [Tables(quality=0, share=0.5, luma=LUMA, chroma=CHROMA)] * 2
    assert table_rules.learn_rules(images(), [0, 1] * 10, "jpeg:tables", tables, deadline=0) == (None, None)
    assert len(taken) == 1


def test_pairs_without_tables_don_t_stop_the_scoring(upload: Callable[..., Path]) -> None:
    draw = random.Random(5)
    files = matching_files(upload(lambda image: codecs.encode(image, draw.choice(("jpeg:80", "jpeg:40"))), count=12))
    files[-1][1].write_bytes(codecs.encode(Image.open(files[-1][0]), "png"))
    found = identify(files)
    assert (found.chain, found.pairs) == ("jpeg:tables:420", 6)
    assert "(0 with each file's own tables)" in found.why


@pytest.mark.parametrize(
    ("chain", "odd"),
    [("webp:60:m4", "webp:lossless"), ("jp2:12", "jp2:2:irreversible"), ("avif:60:420:s8", "avif:95:444:s8")],
)
def test_one_odd_file_doesn_t_spoil_the_guess(upload: Callable[..., Path], chain: str, odd: str) -> None:
    files = matching_files(upload(chain))
    files[1][1].write_bytes(codecs.encode(Image.open(files[1][0]), odd))
    observed = sorted([read_pair(read_header(*each)) for each in files], key=lambda pair: -pair.header.bytes_a_pixel)
    assert observed[0].header.rendition == files[1][1]
    assert alike(observed) == observed[1:]
    found = identify(files)
    assert (found.chain, found.mae, found.identified) == (chain, 0, True)


def test_steps_that_no_encoder_here_writes_are_not_identified(upload: Callable[..., Path]) -> None:
    def platform(image: Image.Image) -> bytes:
        content = codecs.encode(image, "jpeg:tables", ((30000,) * 64, (30000,) * 64))
        return content.replace((30000).to_bytes(2, "big") * 64, b"\xff\xff" * 64)

    found = identify(matching_files(upload(platform)))
    assert (found.tables, found.identified) == ((), False)
    assert "no encoder here makes such JPEG files" in found.why


def test_an_original_too_large_to_encode_is_named(tmp_path: Path) -> None:
    for name, size in (("long.png", (17000, 4)), ("served.png", (1000, 1))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(UserError, match=r"long\.png is 17000x4 pixels.*16383"):
        read_header(tmp_path / "long.png", tmp_path / "served.png")


def test_a_scale_that_no_step_takes_explains_nothing() -> None:
    assert resize_rules([((16, 16), (160, 160)), ((20, 16), (200, 160)), ((16, 8), (160, 80))]) == []


def test_a_limit_spares_large_images() -> None:
    limit = Limit(bits=2.0, largest_side=512)
    assert [limit.choose(side, (3.0, 2.5, 1.9, 1.0), 4) for side in (512, 513)] == [2, 0]
    assert limit.choose(100, (3.0, 2.5), 2) == 1


def test_an_emulator_is_replayed_from_its_json(tmp_path: Path) -> None:
    tables = tuple(
        Tables(quality=90 - 20 * place, share=0.5, luma=tuple(step + 9 * place for step in LUMA), chroma=CHROMA)
        for place in range(2)
    )
    emulator = Emulator(
        chain="resize:0.5+jpeg:tables:420",
        tables=tables,
        thresholds=(2.0,),
        format="JPEG",
        identified=True,
        mae=0.01,
        exact=0.5,
        pairs=4,
        why="",
    )
    emulator.save(tmp_path / "deep" / "emulator.json")
    replayed = Emulator.load(tmp_path / "deep" / "emulator.json")
    assert replayed == emulator
    calm, busy = photo(0).filter(ImageFilter.GaussianBlur(3)), Image.effect_noise((64, 64), 90).convert("RGB")
    for image, chosen in ((calm, tables[0]), (busy, tables[1])):
        assert replayed.choose(image) == chosen
        expected = decoded(codecs.encode(image, emulator.chain, (chosen.luma, CHROMA)))
        assert replayed(image).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"chain": "jpeg:200", "format": "JPEG", "identified": true, "mae": 0, "exact": 1, "pairs": 1, "why": ""}',
        '{"chain": "jpeg:tables", "format": "JPEG", "identified": true, "mae": 0, "exact": 1, "pairs": 1, "why": ""}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "emulator.json"
    with pytest.raises(UserError, match="is missing"):
        Emulator.load(file)
    file.write_text(content)
    with pytest.raises(UserError, match=r"emulator.json is damaged.*python -m train.emulator"):
        Emulator.load(file)


def test_the_command_prints_the_error_last_and_writes_the_emulator(upload: Callable[..., Path]) -> None:
    folder = upload("jpeg:71")
    answer = CliRunner().invoke(app, ["--pairs", str(folder), "--out", str(folder / "found.json")])
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[:2] == ["libjpeg 71, 4:2:0", "chain jpeg:71:420"] and lines[-1] == "mae 0.0000"
    assert Emulator.load(folder / "found.json").chain == "jpeg:71:420"


@pytest.mark.parametrize(("out", "said"), [("", "is a folder"), ("file/found.json", "can't be made")])
def test_the_command_refuses_a_file_that_it_can_t_write_before_it_searches(
    upload: Callable[..., Path], out: str, said: str
) -> None:
    folder = upload("jpeg:71", count=1)  # a search would stop at so few
    (folder / "file").touch()
    answer = CliRunner().invoke(app, ["--pairs", str(folder), "--out", str(folder / out)])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit)
    assert said in " ".join(answer.stderr.split())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "renditions").rename(folder / "others"), "There is no folder"),
        (lambda folder: [file.unlink() for file in (folder / "renditions").iterdir()], "no file of originals/"),
        (lambda folder: (folder / "renditions" / "3.bin").write_bytes(b"nothing"), "3.bin can't be read"),
        (lambda folder: truncate(folder / "renditions" / "1.bin"), "1.bin can't be read"),
        (lambda folder: [file.unlink() for file in (folder / "renditions").glob("[1-9].bin")], "too few"),
        (lambda folder: (folder / "originals" / "0.jpg").touch(), "have one stem"),
    ],
)
def test_the_command_explains_what_is_wrong(
    upload: Callable[..., Path], spoil: Callable[[Path], object], said: str
) -> None:
    folder = upload("jpeg:71")
    spoil(folder)
    answer = CliRunner().invoke(app, ["--pairs", str(folder), "--out", str(folder / "found.json")])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit)
    assert said in " ".join(answer.stderr.split())
    assert not (folder / "found.json").exists()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


SIDES = st.integers(20, 4000)
PIXELS = st.integers(16, 3000)
ROUNDED = st.sampled_from(list(SizeRule.ROUNDINGS))
RULES = st.one_of(
    st.builds(
        SizeRule, st.sampled_from(("fit", "short", "width", "height")), st.tuples(PIXELS), ROUNDED, st.booleans()
    ),
    st.builds(SizeRule, st.sampled_from(("box", "cover")), st.tuples(PIXELS, PIXELS), ROUNDED),
    st.builds(
        SizeRule, st.just("resize"), st.tuples(st.integers(5, 300).map(lambda hundredths: hundredths / 100)), ROUNDED
    ),
)


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=8), RULES)
def test_every_resize_rule_is_among_those_that_explain_its_sizes(
    originals: list[tuple[int, int]], rule: SizeRule
) -> None:
    sizes = [(size, rule.served(size)) for size in originals]
    found = resize_rules(sizes)
    assert found
    for step in filter(None, found):
        explaining, _ = resize_step(*step.split(":"))
        assert all(explaining.served(before) == after for before, after in sizes)


def test_the_estimated_bitrate_foretells_a_file_s_bits_on_any_size() -> None:
    tables = Tables(quality=0, share=1, luma=LUMA, chroma=LUMA)
    images = [photo(index).resize((203, 171)) for index in range(24)]
    real = [bits_a_pixel(image, "jpeg:tables:420", tables) for image in images]
    foretold = [
        estimate_bitrate(
            torch.tensor(np.array(image)).permute(2, 0, 1)[None] / 255, torch.tensor(LUMA).view(8, 8)
        ).item()
        for image in images
    ]
    assert np.corrcoef(real, foretold)[0, 1] > 0.98


def test_the_estimated_bitrate_of_a_batch_is_each_image_s() -> None:
    images, luma = torch.rand(3, 3, 21, 35), torch.tensor(LUMA).view(8, 8)
    each = torch.cat([estimate_bitrate(image[None], luma) for image in images])
    assert torch.allclose(estimate_bitrate(images, luma), each, rtol=1e-5)
    assert estimate_bitrate(torch.full((1, 3, 16, 16), 128 / 255), luma).item() == 0
