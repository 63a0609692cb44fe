"""Which file an image goes up in: its own, or a mosaic with many others; and how it is cut out again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from collect.ledger import Ledger
from collect.mosaic import cut, pack
from collect.originals import LIVE_STATE, Original
from collect.tables import Tile
from params import UserError

FOLDER = LIVE_STATE / "mosaics"


def packed(originals: Sequence[Original], ledger: Ledger, longest_side: int, *, mosaic: bool) -> dict[str, Path]:
    """Return the files to send by sha256: an image, or the mosaic that it is a tile of.

    With `mosaic`, images that the ledger has neither sent nor packed yet are packed now.
    """
    if mosaic:
        alone = ledger.begun()
        known = ledger.tiles()
        new = {each.sha256: each for each in originals if each.sha256 not in alone and each.sha256 not in known}
        for group in pack(list(new.values()), longest_side)[0] if new else []:
            body = group.png()
            name = hashlib.sha256(body).hexdigest()
            FOLDER.mkdir(parents=True, exist_ok=True)
            part = FOLDER / f"{name}.part"
            part.write_bytes(body)
            part.replace(FOLDER / f"{name}.png")
            ledger.pack(
                [
                    {"sha256": tile.original.sha256, "mosaic": name}
                    | dict(zip(("x", "y", "width", "height"), tile.box, strict=True))
                    for tile in group.tiles
                ]
            )
    tiles = ledger.tiles()
    files = {}
    for each in originals:
        tile = tiles.get(each.sha256)
        files[tile.mosaic if tile else each.sha256] = mosaic_file(tile.mosaic) if tile else each.path
    return files


def mosaic_file(mosaic: str) -> Path:
    """Name the file of a mosaic as uploaded; a UserError when it is gone."""
    file = FOLDER / f"{mosaic}.png"
    if not file.exists():
        raise UserError(f"{file} is gone, which some images went up in. Bring it back, or use another collect.ledger.")
    return file


def cut_tiles(served: Path, mosaic: str, tiles: Sequence[Tile], folder: Path) -> dict[str, Path]:
    """Cut a served mosaic into files in `folder`, by the sha256 of the images; raises mosaic.Uncuttable.

    JPEGs are cut without decoding; of another format the decoded pixels are written, as PNG.
    """
    with Image.open(mosaic_file(mosaic)) as image:
        size = image.size
    destinations = [folder / each.sha256 for each in tiles]
    cut(served, size, [(each.x, each.y, each.width, each.height) for each in tiles], destinations)
    return {each.sha256: file for each, file in zip(tiles, destinations, strict=True)}
