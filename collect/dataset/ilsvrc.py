"""Where photos come from, and their ILSVRC-2012 labels: the official archives, any folder, installed wheels."""

from __future__ import annotations

import re
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

from collect.dataset.folder import class_indices, folder_photos
from collect.dataset.photos import Photo
from params import UserError

IMAGES = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
META = "data/meta.mat"
GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
BROKEN_ARCHIVE = (tarfile.TarError, OSError, EOFError, zlib.error)


def validation_photos(root: Path) -> list[Photo]:
    """List ILSVRC-2012's validation photos with their class index.

    `root` holds, first found first: the official tar of images; the same images extracted, in it or in
    `val`; torchvision's tree `val/<wnid>/*.JPEG`. All but the tree need the devkit, packed or extracted.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder. Give ILSVRC-2012's folder with --root or dataset.root.")
    if (root / IMAGES).is_file():
        return _from_tar(root / IMAGES, _ground_truth(root))
    for folder in (root, root / "val"):
        if files := [file for file in folder.glob("*.JPEG") if NUMBERED.fullmatch(file.name)]:
            truth = _ground_truth(root)
            return [_numbered(file.name, file, truth, file.relative_to(root).as_posix()) for file in files]
    for within in ("val", "."):
        if any((root / within / wnid).is_dir() for wnid in class_indices()):
            return [photo for photo in folder_photos(root, within) if photo.label is not None]
    raise UserError(
        f"No ILSVRC-2012 validation images in {root}. Expected {root / IMAGES}, or its images "
        f"extracted there or in {root / 'val'}, or folders named by wnid in {root / 'val'}."
    )


def _from_tar(archive: Path, truth: list[int]) -> list[Photo]:
    """Find the images inside the tar; they are read in place, never extracted."""
    try:
        with tarfile.open(archive, "r:") as tar:
            members = [member for member in tar if member.isfile()]
    except BROKEN_ARCHIVE as error:
        raise UserError(f"{archive} is truncated or damaged ({error}). Download it again.") from None
    images = [member for member in members if NUMBERED.fullmatch(Path(member.name).name)]
    if len(images) != len(truth):
        raise UserError(
            f"{archive} holds {len(images)} validation images and the devkit lists {len(truth)}. "
            "The archive is incomplete or not the official one; download it again."
        )
    return [
        _numbered(Path(each.name).name, archive, truth, f"{IMAGES}:{each.name}", each.offset_data, each.size)
        for each in images
    ]


def _numbered(name: str, path: Path, truth: list[int], source: str, offset: int = 0, size: int | None = None) -> Photo:
    match = NUMBERED.fullmatch(name)
    number = int(match[1]) if match else 0
    if not 1 <= number <= len(truth):
        raise UserError(f"{path}: {name} has no line in the devkit's ground truth of {len(truth)} lines.")
    return Photo(source, Path(name).stem, path, truth[number - 1], offset, size)


def _ground_truth(root: Path) -> list[int]:
    """Read the class index of each validation image, in the order of their numbers."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    meta, truth = _devkit_files(root)
    try:
        synsets = loadmat(BytesIO(meta), squeeze_me=True)["synsets"].reshape(-1)
        wnids = dict(zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True))
        return [class_indices()[wnids[int(line)]] for line in truth.split()]
    except (
        MatReadError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        NotImplementedError,
        zlib.error,
    ):
        raise UserError(
            f"The devkit in {root} is damaged or not ILSVRC-2012's: {META} and {GROUND_TRUTH} don't "
            f"give a known wnid for each image. Download {DEVKIT}.tar.gz again."
        ) from None


def _devkit_files(root: Path) -> tuple[bytes, bytes]:
    archive, folder = root / f"{DEVKIT}.tar.gz", root / DEVKIT
    try:
        if folder.is_dir():
            return (folder / META).read_bytes(), (folder / GROUND_TRUTH).read_bytes()
        with tarfile.open(archive, "r:gz") as tar:
            meta, truth = (tar.extractfile(f"{DEVKIT}/{name}") for name in (META, GROUND_TRUTH))
            return (meta.read() if meta else b""), (truth.read() if truth else b"")
    except FileNotFoundError as error:
        missing = folder if folder.is_dir() else archive
        raise UserError(f"{error.filename or missing} is missing: put {DEVKIT}.tar.gz into {root}.") from None
    except KeyError as error:
        raise UserError(f"{archive}: {error.args[0]}. It is not the official devkit.") from None
    except BROKEN_ARCHIVE as error:
        raise UserError(f"{archive} is truncated or damaged ({error}). Download it again.") from None
