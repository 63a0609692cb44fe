"""What a platform leaves in pixels: a few numbers a probe, which an unchanged platform repeats."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

BANDS = ("lowest", "low", "high", "highest")  # frequencies in blocks of 8×8
EDGES = (1.5, 4.0, 7.0)  # radii, in coefficients, between the bands
CORNERS = ("top left", "top right", "bottom left", "bottom right")
NAMES = (
    *(f"error, {band}" for band in BANDS),  # mean |served - uploaded| of luma's coefficients, grey levels
    *(f"gain, {band}" for band in BANDS),  # mean |served| less mean |uploaded|
    *(f"error, {corner}" for corner in CORNERS),  # mean |served - uploaded| of luma there
    "error, chroma",
)
DECIMALS = 3


def measure_residual(uploaded: Path, served: Path) -> list[float]:
    """Return the numbers that NAMES names, in grey levels; where sizes differ, the upload is shrunk by Lanczos."""
    with Image.open(served) as opened:
        came = opened.convert("RGB")
    with Image.open(uploaded) as opened:
        went = opened.convert("RGB")
    if went.size != came.size:
        went = went.resize(came.size, Image.Resampling.LANCZOS)
    before, after = (np.asarray(each.convert("YCbCr"), dtype=np.float32) for each in (went, came))
    change = after - before
    sizes_before, sizes_after, errors = (_coefficients(each[..., 0]) for each in (before, after, change))
    values = [float(errors[place].mean()) for place in _places()]
    values += [float(sizes_after[place].mean() - sizes_before[place].mean()) for place in _places()]
    height, width = change.shape[0] // 8, change.shape[1] // 4
    for rows in (slice(0, height), slice(-height, None)):
        for columns in (slice(0, width), slice(-width, None)):
            values.append(float(np.abs(change[rows, columns, 0]).mean()))
    values.append(float(np.abs(change[..., 1:]).mean()))
    return [round(value, DECIMALS) + 0.0 for value in values]  # + 0.0: no -0.0


def _coefficients(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean |coefficient| of the orthonormal DCT in whole 8×8 blocks, [8, 8]."""
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    blocks = luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    means: NDArray[np.float32] = np.abs(dctn(blocks, axes=(1, 3), norm="ortho")).mean(axis=(0, 2))
    return means


def _places() -> list[NDArray[np.bool_]]:
    """Tell, for each band, which coefficients it holds; the mean colour is in none."""
    radius = np.hypot(*np.indices((8, 8)))
    edges = (0.5, *EDGES, np.inf)
    return [(radius >= low) & (radius < high) for low, high in pairwise(edges)]


def describe_changes(changes: dict[str, list[float]], resized: set[str]) -> str:
    """Say in a sentence's part what changed pixels tell: {probe: after less before, as `measure_residual` has them}.

    Args:
        resized: the probes that the platform serves smaller than they went up.
    """
    if set(changes) <= resized:
        return "images over the size limit look different: another resize kernel"
    table = np.array(list(changes.values()))
    corners = table[:, 8:12]
    where = int(np.abs(corners).mean(axis=0).argmax())
    others = np.delete(np.abs(corners), where, axis=1).mean()
    if np.median(corners[:, where]) > 0.5 and others < 0.25 * np.abs(corners[:, where]).mean():
        return f"a mark is put on images at the {CORNERS[where]}"
    gains = np.median(table[:, 5:8], axis=0)
    if gains.max() > 0.05 and gains.min() > -0.05:
        return f"images come back sharper ({gains.max():+.2f} grey levels in the {BANDS[1 + int(gains.argmax())]} band)"
    if gains.min() < -0.05 and gains.max() < 0.05:
        return f"images come back softer ({gains.min():+.2f} grey levels in the {BANDS[1 + int(gains.argmin())]} band)"
    size = float(np.abs(table).max())
    return f"pixels changed by up to {size:.2f} grey levels on average in {len(changes)} of the probes"
