"""What a sandbox remembers: sign-ins, albums and photos in SQLite, and the files beside it."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from collect.sandbox.records import ENTRIES_QUERY, SCHEMA, Album, Entry, Photo, Published, Received, Session
from params import UserError


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
        if self.read_setting("platform", platform) != platform:
            self.db.close()
            raise UserError(f"{state} holds the state of another sandbox than {platform}'s: give another folder.")

    def close(self) -> None:
        with self.lock:
            self.db.close()

    def read_setting(self, key: str, default: str) -> str:
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

    def sign_out(self, token: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE token = ?", (token,))

    def add_photos(self, uploads: Mapping[str, bytes], codec: str | None, marked: Collection[str] = ()) -> None:
        """Keep uploads, bytes by key, in no album yet; those whose keys are `marked` get a watermark."""
        rows = []
        for key, data in uploads.items():
            sha256 = hashlib.sha256(data).hexdigest()
            _write_whole(self.folder / "originals" / sha256, data)
            rows.append((key, sha256, codec))
        with self._transaction() as db:
            db.executemany("INSERT INTO photos (key, sha256, codec) VALUES (?, ?, ?)", rows)
            db.executemany(
                "INSERT INTO watermarks SELECT id FROM photos WHERE key = ?",
                [(key,) for key in uploads if key in marked],
            )

    def photo(self, key: str) -> Photo | None:
        """Find a photo; None when there is none, or when it was deleted wherever it had been published."""
        query = (
            "SELECT key, sha256, codec, id IN (SELECT photo FROM watermarks) FROM photos WHERE key = ? AND"
            " (id IN (SELECT photo FROM entries) OR id NOT IN (SELECT photo FROM deletions))"
        )
        with self.lock:
            row = self.db.execute(query, (key,)).fetchone()
        return Photo(row[0], row[1], row[2], bool(row[3])) if row else None

    def other_photos(self, photo: Photo) -> list[str]:
        """List the published photos that show something else."""
        query = "SELECT DISTINCT key FROM entries JOIN photos ON photos.id = photo WHERE sha256 != ? ORDER BY photos.id"
        with self.lock:
            return [key for (key,) in self.db.execute(query, (photo.sha256,)).fetchall()]

    def original(self, photo: Photo) -> bytes:
        return (self.folder / "originals" / photo.sha256).read_bytes()

    def rendition(self, name: str) -> Path:
        return self.folder / "renditions" / name

    def add_rendition(self, name: str, data: bytes) -> None:
        _write_whole(self.rendition(name), data)

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
            rows = self.db.execute(f"{ENTRIES_QUERY} WHERE albums.key = ? ORDER BY entries.id", (album,)).fetchall()
        return [Entry(*row) for row in rows]

    def newest(self, count: int, before: int = 0) -> list[Entry]:
        """List the photos of all albums, newest first, from the one that came before entry `before`."""
        query = f"{ENTRIES_QUERY} WHERE ? = 0 OR entries.id < ? ORDER BY entries.id DESC LIMIT ?"
        with self.lock:
            return [Entry(*row) for row in self.db.execute(query, (before, before, count)).fetchall()]

    def delete_photo(self, key: str) -> int:
        """Take a photo out of every album; return out of how many."""
        with self._transaction() as db:
            return _delete(db, "photo IN (SELECT id FROM photos WHERE key = ?)", key)

    def delete_album(self, key: str) -> bool:
        """Delete an album or post with its photos; tell whether it was there."""
        with self._transaction() as db:
            _delete(db, "album IN (SELECT id FROM albums WHERE key = ?)", key)
            return db.execute("DELETE FROM albums WHERE key = ?", (key,)).rowcount == 1

    def received(self) -> list[Received]:
        """List what is published, by the SHA-256 of the bytes received."""
        query = (
            "SELECT sha256, photos.key, photos.id IN (SELECT photo FROM watermarks), audience, count(*) FROM entries"
            " JOIN photos ON photos.id = photo JOIN albums ON albums.id = album"
            " GROUP BY photos.id, audience ORDER BY sha256, photos.id, audience"
        )
        with self.lock:
            rows = self.db.execute(query).fetchall()
        return [
            Received(sha256, sum(row[4] for row in photos), [Published(row[1], bool(row[2]), row[3]) for row in photos])
            for sha256, photos in ((sha256, list(group)) for sha256, group in groupby(rows, itemgetter(0)))
        ]

    def count_hidden(self) -> tuple[int, int]:
        """Count the uploads that were never published, and the photos that were and are deleted."""
        with self.lock:
            drafts, deleted = self.db.execute(
                "SELECT (SELECT count(*) FROM photos WHERE id NOT IN (SELECT photo FROM entries)"
                " AND id NOT IN (SELECT photo FROM deletions)), (SELECT count(*) FROM deletions)"
            ).fetchone()
        return drafts, deleted

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock, self.db:
            yield self.db


def _write_whole(file: Path, data: bytes) -> None:
    """Write a file whole or not at all, also when two threads write the same one; durable it need not be."""
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


def _delete(db: sqlite3.Connection, which: str, key: str) -> int:
    db.execute(f"INSERT INTO deletions (photo) SELECT photo FROM entries WHERE {which}", (key,))
    return db.execute(f"DELETE FROM entries WHERE {which}", (key,)).rowcount
