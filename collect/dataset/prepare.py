"""Stage `prepare`: photos in, size × size PNG images in three splits and their manifest out."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import accumulate, chain, islice
from pathlib import Path

from PIL import Image
from rich.progress import Progress

import params
from collect.dataset.folder import folder_photos
from collect.dataset.ilsvrc import validation_photos
from collect.dataset.manifest import MANIFEST, SPLITS, Prepared, SetAside, Split, write_manifest
from collect.dataset.photos import Photo, crop_boxes, in_seeded_order, shape
from collect.dataset.sample import sample_photos
from collect.files import replace_folder
from collect.images import Unusable, decode
from collect.terminal import terminal
from params import UserError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}  # for a person to mend
PHOTOS_IN_FLIGHT = 64  # Ctrl-C waits for no more than these


@dataclass(frozen=True)
class Summary:
    """The lines of the manifest: images sorted by name, then photos set aside sorted by source."""

    images: list[Prepared]
    set_aside: list[SetAside]


def prepare(settings: params.Dataset, out: Path) -> Summary:
    """Make a dataset's images and manifest in `out`, which is replaced whole at the end.

    A seeded hash of the photos' names decides the splits, so neither file system nor machine does. With
    whole numbers in `settings.split`, no more photos are read than are needed. Raises UserError.
    """
    out = out.resolve()
    _check_place(settings, out)
    photos = in_seeded_order(_find(settings), settings.seed)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise params.unwritable(part, error) from None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # of broken metadata around good pixels
            summary = _make(settings, photos, part)
        write_manifest(part, [*summary.images, *summary.set_aside])
        replace_folder(part, out)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise params.unwritable(error.filename or part, error, "read or written") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return summary


def share_out(split: params.Split, photos: int) -> dict[Split, int]:
    """Turn a split into numbers of photos; raise UserError when there are too few for whole numbers.

    Of three photos or more, each split with a share above zero gets at least one.
    """
    wanted = [split.train, split.validation, split.test]
    if isinstance(split.train, int):
        if sum(wanted) > photos:
            raise UserError(
                f"The split asks for {sum(wanted)} photos and {photos} can be used. "
                "Lower dataset.split, or give shares such as 0.5."
            )
        return {name: int(number) for name, number in zip(SPLITS, wanted, strict=True)}
    ends = [0, *(round(photos * share) for share in accumulate(wanted))]
    counts = {name: ends[place + 1] - ends[place] for place, name in enumerate(SPLITS)}
    for name, share in zip(SPLITS, wanted, strict=True):
        if photos >= len(SPLITS) and share and not counts[name]:
            if sum(counts.values()) == photos:
                counts[max(SPLITS, key=lambda each: counts[each])] -= 1
            counts[name] = 1
    return counts


def _check_place(settings: params.Dataset, out: Path) -> None:
    """Refuse to replace a folder that prepare did not make, and to read what it writes."""
    if settings.root is not None and settings.name != "sample":
        root = settings.root.resolve()
        if out == root or out in root.parents or root in out.parents:
            raise UserError(f"The photos in {root} and the output {out} overlap. Choose another --out.")
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if out.is_file() or (names and not {MANIFEST} <= names <= {MANIFEST, *SPLITS}):
        raise UserError(f"{out} was not made by prepare. Move it away, or choose another --out.")


def _find(settings: params.Dataset) -> list[Photo]:
    if settings.name == "sample" or settings.root is None:
        return sample_photos()
    photos = (validation_photos if settings.name == "ilsvrc" else folder_photos)(settings.root)
    if not photos:
        raise UserError(f"No images found in {settings.root}.")
    return photos


def _make(settings: params.Dataset, photos: list[Photo], folder: Path) -> Summary:
    """Write photos whole, deal the good ones out to the splits, and cut the sample's crops."""
    for name in ("whole", *SPLITS):
        (folder / name).mkdir()
    images: list[Prepared] = []
    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,  # Pillow mostly works outside Python's lock
        Progress(console=terminal()) as progress,
    ):
        usable, set_aside = _write_whole(settings, photos, folder / "whole", pool, progress)
        dealt = iter(usable.items())
        cuts = []
        for split, count in share_out(settings.split, len(usable)).items():
            for sha256, photo in islice(dealt, count):
                image = Prepared(f"{split}/{photo.stem}.png", split, photo.source, photo.label, sha256, None)
                (folder / "whole" / f"{photo.stem}.png").rename(folder / image.name)
                images.append(image)
                if settings.name == "sample" and settings.crops > 1 and split != "test":
                    cuts.append((photo, image))
        if cuts:
            crops = pool.map(partial(_write_crops, settings, folder), cuts)
            images += chain.from_iterable(progress.track(crops, len(cuts), description="Cutting crops"))
    shutil.rmtree(folder / "whole")
    return Summary(sorted(images, key=lambda row: row.name), sorted(set_aside, key=lambda row: row.source))


def _write_whole(
    settings: params.Dataset, photos: list[Photo], folder: Path, pool: ThreadPoolExecutor, progress: Progress
) -> tuple[dict[str, Photo], list[SetAside]]:
    """Write photos until there are as many good ones as needed; key them by the sha256 of their image."""
    counts = share_out(settings.split, len(photos))
    needed = sum(counts.values()) if isinstance(settings.split.train, int) else len(photos)
    task = progress.add_task("Preparing photos", total=needed)
    usable: dict[str, Photo] = {}
    set_aside: list[SetAside] = []
    waiting = iter(photos)
    write = partial(_write_photo, settings, folder)
    while batch := list(islice(waiting, min(PHOTOS_IN_FLIGHT, needed - len(usable)))):
        for photo, result in zip(batch, pool.map(write, batch), strict=True):
            progress.advance(task)
            if isinstance(result, Unusable):
                set_aside.append(SetAside(photo.source, str(result)))
            elif result in usable:  # else one picture could stand in two splits
                (folder / f"{photo.stem}.png").unlink()
                set_aside.append(SetAside(photo.source, f"the same picture as {usable[result].source}"))
            else:
                usable[result] = photo
    if not usable:
        first = set_aside[0]
        raise UserError(f"None of the {len(photos)} files can be used; {first.source}: {first.set_aside}.")
    return usable, set_aside


def _write_photo(settings: params.Dataset, folder: Path, photo: Photo) -> str | Unusable:
    try:
        image = decode(photo.read())
    except Unusable as reason:
        return reason
    return _write_png(shape(image, settings.size, settings.fit), folder / f"{photo.stem}.png")


def _write_crops(settings: params.Dataset, folder: Path, cut: tuple[Photo, Prepared]) -> list[Prepared]:
    """Write crops of a photo beside its whole image, which counts as the first of them."""
    photo, whole = cut
    image = decode(photo.read())
    boxes = crop_boxes(*image.size, settings.size, settings.crops - 1, f"{settings.seed} {photo.stem}")
    crops = []
    for number, box in enumerate(boxes, 1):
        name = f"{whole.split}/{photo.stem}-c{number:02}.png"
        sha256 = _write_png(shape(image, settings.size, settings.fit, box), folder / name)
        crops.append(replace(whole, name=name, sha256=sha256, crop=box))
    return crops


def _write_png(image: Image.Image, file: Path) -> str:
    """Write an image as PNG; return the file's sha256."""
    png = BytesIO()
    image.save(png, "PNG", compress_level=1)  # 6% larger than the default's 6, in under half the time
    file.write_bytes(png.getvalue())
    return hashlib.sha256(png.getvalue()).hexdigest()
