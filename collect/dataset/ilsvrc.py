"""Where photos come from, and their ILSVRC-2012 labels: the official archives, any folder, installed wheels."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from collect.dataset.photos import Photo
from params import UserError

IMAGES = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
META = "data/meta.mat"
GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
BROKEN_ARCHIVE = (tarfile.TarError, OSError, EOFError, zlib.error)

# Colour photographs inside installed wheels. Of scikit-image's, drawings, test patterns and grey images are
# left out, and the second view of its stereo pair: one scene must not stand in two splits.
SAMPLE = {
    "foolbox": ("data/imagenet_*.jpg",),
    "skimage": (
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/motorcycle_left.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
LABELLED = re.compile(r"imagenet_(\d+)_(\d+)")  # foolbox: running number, class index


@cache
def class_indices() -> dict[str, int]:
    """Map each of the 1000 wnids to its class index: its place in sorted order, as torchvision has it."""
    text = Path(__file__).with_name("ilsvrc_wnids.txt").read_text(encoding="ascii")
    return {wnid: index for index, wnid in enumerate(text.split())}


def sample_photos() -> list[Photo]:
    """List the photos inside foolbox, scikit-image and scikit-learn; raise UserError when one is missing."""
    photos = []
    for package, patterns in SAMPLE.items():
        spec = find_spec(package)  # does not import the package, which would be slow
        if spec is None or spec.origin is None:
            raise UserError(f"The sample needs {package}. Install it with: pip install -e '.[sample]'")
        folder = Path(spec.origin).parent
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            numbers = LABELLED.fullmatch(path.stem)
            stem = f"{package}-{numbers[1] if numbers else path.stem}"
            label = int(numbers[2]) if numbers else None
            photos.append(Photo(f"{package}:{path.relative_to(folder).as_posix()}", stem, path, label))
    return photos


def folder_photos(root: Path, within: str = ".") -> list[Photo]:
    """List the files below `root / within` but hidden ones; a folder named by a wnid labels what is in it."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder. Give the folder of the photos with --root or dataset.root.")
    photos = []
    for folder, _, names in os.walk(root / within):
        for path in (Path(folder, name) for name in names):
            parts = path.relative_to(root).parts
            if not any(part.startswith(".") for part in parts):
                labels = [class_indices()[part] for part in parts[:-1] if part in class_indices()]
                label = labels[-1] if labels else None
                photos.append(Photo(_printable("/".join(parts)), path.stem, path, label))
    return photos


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


def _printable(name: str) -> str:
    """Spell out the bytes of a file name that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
