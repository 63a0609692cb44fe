"""The export: an immutable folder of files as served, with a sorted manifest."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from collect import fingerprint
from collect.files import replace_folder
from collect.ledger.ledger import Ledger
from collect.ledger.models import NO_LONGER_SHOWN, PUBLISHED_STATES, Download
from collect.platform import Platform
from collect.round_trip.manifest import Missing, Rejected, Row, Served, write_manifest
from collect.round_trip.mosaic import MosaicResized
from collect.round_trip.mosaic_packing import NEXT_RUN_HINT, cut_tiles, mosaic_file
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
class ServedFile:
    """A file as served, or a tile cut out of one; `mosaic` is that one as uploaded."""

    download: Download
    file: Path
    mosaic: Path | None = None


def export(out: Path, platform: Platform, ledger: Ledger, originals: Sequence[Original]) -> Exported:
    """Lay out the files as served, manifest.jsonl and fingerprint.json in `out`, all at once.

    Further renditions lie in `out`/renditions/<rendition>, each with a manifest of its own.
    """
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    exported = _lay_out(part, platform, platform.rendition, ledger, originals)
    for rendition in platform.row.more_renditions:
        further = _lay_out(part / "renditions" / rendition, platform, rendition, ledger, originals)
        exported = replace(exported, missing=exported.missing + further.missing)
    replace_folder(part, out)
    return exported


def _lay_out(
    folder: Path, platform: Platform, rendition: str, ledger: Ledger, originals: Sequence[Original]
) -> Exported:
    folder.mkdir(parents=True)
    reasons = ledger.rejections()
    rows, files = list[Row](), set[tuple[Path, Path]]()
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
                files.add((found.mosaic or each.path, stored(found.download.sha256)))  # the platform's own file
                rows.append(_row(ledger, each, found, file, kind))
            elif reason := reasons.get(each.sha256):
                rows.append(Rejected(source=each.name, rejected=reason))
            elif reason := missing.get(each.sha256):
                rows.append(Missing(source=each.name, missing=reason))
    write_manifest(folder, rows)
    seen = fingerprint.observe(sorted(files))
    (folder / "fingerprint.json").write_text(fingerprint.dumps(seen), encoding="utf-8")
    counts = Counter(type(row) for row in rows)
    return Exported(counts[Served], counts[Rejected], counts[Missing], seen)


def _stored_file(download: Download) -> Path:
    file = stored(download.sha256)
    if not is_stored(download.sha256, download.bytes):
        raise UserError(
            f"{file}, as served, is not here: another collector of the ledger has it, and the site does not serve it"
            f" any more. Let all of them share the folder {LIVE_STATE}, then run again."
        )
    return file


def _served(
    platform: Platform, rendition: str, ledger: Ledger, originals: Sequence[Original], folder: Path
) -> tuple[dict[str, ServedFile], dict[str, str]]:
    """Find each image's file, cut into `folder` where it is a tile, or the reason why none has come yet."""
    downloads, rejections, tiles = ledger.downloads(rendition), ledger.rejections(), ledger.tiles()
    served, missing = dict[str, ServedFile](), ledger.missing()
    if rendition != platform.rendition:  # of which alone the ledger keeps the reasons
        missing = dict.fromkeys((each.sha256 for each in ledger.uploads(*PUBLISHED_STATES)), NOT_DOWN)
    mosaics = defaultdict(list)
    for each in originals:
        if tile := tiles.get(each.sha256):
            mosaics[tile.mosaic].append(tile)
        elif download := downloads.get(each.sha256):
            served[each.sha256] = ServedFile(download, _stored_file(download))
    for mosaic, parts in mosaics.items():
        reason = missing.get(mosaic)
        if mosaic in rejections:
            reason = f"its mosaic: {rejections[mosaic]}"
            reason += "" if rejections[mosaic] == NO_LONGER_SHOWN else f"; {NEXT_RUN_HINT}"
        if download := downloads.get(mosaic):
            sent = mosaic_file(mosaic, tiles, originals)
            try:
                files = cut_tiles(_stored_file(download), sent, parts, folder)
                served |= {sha256: ServedFile(download, file, sent) for sha256, file in files.items()}
            except MosaicResized as error:
                reason = f"{error}; {NEXT_RUN_HINT}" if rendition == platform.renditions[0] else str(error)
        if reason:
            missing |= {tile.sha256: reason for tile in parts}
    return served, missing


def _row(ledger: Ledger, original: Original, found: ServedFile, file: Path, kind: str) -> Served:
    body, download = found.file.read_bytes(), found.download
    return Served(
        source=original.name,
        source_sha256=original.sha256,
        file=file.as_posix(),
        format=kind,
        platform=ledger.key["platform"],
        generation=ledger.key["generation"],
        remote_id=download.upload.remote_id or "",
        rendition=download.rendition,
        address=download.address,
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        uploaded_at=download.upload.sent_at,
        downloaded_at=download.downloaded_at,
        mosaic=found.mosaic.stem if found.mosaic else None,
    )
