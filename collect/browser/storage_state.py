"""Sign-ins on disk: 0600, outside the repository."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import StorageState

from collect.files import write_atomically
from collect.platform import Site
from params import UserError

OTHERS_MODE_BITS = 0o077  # the bits of a mode by which others may do something


def state_folder() -> Path:
    """Make and return the folder for what is secret, 0700; a UserError when others could read it."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "comreadv"
    elsewhere = "Name another place in the environment variable XDG_STATE_HOME."
    for parent in folder.resolve().parents:
        if (parent / ".git").exists() and _holds_this_project(parent):
            raise UserError(f"{folder} would keep sign-ins in the git repository {parent}. {elsewhere}")
    if not folder.is_symlink():
        try:
            base.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} can't be made: {error.strerror}. {elsewhere}") from None
    if not _is_ours_alone(folder):
        raise UserError(f"{folder} holds sign-ins and must be a folder of yours alone, and no link: chmod 700 {folder}")
    return folder


def _holds_this_project(folder: Path) -> bool:
    return any(each.is_relative_to(folder) for each in (Path(__file__).resolve(), Path.cwd().resolve()))


def _is_ours_alone(path: Path) -> bool:
    found = path.lstat()
    return not stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS_MODE_BITS


def state_file(platform: Site) -> Path:
    """Name the file of a sign-in: one for the real site, another for each address that stands in for it."""
    where = f"-{urlsplit(platform.origin).netloc.replace(':', '-')}" if platform.origin else ""
    return state_folder() / f"{platform.name}{where}.json"


def stored_state(platform: Site) -> Path:
    """Return the file of a person's sign-in; a UserError when there is none, or others could have read it."""
    file = state_file(platform)
    if not (file.exists() or file.is_symlink()):
        raise UserError(f"Nobody has signed in to {platform.name} yet. Run `{login_command(platform)}`.")
    if not (_is_ours_alone(file) and file.is_file()):
        raise UserError(
            f"{file} is a link, or readable by others, so that its sign-in may be known to them. Sign out of"
            f" {platform.name} everywhere, delete the file, and run `{login_command(platform)}`."
        )
    return file


def login_command(platform: Site) -> str:
    """Spell the command by which a person signs in."""
    origin = f" --origin {platform.origin}" if platform.origin else ""
    return f"comreadv login --platform {platform.name}{origin}"


def describe_age(file: Path) -> str:
    """Say how long ago a file was written: 3 days ago."""
    seconds = time.time() - file.stat().st_mtime
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "less than a minute ago"


def save_state(platform: Site, state: StorageState) -> Path:
    """Save a sign-in, readable by its owner alone; return its file."""
    file = state_file(platform)
    write_atomically(file, json.dumps(state), mode=0o600)
    return file
