"""Find what a platform put on a rendition: where it differs by more than its codec's noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pairing.alignment.canvas import Grey, encoded
from pairing.alignment.mask import Mask

BLUR = 1.5  # pixels over which square differences are averaged
BINS = 12  # of busyness: the busier a place, the more a codec errs
LEAST = 4.0  # square grey levels of noise that are always expected
KNOWN = 0.3  # of the noise that is left where the codec's tables are known
UNKNOWN = 0.7  # of it that counts where they are not
SURE = 100.0  # times the noise: a watermark
LIKELY = 8.0  # times the noise, where it touches what is sure: a part of it
SMALLEST = 12  # pixels; what is smaller is no watermark
GAP = 5  # pixels to each side of it that a text's strokes may leave
SMEAR = 3  # pixels that the codec smears around it


def find(expected: Grey, seen: Grey, covered: Grey, table: list[int] | None) -> Mask:
    """Mark what the platform put over an image.

    Args:
        expected: the original as resized, in the rendition's brightness and contrast, before its codec.
        seen: the rendition.
        covered: 1 where there is an original to compare with.
        table: the luma quantisation of a JPEG; None: not known.
    """
    error = _square(seen - encoded(expected, table), covered)
    if error.max() <= SURE * LEAST:
        return np.zeros(seen.shape, np.bool_)
    usual = noise(expected, _square(seen - expected, covered))
    usual = np.maximum(KNOWN * usual, noise(expected, error)) if table else UNKNOWN * usual
    return _region(np.asarray(error / np.maximum(usual, LEAST), np.float32))


def noise(expected: Grey, error: Grey) -> Grey:
    """Estimate the codec's square error, [H, W]: the median of places that are as busy, or of busier ones if less."""
    mean = ndimage.gaussian_filter(expected, 2 * BLUR)
    busy = np.sqrt(np.maximum(ndimage.gaussian_filter(expected**2, 2 * BLUR) - mean**2, 0))
    place = np.digitize(busy, np.quantile(busy, np.linspace(0, 1, BINS + 1)[1:-1]))
    usual = [np.median(error[place == each]) if (place == each).any() else np.inf for each in range(BINS)]
    return np.asarray(np.minimum.accumulate(usual[::-1])[::-1][place], np.float32)


def _square(difference: Grey, covered: Grey) -> Grey:
    return np.asarray(ndimage.gaussian_filter(covered * difference**2, BLUR), np.float32)


def _region(ratio: Grey) -> Mask:
    """Mark what is sure with what it touches, a text as one block rather than strokes."""
    labels, count = ndimage.label(ratio > LIKELY)
    kept = np.bincount(labels.ravel(), minlength=count + 1) >= SMALLEST
    kept &= np.bincount(labels[ratio > SURE], minlength=count + 1) > 0
    found = kept[labels]
    block = np.ones((2 * GAP + 1,) * 2)
    closed = ndimage.binary_closing(np.pad(found, 2 * GAP), block)[2 * GAP : -2 * GAP, 2 * GAP : -2 * GAP]
    return np.asarray(ndimage.binary_dilation(ndimage.binary_fill_holes(closed), np.ones((2 * SMEAR + 1,) * 2)))
