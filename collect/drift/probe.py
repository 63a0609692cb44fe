"""Send the probe images to a platform, see what it makes of them, and delete them there again."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session as Books

from collect import fingerprint
from collect.codecs import quantisation
from collect.codecs.headers import reader
from collect.drift import pixel_statistics, probe_images
from collect.files import write_atomically
from collect.ledger.ledger import Ledger
from collect.ledger.models import Probe
from collect.ledger.transactions import open_ledger, transaction
from collect.ledger.workers import register_worker
from collect.locks import file_lock
from collect.platform import Platform, Session, Site
from collect.round_trip.connect import announce, open_platform
from collect.round_trip.uploads import Uploader
from collect.store import LIVE_STATE, stored
from params import Params, UserError

ACCEPT_HEADERS = ("*/*", "image/webp,*/*;q=0.8", "image/jpeg,image/png")  # other clients' headers than the browser's
MAX_RATE_LIMITS = 5  # about a quarter of an hour: the next probe is a day off, and others wait
COMPARED_PROBES = 60  # of a generation: a spread is known well by then

Seen = dict[str, dict[str, Any]]  # by the name of a probe: its header, and its residual where it has one

logger = logging.getLogger(__name__)


def send_probes(name: str, params: Params, *, generation: int, origin: str | None = None, live: bool = False) -> Seen:
    """Send the probes, in the generation that the platform is found in, and see what it makes of them.

    Raises UserError: the platform can't be reached, or a probe didn't come back.
    """
    with ExitStack() as stack:
        stack.enter_context(file_lock(LIVE_STATE / f"{name}.probing", f"{name} is being probed. Waiting for its end."))
        engine = stack.enter_context(open_ledger(params.collect.ledger))
        heartbeat = stack.enter_context(register_worker(engine))
        platform, session = stack.enter_context(open_platform(name, params, origin=origin, live=live))
        site = "live" if platform.is_live else "sandbox"
        key: dict[str, Any] = {"platform": name, "site": site, "account": session.account, "generation": generation}
        ledger = Ledger(engine, **key, collector=heartbeat.id)
        files = probe_images.make_probes(
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="probe-", dir=LIVE_STATE)))
        )
        by_content = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in files.values()}
        run = Uploader(platform, session, ledger, heartbeat, by_content, max_rate_limits=MAX_RATE_LIMITS)
        mine = _note_probes(name, by_content)
        if isinstance(platform, Site) and platform.is_live:
            announce(name, platform, session.account, len(files))
        try:
            run.run(None)
            negotiated = _negotiated(platform, session, ledger, files["photo"])
        finally:
            ledger.release_all()
            _delete(platform, session, ledger, mine)
        seen = _read_probes(ledger, platform, by_content)
        if negotiated:  # a site that answers all alike has headers as before this was asked
            seen["photo"]["header"]["negotiated"] = negotiated
        return seen


def _note_probes(name: str, probes: Iterable[str]) -> set[str]:
    """Note a platform's probes, for the next run to delete them if this one is killed; return all that are noted."""
    file = LIVE_STATE / f"{name}.probes"
    earlier = file.read_text(encoding="utf-8").split() if file.exists() else []
    write_atomically(file, "\n".join(noted := [*earlier, *probes]) + "\n")
    return set(noted)


def _negotiated(platform: Platform, session: Session, ledger: Ledger, file: Path) -> list[str]:
    """Ask for a probe as other clients do; tell which of them get another format than the browser, and which."""
    download = ledger.downloads(platform.rendition).get(hashlib.sha256(file.read_bytes()).hexdigest())
    if download is None or not isinstance(platform, Site):
        return []
    own, told = reader.read(stored(download.sha256).read_bytes())["format"], []
    for accept in ACCEPT_HEADERS:
        served = file.with_name("served")
        found = session.download([download.upload.remote_id or ""], platform.rendition, [served], accept)[0]
        if not isinstance(found, str):
            raise found
        if (other := reader.read(served.read_bytes())["format"]) != own:
            told.append(f"{accept}: {other}")
    return told


def _read_probes(ledger: Ledger, platform: Platform, files: dict[str, Path]) -> Seen:
    downloads, refused = ledger.downloads(platform.rendition), ledger.rejections()
    seen: Seen = {}
    for sha256, file in files.items():
        if download := downloads.get(sha256):
            served = stored(download.sha256)
            residual = pixel_statistics.measure_residual(file, served)
            seen[file.stem] = {**_read_header(served, file.stem), "residual": residual}
        elif sha256 in refused:
            seen[file.stem] = {"header": {"format": "refused"}}
        else:
            raise UserError(
                f"{platform.name}: the probe {file.stem} did not come back as it went up. Run the same command again;"
                f" if that goes on, look with `comreadv doctor --platform {ledger.key['platform']}`."
            )
    return {name: seen[name] for name in probe_images.PROBES}


def _read_header(served: Path, name: str) -> dict[str, Any]:
    """Read a file's header; its tables stand beside it, and in it a name for them, which is enough to compare."""
    try:
        header = reader.read(served.read_bytes())
    except ValueError as error:
        raise UserError(f"What came back of the probe {name} has no header that can be read ({error}).") from None
    if not (tables := header.get("tables")):
        return {"header": header}
    name_of_tables = hashlib.sha256(json.dumps(tables).encode()).hexdigest()[:12]
    quality = quantisation.nearest_quality(tables[0])
    return {"header": header | {"tables": name_of_tables, "quality": quality}, "tables": tables}


def _delete(platform: Platform, session: Session, ledger: Ledger, mine: set[str]) -> None:
    """Take the probes off the platform again; one that can't be taken off stays for `collect --cleanup`."""
    for title, uploads in ledger.claim_deletions(mine).items():
        try:
            session.delete([each.remote_id or "" for each in uploads], title)
        except UserError as error:
            cleanup = f"comreadv collect --platform {ledger.key['platform']} --cleanup"
            cleanup += " --live" if platform.is_live else ""
            logger.warning(
                "%s: probes stay on the site (%s); `%s` deletes them.", platform.name, error.message, cleanup
            )
            return
        ledger.record_deletions(uploads)
    (LIVE_STATE / f"{ledger.key['platform']}.probes").unlink(missing_ok=True)


def record_probe(params: Params, platform: str, generation: int, known: Seen, seen: Seen, *, changed: bool) -> None:
    """Write a probe down in the ledger; one that saw a change is nothing to compare others with.

    Args:
        known: the probes of the fingerprint that it was compared with, or will be that of.
    """
    row = {"platform": platform, "generation": generation, "changed": changed, "seen": json.dumps(without_tables(seen))}
    with open_ledger(params.collect.ledger) as engine, transaction(engine) as books:
        books.add(Probe(**row, fingerprint=_digest(known)))


def earlier_probes(params: Params, platform: str, generation: int, known: Seen) -> list[Seen]:
    """Read the last probes of a platform in a generation that saw no change from `known`, the oldest first.

    A number alone tells no generation: it comes again where a fingerprint was restored by git, or on another branch.
    Those of the time before JPEG probes were added to `known` count.
    """
    digests = (_digest(known), _digest(png_uploads(known)))
    with open_ledger(params.collect.ledger) as engine, Books(engine) as books:
        rows = books.scalars(
            select(Probe.seen)
            .filter_by(platform=platform, generation=generation, changed=False)
            .where(or_(Probe.fingerprint.in_(digests), Probe.fingerprint.is_(None)))
            .order_by(Probe.id.desc())
            .limit(COMPARED_PROBES)
        )
        return [json.loads(each) for each in rows][::-1]


def last_probe(params: Params, platform: str) -> str | None:
    """Return when a platform was last probed, in UTC; None: never, as far as this ledger knows."""
    chosen = select(Probe.probed_at).filter_by(platform=platform).order_by(Probe.id.desc()).limit(1)
    with open_ledger(params.collect.ledger) as engine, Books(engine) as books:
        return books.scalars(chosen).first()


def _digest(known: Seen) -> str:
    return hashlib.sha256(json.dumps(without_tables(known), sort_keys=True).encode()).hexdigest()[:16]


def without_tables(seen: Seen) -> Seen:
    """Leave out what is not compared: the tables themselves."""
    return {name: {key: value for key, value in each.items() if key != "tables"} for name, each in seen.items()}


def png_uploads(seen: Seen) -> Seen:
    """Leave out the probes that went up as JPEG."""
    return {name: each for name, each in seen.items() if name not in probe_images.JPEG_UPLOADS}


def codec_of(seen: Seen) -> dict[str, Any]:
    """Sum a probe up: the commonest codec, the largest side if images are resized, the qualities, the probes.

    These are of PNG uploads; `jpeg_upload` tells whether JPEG uploads get the same codec, and else theirs, by the
    sampling that went up.
    """
    told = [each for each in png_uploads(seen).values() if each["header"]["format"] != "refused"]
    texts = Counter(json.dumps(_common(each), sort_keys=True) for each in told)
    codec: dict[str, Any] = json.loads(min(texts, key=lambda text: (-texts[text], text), default="{}"))
    large = seen["large"]["header"]
    codec["longest_side"] = max(large["width"], large["height"]) if is_resized(large) else None
    qualities = Counter(each["header"]["quality"] for each in told if "quality" in each["header"])
    counts = {str(quality): qualities[quality] for quality in sorted(qualities)}
    of_png = {"codec": codec, "qualities": counts}
    return {**of_png, "jpeg_upload": _jpeg_upload(seen, of_png), "probes": without_tables(seen)}


def _jpeg_upload(seen: Seen, of_png: Mapping[str, Any]) -> dict[str, Any]:
    codecs = {sampling: _common(seen[name]) for name, sampling in probe_images.JPEG_UPLOADS.items()}
    if all(fingerprint.matches(of_png, {"codec": codec}) for codec in codecs.values()):
        return {"same_codec": True}
    return {"same_codec": False, "codecs": codecs}


def is_resized(large: Mapping[str, Any]) -> bool:
    """Tell by its header whether the large probe came back smaller than it went up."""
    return large["format"] != "refused" and (large["width"], large["height"]) != probe_images.LARGE


def _common(told: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a header what `fingerprint.read` tells of any file, but for its size."""
    header = told["header"]
    if header["format"] != "JPEG":
        return {"format": header["format"]}
    return {key: header[key] for key in ("format", "sampling", "progressive", "quality")} | {"tables": told["tables"]}
