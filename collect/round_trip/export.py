"""The export: an immutable folder of files as served, with a sorted manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from collect.codecs import fingerprint
from collect.ledger.ledger import Ledger
from collect.ledger.models import NO_LONGER_SHOWN, PUBLISHED_STATES, Download
from collect.platform import Platform
from collect.round_trip.mosaic import MosaicResized
from collect.round_trip.mosaic_packing import NEXT_RUN, cut_tiles, mosaic_file
from collect.round_trip.original import Original
from collect.store import LIVE_STATE, is_stored, stored
from params import UserError

NOT_DOWN = "it did not come down, or not as what went up"


@dataclass(frozen=True)
class Exported:
    """What was laid out: counts of images, and what their files reveal of the codec."""

    complete: int
    rejected: int
    missing: int  # files, of all renditions
    fingerprint: dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A file as served, or a tile cut out of one; `mosaic` is that one as uploaded."""

    download: Download
    file: Path
    mosaic: Path | None = None


def export(
    out: Path, name: str, platform: Platform, ledger: Ledger, originals: Sequence[Original], generation: int
) -> Exported:
    """Lay out the files as served, manifest.jsonl and fingerprint.json in `out`, all at once.

    Further renditions lie in `out`/renditions/<rendition>, each with a manifest of its own.
    """
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    exported = _lay_out(part, name, platform, platform.rendition, ledger, originals, generation)
    for rendition in platform.row.more_renditions:
        folder = part / "renditions" / rendition
        further = _lay_out(folder, name, platform, rendition, ledger, originals, generation)
        exported = replace(exported, missing=exported.missing + further.missing)
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)
    return exported


def _lay_out(
    folder: Path,
    name: str,
    platform: Platform,
    rendition: str,
    ledger: Ledger,
    originals: Sequence[Original],
    generation: int,
) -> Exported:
    folder.mkdir(parents=True)
    reasons = ledger.rejections()
    rows, files, complete = [], set[tuple[Path, Path]](), 0
    with tempfile.TemporaryDirectory(dir=folder) as cut:
        served, missing = _served(platform, rendition, ledger, originals, Path(cut))
        for each in sorted(originals, key=lambda original: original.name):
            if found := served.get(each.sha256):
                with Image.open(found.file) as image:
                    kind = (image.format or "").upper()
                extension = kind.lower().replace("jpeg2000", "jp2").replace("jpeg", "jpg")
                file = Path(each.name).with_suffix(f".{extension}")
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found.file, folder / file)
                if found.mosaic:  # whose own file is the platform's
                    files.add((found.mosaic, stored(found.download.sha256)))
                else:
                    files.add((each.path, folder / file))
                complete += 1
                about = {"source": each.name, "source_sha256": each.sha256, "file": file.as_posix(), "format": kind}
                rows.append(about | _row(name, generation, found))
            elif reason := reasons.get(each.sha256):
                rows.append({"source": each.name, "rejected": reason})
            elif reason := missing.get(each.sha256):
                rows.append({"source": each.name, "missing": reason})
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    seen = fingerprint.observe(sorted(files))
    (folder / "fingerprint.json").write_text(fingerprint.dumps(seen), encoding="utf-8")
    rejected = sum("rejected" in row for row in rows)
    return Exported(complete, rejected, len(rows) - complete - rejected, seen)


def _here(download: Download) -> Path:
    file = stored(download.sha256)
    if not is_stored(download.sha256, download.bytes):
        raise UserError(
            f"{file}, as served, is not here: another collector of the ledger has it, and the site does not serve it"
            f" any more. Let all of them share the folder {LIVE_STATE}, then run again."
        )
    return file


def _served(
    platform: Platform, rendition: str, ledger: Ledger, originals: Sequence[Original], folder: Path
) -> tuple[dict[str, Served], dict[str, str]]:
    """Find each image's file, cut into `folder` where it is a tile, or the reason why none has come yet."""
    downloads, rejections, tiles = ledger.downloads(rendition), ledger.rejections(), ledger.tiles()
    served, missing = dict[str, Served](), ledger.missing()
    if rendition != platform.rendition:  # of which alone the ledger keeps the reasons
        missing = dict.fromkeys((each.sha256 for each in ledger.uploads(*PUBLISHED_STATES)), NOT_DOWN)
    mosaics = defaultdict(list)
    for each in originals:
        if tile := tiles.get(each.sha256):
            mosaics[tile.mosaic].append(tile)
        elif download := downloads.get(each.sha256):
            served[each.sha256] = Served(download, _here(download))
    for mosaic, parts in mosaics.items():
        reason = missing.get(mosaic)
        if mosaic in rejections:
            reason = f"its mosaic: {rejections[mosaic]}"
            reason += "" if rejections[mosaic] == NO_LONGER_SHOWN else f"; {NEXT_RUN}"
        if download := downloads.get(mosaic):
            sent = mosaic_file(mosaic, tiles, originals)
            try:
                files = cut_tiles(_here(download), sent, parts, folder)
                served |= {sha256: Served(download, file, sent) for sha256, file in files.items()}
            except MosaicResized as error:
                reason = f"{error}; {NEXT_RUN}" if rendition == platform.renditions[0] else str(error)
        if reason:
            missing |= {tile.sha256: reason for tile in parts}
    return served, missing


def _row(name: str, generation: int, served: Served) -> dict[str, Any]:
    download = served.download
    body = served.file.read_bytes()
    return {
        "platform": name,
        "generation": generation,
        "remote_id": download.upload.remote_id,
        "rendition": download.rendition,
        "address": download.address,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "uploaded_at": download.upload.sent_at,
        "downloaded_at": download.downloaded_at,
    } | ({"mosaic": served.mosaic.stem} if served.mosaic else {})


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Read the round trips that `collect` exported, those that have a file; a UserError when there are none."""
    try:
        lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"No round trips in {folder}. Run `comreadv collect --platform {folder.name}`.") from None
    return [row for row in map(json.loads, lines) if "file" in row]
