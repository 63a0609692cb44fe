from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from pairing.alignment.align import measure_pair
from pairing.build import columns_of, new_database
from pairing.database import Pair, RoundTrip, Source
from params import Pairing, UserError
from train import tensors
from train.data.pairs import Cache, Pairs, crops, load_pairs
from train.training.metrics import mean_absolute_error
from train.training.trainer import absolute_error


def coordinates(height: int, width: int) -> Tensor:
    """Make an image whose red and green are row and column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return torch.from_numpy(np.stack([rows, columns, rows]))


def test_crops_start_on_the_codecs_grid_and_match() -> None:
    image = coordinates(100, 150)
    generator = torch.Generator().manual_seed(5)
    corners = set()
    for _ in range(100):
        originals, renditions = crops([(image, image[:1])] * 2, 32, generator)
        assert torch.equal(originals[:, :1], renditions)
        assert originals.shape == (2, 3, 32, 32) and originals.dtype == torch.uint8
        for original in originals:
            assert original[1, 0, 31] - original[1, 0, 0] == 31  # not flipped
            corners.add((int(original[0, 0, 0]), int(original[1, 0, 0])))
    assert corners == {(top, left) for top in range(0, 65, 16) for left in range(0, 113, 16)}


def test_crops_repeat_with_the_seed() -> None:
    items = [(coordinates(128, 128), coordinates(128, 128))]
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    drawn = [[crops(items, 32, generator)[0][0, :2, 0, 0].tolist() for _ in range(20)] for generator in generators]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("sizes", "side", "expected"),
    [
        ([(40, 50)], None, (40, 50)),
        ([(40, 50), (60, 20)], None, (32, 16)),
        ([(40, 50)], 112, (32, 48)),
        ([(40, 50), (90, 90)], 16, (16, 16)),
        ([(10, 50)], 32, (10, 32)),
    ],
)
def test_crops_of_one_batch_have_the_largest_size_that_fits(
    sizes: list[tuple[int, int]], side: int | None, expected: tuple[int, int]
) -> None:
    items = [(coordinates(*size), coordinates(*size)) for size in sizes]
    assert crops(items, side, torch.Generator())[0].shape[2:] == expected


def test_a_rendition_comes_as_it_was_served_and_is_scaled_when_asked(tmp_path: Path) -> None:
    files = tmp_path / "a.png", tmp_path / "b.png"
    picture = tensors.to_picture(coordinates(40, 60))
    picture.save(files[0])
    picture.resize((30, 20)).save(files[1])
    original, rendition = Pairs([files])[0]
    assert original.shape == (3, 40, 60) and rendition.shape == (3, 20, 30)
    scaled = tensors.scaled(rendition, 40, 60)
    assert torch.equal(scaled, tensors.read_image(files[1], (60, 40)))
    assert (original.int() - scaled.int()).abs().float().mean() < 1


def test_the_cache_holds_no_more_than_it_may_and_forgets_the_oldest() -> None:
    made: list[int] = []

    def make(key: int) -> tuple[Tensor, Tensor]:
        made.append(key)
        return torch.full((50,), key, dtype=torch.uint8), torch.zeros(50, dtype=torch.uint8)

    cache = Cache(limit=250)
    for key in (0, 1, 0, 2, 0, 1):
        assert cache.get(key, make)[0][0] == key
        assert cache.bytes == 100 * len(cache.kept) <= 250
    assert made == [0, 1, 2, 1]
    assert Cache(limit=10).get(7, make)[0][0] == 7


def test_some_pairs_are_spread_over_all() -> None:
    files = [(Path(str(number)), Path()) for number in range(10)]
    assert [str(original) for original, _ in Pairs(files).some(4).files] == ["0", "2", "5", "7"]
    assert len(Pairs(files).some(40)) == 10


def test_nothing_to_train_on_says_what_to_run(tmp_path: Path, make_pairs: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"no pairs database .*weibo\.db.*comreadv collect --platform weibo"):
        load_pairs(tmp_path / "weibo.db", "train")
    database = make_pairs(accepted=False, train=1)
    with pytest.raises(UserError, match=r"tiny\.db holds no accepted pair .* train.*comreadv pairing --platform tiny"):
        load_pairs(database, "train")


def test_a_broken_image_is_named(make_pairs: Callable[..., Path]) -> None:
    database = make_pairs(train=2)
    (database.parent / "1.jpg").write_bytes(b"<html>sorry</html>")
    with pytest.raises(UserError, match=r"1\.jpg.*comreadv pairing --platform tiny"):
        list(load_pairs(database, "train"))


def stamped_and_cropped(folder: Path) -> tuple[Path, list[Path]]:
    """Write an original, and renditions of it: whole, with a white stamp, and cropped by 3 pixels on the left."""
    folder.mkdir()
    image = Image.fromarray(data.astronaut()[:160, 100:300])
    image.save(folder / "original.png")
    stamped = image.copy()
    stamped.paste((255, 255, 255), (140, 128, 188, 150))
    files = [folder / f"{name}.png" for name in ("whole", "stamped", "cropped")]
    for file, rendition in zip(files, (image, stamped, image.crop((3, 0, 200, 160))), strict=True):
        rendition.save(file)
    return folder / "original.png", files


def load_measured(original: Path, renditions: list[Path]) -> Pairs:
    """Measure pairs, write them into a database, and read them back for training."""
    with new_database(original.parent / "tiny.db") as session:
        source = Source(platform="tiny", name="train/original.png", path=str(original), split="train", sha256="0")
        for number, file in enumerate(renditions):
            measured = measure_pair(original, file, Pairing())
            assert measured.reason is None
            told = {"rendition": str(number), "remote_id": "", "format": "PNG", "bytes": 1, "sha256": "0"}
            trip = RoundTrip(source=source, platform="tiny", generation=1, path=str(file), **told)
            session.add(Pair(round_trip=trip, **columns_of(measured)))
    return load_pairs(original.parent / "tiny.db", "train")


def test_what_a_rendition_does_not_show_carries_no_loss_and_no_error(tmp_path: Path) -> None:
    original, files = stamped_and_cropped(tmp_path / "three")
    loaded = load_measured(original, files)
    (image, whole), (_, stamped), (_, cropped) = loaded
    assert whole.shape == (3, 160, 200) and torch.equal(whole, image)
    assert stamped.shape == cropped.shape == (4, 160, 200)
    assert not stamped[3, 128:150, 140:188].any() and (stamped[3] == 255).float().mean() > 0.9
    assert cropped[3, :, :3].max() == 0 and cropped[3, :, 3:].min() == 255
    assert torch.equal(cropped[:3, :, 3:], image[:, :, 3:])  # laid where it belongs, pixel for pixel
    assert tensors.mean_absolute_difference(image, stamped[:3]) > 1
    for rendition in (stamped, cropped):
        assert mean_absolute_error(None, [(image, rendition)]) == 0
        outputs = (image / 255)[None].requires_grad_()
        error, counted = absolute_error(outputs + 0.1, tensors.opaque(rendition)[None], torch.device("cpu"))
        error.backward()
        assert counted == (rendition[3] == 255).sum()
        assert (error / counted).item() == pytest.approx(0.1, abs=1e-5)
        assert outputs.grad is not None and torch.equal(outputs.grad[0, 0] != 0, rendition[3] == 255)
    unmoved = loaded.unmoved()
    assert list(unmoved) == [(original, files[0]), (original, files[1])]
    assert [mask is None for mask in unmoved.values()] == [True, False]


def test_a_mask_follows_its_rendition_to_another_size() -> None:
    image = torch.cat([coordinates(64, 64), torch.full((1, 64, 64), 255, dtype=torch.uint8)])
    image[3, :, :33] = 0
    smaller = tensors.scaled(image, 32, 32)
    assert torch.equal(smaller[:3], tensors.scaled(image[:3], 32, 32))
    assert torch.equal(
        tensors.colours_and_counts(smaller)[1][0, 0], torch.arange(32) > 16
    )  # no pixel that is half hidden
