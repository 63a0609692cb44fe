"""Images handed to libvips, the library inside sharp, Next.js and many a site."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from collect.codecs.steps.backends import backend

PACKAGE = "pyvips"


def vips_image(image: Image.Image) -> Any:
    """Hand libvips an RGB image, with its colour profile; raises BackendMissing."""
    vips = backend(PACKAGE)
    handed = vips.Image.new_from_array(np.asarray(image), interpretation="srgb")
    if profile := image.info.get("icc_profile"):
        handed.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    return handed
