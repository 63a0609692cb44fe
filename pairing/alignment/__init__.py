"""Lay a rendition on its original: orientation, registration, canvas, watermark and mask."""

from pairing.alignment.align import Pixels, measure_pair, psnr, read_aligned, read_pixels
from pairing.alignment.mask import mask_from_png

__all__ = ["Pixels", "mask_from_png", "measure_pair", "psnr", "read_aligned", "read_pixels"]
