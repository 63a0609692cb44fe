from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from params import UserError
from train import pairs


def coordinates(folder: Path, height: int, width: int) -> tuple[Path, Path]:
    """Write an image whose red and green are row and column, twice."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = Image.fromarray(np.stack([rows, columns, rows], axis=2))
    files = folder / "a.png", folder / "b.png"
    for file in files:
        image.save(file)
    return files


def test_crops_start_on_the_codecs_grid_and_match(tmp_path: Path) -> None:
    split = pairs.Pairs([coordinates(tmp_path, 100, 150)], crop=32, seed=5)
    corners = set()
    for _ in range(200):
        original, rendition = split[0]
        assert torch.equal(original, rendition)
        assert original.shape == (3, 32, 32) and original.dtype == torch.uint8
        assert original[1, 0, 31] - original[1, 0, 0] == 31  # not flipped
        corners.add((int(original[0, 0, 0]), int(original[1, 0, 0])))
    assert corners == {(top, left) for top in range(0, 65, 16) for left in range(0, 113, 16)}


def test_crops_repeat_with_the_seed(tmp_path: Path) -> None:
    files = [coordinates(tmp_path, 128, 128)]
    first, second, other = (pairs.Pairs(files, crop=32, seed=seed) for seed in (1, 1, 2))
    drawn = [[split[0][0][:2, 0, 0].tolist() for _ in range(20)] for split in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("crop", "side"), [(None, (40, 50)), (112, (32, 32)), (16, (16, 16))])
def test_crop_is_lowered_to_what_fits(tmp_path: Path, crop: int | None, side: tuple[int, int]) -> None:
    split = pairs.Pairs([coordinates(tmp_path, 40, 50)], crop=crop)
    assert split[0][0].shape[1:] == side


def test_images_under_a_block_stay_whole(tmp_path: Path) -> None:
    assert pairs.Pairs([coordinates(tmp_path, 10, 50)], crop=32)[0][0].shape == (3, 10, 50)


def test_a_rendition_of_another_size_is_scaled_to_its_original(tmp_path: Path) -> None:
    original, rendition = coordinates(tmp_path, 40, 60)
    Image.open(rendition).resize((30, 20)).save(rendition)
    uploaded, served = pairs.read_pair(original, rendition)
    assert uploaded.shape == served.shape == (3, 40, 60)
    assert (uploaded.int() - served.int()).abs().float().mean() < 1


def test_nothing_to_train_on_says_what_to_run(tmp_path: Path, make_pairs: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"no pairs database .*weibo\.db.*comreadv collect --platform weibo"):
        pairs.load(tmp_path / "weibo.db", "train")
    database = make_pairs(accepted=False, train=1)
    with pytest.raises(UserError, match=r"tiny\.db holds no accepted pair .* train.*comreadv pairing --platform tiny"):
        pairs.load(database, "train")


def test_a_broken_image_is_named(make_pairs: Callable[..., Path]) -> None:
    database = make_pairs(train=2)
    (database.parent / "1.jpg").write_bytes(b"<html>sorry</html>")
    with pytest.raises(UserError, match=r"1\.jpg"):
        pairs.load(database, "train")
