"""A local encoder by name, for the paper's local simulation: a platform with no site and no browser."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from collect import codecs
from collect.errors import Trouble
from collect.files import write_atomically
from collect.platform import Batch, LocalPlatform
from params import PlatformRow, UserError


class Codec(LocalPlatform):
    name = "codec"
    atomic = False
    renditions = ("file",)
    batch_size = 64

    def __init__(self, row: PlatformRow, *, origin: str | None = None) -> None:
        super().__init__(row, origin=origin)
        if origin is not None:
            raise UserError("A row with `adapter: codec` runs a local encoder: --origin has nothing to point at.")
        self.codec = row.codec or ""  # params.py asks for one
        try:
            codecs.check(self.codec)
        except ValueError as error:
            raise UserError(f"params.yaml: {error}") from None
        if "jp2" in self.codec:
            self.longest_side = 0  # its rate looks at the whole image, so no image may be part of another

    @contextmanager
    def session(self, storage: Path) -> Iterator[LocalSession]:
        storage.mkdir(parents=True, exist_ok=True)
        yield LocalSession(self.codec, storage)


class LocalSession:
    """Encoded files in a folder, named by the content that they were made from."""

    def __init__(self, codec: str, storage: Path) -> None:
        self.account = self.codec = codec
        self.storage = storage

    def upload(self, batch: Batch) -> dict[int, str]:
        return self.read_back(batch)

    def read_back(self, batch: Batch) -> dict[int, str]:
        return {position: self._encode(file) for position, file in enumerate(batch.files) if file.is_file()}

    def download(
        self, remote_ids: Sequence[str], rendition: str, files: Sequence[Path], accept: str | None = None
    ) -> list[str | Trouble]:
        for remote_id, file in zip(remote_ids, files, strict=True):
            file.write_bytes((self.storage / remote_id).read_bytes())
        return [f"{self.codec}/{remote_id}" for remote_id in remote_ids]

    def delete(self, remote_ids: Sequence[str], title: str) -> None:
        for remote_id in remote_ids:
            (self.storage / remote_id).unlink(missing_ok=True)

    def _encode(self, file: Path) -> str:
        remote_id = hashlib.sha256(f"{self.codec}\n".encode() + file.read_bytes()).hexdigest()
        kept = self.storage / remote_id
        if not kept.exists():
            with Image.open(file) as image:
                write_atomically(kept, codecs.encode(image, self.codec))
        return remote_id
