"""What is left of a batch of which a platform shows a part, where nothing but content tells which image is whose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from collect.errors import TransientError
from collect.platform import Batch, Platform, Session
from collect.store import LIVE_STATE
from collect.thumbnails import clearly_shown, read_thumbnail
from params import UserError, unwritable


def match_remote_ids(platform: Platform, session: Session, batch: Batch, remote_ids: Sequence[str]) -> dict[int, str]:
    """Find which images of a batch are behind some remote ids: position → remote id.

    Raises UserError where not all images are here to be compared, TransientError unless each id clearly shows another.
    """
    what = f"{platform.name}: the site shows {len(remote_ids)} of the {len(batch.files)} images that went up as"
    what += f" {batch.title!r}, and nobody can tell which."
    if not all(file.is_file() for file in batch.files):
        raise UserError(f"{what} Run `comreadv collect` with all the images that it was made of.")
    owners = _owners(platform, session, batch, remote_ids)
    whose = {owner: each for owner, each in zip(owners, remote_ids, strict=True) if owner is not None}
    if len(whose) < len(remote_ids):
        raise TransientError(f"{what} If it stays so, delete it on the site.")
    return whose


def _owners(platform: Platform, session: Session, batch: Batch, remote_ids: Sequence[str]) -> list[int | None]:
    originals = [read_thumbnail(file) for file in batch.files]
    try:
        with TemporaryDirectory(prefix="reconcile-", dir=LIVE_STATE) as folder:
            served = [Path(folder, str(number)) for number in range(len(remote_ids))]
            for told in session.download(remote_ids, platform.rendition, served):
                if not isinstance(told, str):
                    raise told
            return [clearly_shown(read_thumbnail(file), originals) for file in served]
    except OSError as error:
        raise unwritable(LIVE_STATE, error) from None
