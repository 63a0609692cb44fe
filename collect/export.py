"""The export: an immutable folder of files as served, with a sorted manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from collect import fingerprint
from collect.ledger import Download, Ledger
from collect.platform import Platform
from params import UserError

LIVE_STATE = Path("data/ledger")  # what is no pipeline output: files as served, sandboxes, locks


@dataclass(frozen=True)
class Original:
    """An image to send: its name (split/stem.png), its file and the file's sha256."""

    name: str
    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> Original:
        """Make one of a file, named as the file unless told."""
        return cls(name or path.name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def stored(sha256: str) -> Path:
    """Name the file in the store that keeps what was served."""
    return LIVE_STATE / "files" / sha256[:2] / sha256


def export(
    out: Path, name: str, platform: Platform, ledger: Ledger, originals: Sequence[Original], generation: int
) -> dict[str, Any]:
    """Lay out the files as served, manifest.jsonl and fingerprint.json in `out`, all at once; return the last."""
    downloads, rejections = ledger.downloads(platform.rendition), ledger.rejections()
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows, files = [], []
    for each in sorted(originals, key=lambda original: original.name):
        if download := downloads.get(each.sha256):
            served = stored(download.sha256)
            with Image.open(served) as image:
                kind = (image.format or "").upper()
            file = Path(each.name).with_suffix("." + kind.lower().replace("jpeg2000", "jp2").replace("jpeg", "jpg"))
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(served, part / file)
            files.append((each.path, part / file))
            rows.append(_row(name, platform, generation, each, download, file, kind))
        elif reason := rejections.get(each.sha256):
            rows.append({"source": each.name, "rejected": reason})
    with (part / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    seen = fingerprint.observe(files)
    (part / "fingerprint.json").write_text(fingerprint.dumps(seen), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)
    return seen


def _row(
    name: str,
    platform: Platform,
    generation: int,
    original: Original,
    download: Download,
    file: Path,
    kind: str,
) -> dict[str, Any]:
    return {
        "source": original.name,
        "source_sha256": original.sha256,
        "platform": name,
        "generation": generation,
        "remote_id": download.upload.remote_id,
        "rendition": platform.rendition,
        "address": download.address,
        "file": file.as_posix(),
        "format": kind,
        "bytes": download.bytes,
        "sha256": download.sha256,
        "uploaded_at": download.upload.sent_at,
        "downloaded_at": download.downloaded_at,
    }


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Read the round trips that `collect` exported, rejected ones left out; a UserError when there are none."""
    try:
        lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"No round trips in {folder}. Run `comreadv collect --platform {folder.name}`.") from None
    return [row for row in map(json.loads, lines) if "rejected" not in row]
