"""What doctors have put up on a site: noted before it goes up, so that the next one deletes what a killed one left."""

from __future__ import annotations

from pathlib import Path

from collect.browser import storage_state
from collect.files import read_json, to_json, write_atomically
from collect.platform import Batch, Site

Notes = dict[str, dict[str, str]]  # account and remote id, if that is known, by the title of a batch of one image


def record_pending(site: Site, account: str, batch: Batch) -> None:
    """Note a batch, again once its remote id is known."""
    _write(site, _read(site) | {batch.title: {"account": account, "remote_id": batch.known.get(0, "")}})


def list_pending(site: Site, account: str, file: Path) -> list[Batch]:
    """List what is noted of an account; `file` stands for the images, which are not kept."""
    return [
        Batch(title, [file], known={0: each["remote_id"]} if each["remote_id"] else {})
        for title, each in _read(site).items()
        if each["account"] == account
    ]


def remove_pending(site: Site, batch: Batch) -> None:
    """Forget a batch that the site does not show any more."""
    _write(site, {title: each for title, each in _read(site).items() if title != batch.title})


def _file(site: Site) -> Path:
    return storage_state.state_file(site).with_suffix(".doctor")


def _read(site: Site) -> Notes:
    file = _file(site)
    return read_json(file, Notes, f"Delete it, and by hand what it names on {site.name}.") if file.exists() else {}


def _write(site: Site, notes: Notes) -> None:
    if notes:
        write_atomically(_file(site), to_json(Notes, notes), mode=0o600)
    else:
        _file(site).unlink(missing_ok=True)
