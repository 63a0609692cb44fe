"""Which file an image goes up in: its own, or a mosaic with many others; and how it is cut out again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from collect.files import write_atomically
from collect.images import Unusable, decoding
from collect.ledger import models
from collect.ledger.ledger import Ledger
from collect.ledger.models import NO_LONGER_SHOWN
from collect.ledger.mosaics import pack_mosaic, unpack_mosaic
from collect.platform import Platform
from collect.round_trip.mosaic import Mosaic, MosaicResized, Tile, check_served, cut_mosaic, extent, pack_mosaics
from collect.round_trip.original import Original
from collect.store import LIVE_STATE, stored
from params import UserError

MOSAICS = LIVE_STATE / "mosaics"
NEXT_RUN_HINT = (
    "the next run sends the image alone, or in a smaller mosaic if it has --mosaic and the adapter's longest_side was"
    " lowered below this one's"
)


def files_to_send(
    originals: Sequence[Original], ledger: Ledger, platform: Platform, *, mosaic: bool
) -> dict[str, Path]:
    """Return the files to send by sha256: an image, or the mosaic that it is a tile of.

    Images of a mosaic that failed go up alone from now on. With `mosaic`, those are packed anew that fit into a smaller
    one by now, and images that the ledger has neither sent nor packed yet are packed.
    """
    to_shrink = _unpack(ledger, platform)
    while mosaic and not _pack(originals, ledger, platform, to_shrink):
        pass  # another collector has packed or sent some of them meanwhile
    tiles = ledger.tiles()
    files = {}
    for each in originals:
        tile = tiles.get(each.sha256)
        if tile is None:
            files[each.sha256] = each.path
        elif tile.mosaic not in files:
            files[tile.mosaic] = mosaic_file(tile.mosaic, tiles, originals)
    return files


def mosaic_file(mosaic: str, tiles: Mapping[str, models.Tile], originals: Sequence[Original]) -> Path:
    """Name the file of a mosaic as uploaded; make it again where it is not here, or raise UserError.

    Args:
        tiles: those of the ledger, by the sha256 of the image.
    """
    file = MOSAICS / f"{mosaic}.png"
    if not file.exists():
        known = {each.sha256: each for each in originals}
        parts = [each for each in tiles.values() if each.mosaic == mosaic]
        try:
            mosaic_of = Mosaic(tuple(Tile(known[each.sha256], each.box) for each in parts))
            with decoding():
                body = mosaic_of.png()
            reason = None if hashlib.sha256(body).hexdigest() == mosaic else "it comes out as another file"
        except KeyError as error:
            reason = f"the image of sha256 {error} is not among those here"
        except Unusable as error:
            reason = str(error)
        if reason:
            raise UserError(
                f"{file}, which some images went up in, is not here and can't be made again: {reason}. Share the folder"
                f" {LIVE_STATE} with the ledger's other collectors, or prepare the same images here, then run again."
            )
        write_atomically(file, body)
    return file


def cut_tiles(served: Path, mosaic: Path, tiles: Sequence[models.Tile], folder: Path) -> dict[str, Path]:
    """Cut a served mosaic into files in `folder`, by the sha256 of the images; raises MosaicResized.

    JPEGs are cut without decoding; of another format the decoded pixels are written, as PNG.
    """
    with Image.open(mosaic) as image:
        size = image.size
    destinations = [folder / each.sha256 for each in tiles]
    cut_mosaic(served, size, [each.box for each in tiles], destinations)
    return {each.sha256: file for each, file in zip(tiles, destinations, strict=True)}


def _pack(originals: Sequence[Original], ledger: Ledger, platform: Platform, to_shrink: set[str]) -> bool:
    """Pack the images that are neither sent nor packed; tell whether each mosaic could be written down."""
    known = (ledger.not_packable() - (to_shrink & set(ledger.planned()))) | ledger.tiles().keys()
    new = {each.sha256: each for each in originals if each.sha256 not in known}
    for group in pack_mosaics(list(new.values()), platform.longest_side)[0] if new else []:
        body = group.png()
        name = hashlib.sha256(body).hexdigest()
        write_atomically(MOSAICS / f"{name}.png", body)
        tiles = [
            {"sha256": tile.original.sha256, "mosaic": name}
            | dict(zip(("x", "y", "width", "height"), tile.box, strict=True))
            for tile in group.tiles
        ]
        if not pack_mosaic(ledger, tiles):
            return False
    return True


def _unpack(ledger: Ledger, platform: Platform) -> set[str]:
    """Strike out the mosaics that failed; return the images of those that are larger than any is made now."""
    parts: dict[str, list[models.Tile]] = defaultdict(list)
    for tile in ledger.tiles().values():
        parts[tile.mosaic].append(tile)
    rejections, downloads = ledger.rejections(), ledger.downloads(platform.renditions[0])
    larger = set[str]()
    for mosaic, tiles in parts.items():
        size = extent(each.box for each in tiles)
        reason = rejections.get(mosaic)
        if (download := downloads.get(mosaic)) and _is_whole(served := stored(download.sha256)):
            try:
                check_served(served, size)
            except MosaicResized as error:
                reason = str(error)
        if reason not in (None, NO_LONGER_SHOWN):
            unpack_mosaic(ledger, mosaic, reason)
            if max(size) > platform.longest_side:
                larger |= {each.sha256 for each in tiles}
    return larger


def _is_whole(served: Path) -> bool:
    """Tell whether a file of the store is as it came; one that is damaged is removed, and so fetched again."""
    try:
        if not served.exists():
            return False
        if hashlib.sha256(served.read_bytes()).hexdigest() == served.name:
            return True
        served.unlink()
    except OSError as error:
        raise UserError(f"{served} can't be read: {error.strerror}. Mend that, then run again.") from None
    return False
