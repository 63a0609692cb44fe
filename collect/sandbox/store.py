"""What a sandbox remembers: sign-ins, albums and photos in SQLite, and the files beside it."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from params import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, csrf TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS albums (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL, description TEXT NOT NULL, audience TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, codec TEXT
);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    album INTEGER NOT NULL REFERENCES albums (id),
    photo INTEGER NOT NULL REFERENCES photos (id),
    description TEXT NOT NULL,
    UNIQUE (album, photo)
);
"""
ENTRIES = """
SELECT entries.id, photos.key, albums.key, entries.description
FROM entries JOIN photos ON photos.id = entries.photo JOIN albums ON albums.id = entries.album
"""


class Session(NamedTuple):
    """A signed-in browser: its secret cookie and its CSRF value."""

    token: str
    csrf: str


class Photo(NamedTuple):
    """An upload: its name on the site, its content, and the codec that replaced the site's own, if any."""

    key: str
    sha256: str
    codec: str | None


class Album(NamedTuple):
    """An album or post, by its name on the site (its number), with its title or text."""

    key: str
    name: str
    description: str
    audience: str


class Entry(NamedTuple):
    """A photo in an album or post."""

    id: int
    key: str
    album: str
    description: str


class Store:
    """The state of one sandbox; safe among threads, and whole after a kill.

    Raises UserError when the folder holds another platform's state.
    """

    def __init__(self, state: Path, platform: str) -> None:
        self.folder = state
        try:
            for name in ("originals", "renditions"):
                (state / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{state} can't hold a sandbox's state: {error}. Give another folder.") from None
        self.lock = threading.Lock()
        self.db = sqlite3.connect(state / "sandbox.db", check_same_thread=False, timeout=30)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;" + SCHEMA)
        if self.about("platform", platform) != platform:
            self.db.close()
            raise UserError(f"{state} holds the state of another sandbox than {platform}'s: give another folder.")

    def close(self) -> None:
        with self.lock:
            self.db.close()

    def about(self, key: str, default: str) -> str:
        """Return what is kept under a key; the default is kept at first."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (key, default))
            return str(db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()[0])

    def sign_in(self) -> Session:
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(12))
        with self._transaction() as db:
            db.execute("INSERT INTO sessions VALUES (?, ?)", session)
        return session

    def session(self, token: str) -> Session | None:
        with self.lock:
            row = self.db.execute("SELECT token, csrf FROM sessions WHERE token = ?", (token,)).fetchone()
        return Session(*row) if row else None

    def add_photos(self, uploads: Mapping[str, bytes], codec: str | None) -> None:
        """Keep uploads, bytes by key, in no album yet."""
        rows = []
        for key, data in uploads.items():
            sha256 = hashlib.sha256(data).hexdigest()
            write(self.folder / "originals" / sha256, data)
            rows.append((key, sha256, codec))
        with self._transaction() as db:
            db.executemany("INSERT INTO photos (key, sha256, codec) VALUES (?, ?, ?)", rows)

    def photo(self, key: str) -> Photo | None:
        with self.lock:
            row = self.db.execute("SELECT key, sha256, codec FROM photos WHERE key = ?", (key,)).fetchone()
        return Photo(*row) if row else None

    def original(self, photo: Photo) -> bytes:
        return (self.folder / "originals" / photo.sha256).read_bytes()

    def rendition(self, name: str) -> Path:
        return self.folder / "renditions" / name

    def add_album(self, album: Album, photos: Sequence[str] = ()) -> None:
        """Make an album or post with its photos, whole or not at all; one that is there stays as it is."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO albums (key, name, description, audience) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                album,
            )
            _publish(db, album.key, dict.fromkeys(photos, ""))

    def publish(self, album: str, descriptions: Mapping[str, str]) -> None:
        """Put photos into an album, keys to descriptions; one that is there already gets the description."""
        with self._transaction() as db:
            _publish(db, album, descriptions)

    def albums(self) -> list[Album]:
        """List the albums or posts, newest first."""
        query = "SELECT key, name, description, audience FROM albums ORDER BY id DESC"
        with self.lock:
            return [Album(*row) for row in self.db.execute(query).fetchall()]

    def album(self, key: str) -> Album | None:
        query = "SELECT key, name, description, audience FROM albums WHERE key = ?"
        with self.lock:
            row = self.db.execute(query, (key,)).fetchone()
        return Album(*row) if row else None

    def entries(self, album: str) -> list[Entry]:
        """List an album's photos in the order in which they came in."""
        with self.lock:
            rows = self.db.execute(f"{ENTRIES} WHERE albums.key = ? ORDER BY entries.id", (album,)).fetchall()
        return [Entry(*row) for row in rows]

    def newest(self, count: int, before: int = 0) -> list[Entry]:
        """List the photos of all albums, newest first, from the one that came before entry `before`."""
        query = f"{ENTRIES} WHERE ? = 0 OR entries.id < ? ORDER BY entries.id DESC LIMIT ?"
        with self.lock:
            return [Entry(*row) for row in self.db.execute(query, (before, before, count)).fetchall()]

    def received(self) -> tuple[dict[str, int], int]:
        """Count the published photos per SHA-256 of the bytes received, and the uploads never published."""
        with self.lock:
            times = self.db.execute(
                "SELECT sha256, count(*) FROM entries JOIN photos ON photos.id = photo GROUP BY sha256 ORDER BY sha256"
            ).fetchall()
            drafts = self.db.execute(
                "SELECT count(*) FROM photos WHERE id NOT IN (SELECT photo FROM entries)"
            ).fetchone()[0]
        return dict(times), drafts

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock, self.db:
            yield self.db


def number() -> str:
    """Make up a number for an album or a photo: 15 random digits, as long as the sites' own."""
    return str(10**14 + secrets.randbelow(9 * 10**14))


def write(file: Path, data: bytes) -> None:
    """Write a file whole or not at all, also when two threads write the same one."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    part.write_bytes(data)
    part.replace(file)


def _publish(db: sqlite3.Connection, album: str, descriptions: Mapping[str, str]) -> None:
    db.executemany(
        "INSERT INTO entries (album, photo, description)"
        " SELECT albums.id, photos.id, ? FROM albums, photos WHERE albums.key = ? AND photos.key = ?"
        " ON CONFLICT (album, photo) DO UPDATE SET description = excluded.description",
        [(description, album, photo) for photo, description in descriptions.items()],
    )
