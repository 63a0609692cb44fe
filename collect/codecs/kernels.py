"""The kernels that an image is resized by."""

from __future__ import annotations

from PIL import Image

KERNELS = {kernel.name.lower(): kernel for kernel in Image.Resampling}
