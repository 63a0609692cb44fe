"""Which of a platform's tables an image gets: rules learned from some pairs and proved on others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.emulator.model import Limit, Tables, bits_a_pixel, choose_by_bitrate
from train.layers.bitrate import image_bitrate

FOLDS = 5

Predict = Callable[[int], int]  # an image's index → the index of its tables


def learn_rules(
    images: Iterable[Image.Image], chosen: Sequence[int], encoder: str, tables: Sequence[Tables], deadline: float
) -> tuple[tuple[float, ...] | None, Limit | None]:
    """Learn a rule by the estimated bitrate and one by the file's size; None for one that may be luck.

    Args:
        images: as the last encoder gets them; each is forgotten once measured.
        chosen: the index of each image's tables, finest first.
        encoder: the last one, `jpeg:tables…`.
        tables: all.
        deadline: of `time.monotonic`, after which no more images are measured.
    """
    measured = []
    for image in images:
        bits_by_tables = [bits_a_pixel(image, encoder, each) for each in tables]
        measured.append((image_bitrate(image, tables[0].luma), bits_by_tables, max(image.size)))
        if time.monotonic() > deadline:
            break
    bitrates, bits, sides = (np.array(numbers) for numbers in zip(*measured, strict=True))
    indices = np.array(chosen[: len(measured)])

    def by_bitrate(kept: NDArray[np.int64]) -> Predict:
        thresholds = learn_thresholds(bitrates[kept], indices[kept], len(tables))
        return lambda place: choose_by_bitrate(bitrates[place], thresholds)

    def by_limit(kept: NDArray[np.int64]) -> Predict:
        limit = learn_limit(bits[kept], sides[kept], indices[kept])
        return lambda place: limit.choose(sides[place], bits[place], len(tables))

    guessed = np.bincount(indices).max()
    chance = guessed + np.sqrt(guessed * (1 - guessed / len(indices)))  # a standard deviation: luck seldom goes so far
    bitrate_right, limit_right = (_right(indices, rule) for rule in (by_bitrate, by_limit))
    if max(bitrate_right, limit_right) <= chance:
        return None, None
    thresholds = learn_thresholds(bitrates, indices, len(tables)) if bitrate_right > guessed else None
    limit = learn_limit(bits, sides, indices) if limit_right > max(guessed, bitrate_right - 1) else None
    return thresholds, limit


def learn_thresholds(bitrates: NDArray[np.float64], chosen: NDArray[np.int64], count: int) -> tuple[float, ...]:
    """Learn the estimated bitrate above which an image gets each but the first of `count` tables; they rise."""
    thresholds = [_threshold(bitrates, chosen > index) for index in range(count - 1)]
    return tuple(np.maximum.accumulate(thresholds).tolist())


def learn_limit(bits: NDArray[np.float64], sides: NDArray[np.int64], chosen: NDArray[np.int64]) -> Limit:
    """Learn the bits a pixel that files may take, and the side beyond which they may take any, if there is one.

    Args:
        bits: [N, K], of each image under each of the tables, finest first.
        sides: [N], the images' longest.
        chosen: [N], the index of each image's tables.
    """
    everyone = np.arange(len(chosen))
    # each image tells that the limit lies from its file's bits up to the bits of the next finer tables
    low = np.where(chosen < bits.shape[1] - 1, bits[everyone, chosen], 0.0)
    high = np.where(chosen > 0, bits[everyone, chosen - 1], np.inf)
    best, fewest = Limit(bits=float(bits.max()) + 1), len(chosen) + 1
    for side in (None, *sorted(set(sides.tolist()))[:-1]):
        bound = sides <= (side or sides.max())
        ends = np.unique(np.r_[low[bound], high[bound][np.isfinite(high[bound])]])
        places = (ends[1:] + ends[:-1]) / 2 if len(ends) > 1 else ends + 1
        agreeing = (low[bound] <= places[:, None]) & (places[:, None] < high[bound])
        wrong = (~agreeing).sum(1) + (chosen[~bound] > 0).sum()
        if wrong.min() < fewest:
            fewest = wrong.min()
            middle = np.median(places[wrong == fewest])
            best = Limit(bits=float(middle), largest_side=side)
    return best


def _threshold(values: NDArray[np.float64], above: NDArray[np.bool_]) -> float:
    """Find the middle of the places that part `above` from the rest with the fewest mistakes."""
    ordered = np.sort(values)
    places = np.r_[ordered[0] - 1, (ordered[1:] + ordered[:-1]) / 2, ordered[-1] + 1]
    mistakes = np.array([((values > place) != above).sum() for place in places])
    return float(np.median(places[mistakes == mistakes.min()]))


def _right(chosen: NDArray[np.int64], learned: Callable[[NDArray[np.int64]], Predict]) -> int:
    """Count the images whose tables are named by rules learned from other images."""
    places, right = np.arange(len(chosen)), 0
    folds = places * FOLDS // len(places)  # crops of one photo follow each other, and belong together
    for fold in range(FOLDS):
        out, kept = places[folds == fold], places[folds != fold]
        if len(out) and len(kept):
            predict = learned(kept)
            right += sum(predict(place) == chosen[place] for place in out)
    return right
