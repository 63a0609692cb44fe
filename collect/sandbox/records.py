"""The tables of a sandbox's store, and the rows that it hands out."""

from __future__ import annotations

import secrets
from typing import NamedTuple

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
CREATE INDEX IF NOT EXISTS photos_in_albums ON entries (photo);
CREATE TABLE IF NOT EXISTS watermarks (photo INTEGER PRIMARY KEY REFERENCES photos (id));
CREATE TABLE IF NOT EXISTS deletions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, photo INTEGER NOT NULL REFERENCES photos (id)
);
CREATE INDEX IF NOT EXISTS photos_deleted ON deletions (photo);
"""
ENTRIES_QUERY = """
SELECT entries.id, photos.key, albums.key, entries.description
FROM entries JOIN photos ON photos.id = entries.photo JOIN albums ON albums.id = entries.album
"""


class Session(NamedTuple):
    """A signed-in browser: its secret cookie and its CSRF value."""

    token: str
    csrf: str


class Photo(NamedTuple):
    """An upload: its name on the site, its content, the codec that replaced the site's own if any, its watermark."""

    key: str
    sha256: str
    codec: str | None
    watermarked: bool


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


class Published(NamedTuple):
    """A photo as one audience sees it."""

    key: str
    watermarked: bool
    audience: str


class Received(NamedTuple):
    """A published content: how many albums and posts show it, and its photos, each once for each audience."""

    sha256: str
    times: int
    photos: list[Published]


def random_number() -> str:
    """Make up a number for an album or a photo: 15 random digits, as long as the sites' own."""
    return str(10**14 + secrets.randbelow(9 * 10**14))
