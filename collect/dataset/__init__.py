"""Photos in, prepared images out: ILSVRC, any folder, or the sample inside installed packages."""

from collect.dataset.folder import folder_photos
from collect.dataset.manifest import Prepared, read_manifest
from collect.dataset.photos import Photo, in_seeded_order, shape
from collect.dataset.prepare import share_out

__all__ = ["Photo", "Prepared", "folder_photos", "in_seeded_order", "read_manifest", "shape", "share_out"]
