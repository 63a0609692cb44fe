"""Find which part of an original a rendition shows, to a fraction of a pixel, and by which kernel it was resized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

from collect.codecs.kernels import all_kernels
from pairing.alignment.canvas import Box, Canvas, Grey, Size, correlate, encoded, loss, luma, weigh
from pairing.alignment.orientation import Turn, likely_turns, luma_table, turned

COARSEST_SIDE_PX = 24  # pixels, short side: where the search begins
COARSE = 100  # pixels, short side: where its beginnings are compared
STEPS = 30  # of the search, at most, at each size
SMALLEST_STEP_PX = 0.002  # pixels of the rendition: a step so small ends the search
ROUNDS = 3  # of the search at full size
STUCK = 0.8  # times the loss of what the search found: a simpler box that is so much better means it stopped short
AS_GOOD = 1.01  # times the least loss: a simpler box that is no worse is the true one
CLOSE = 0.05  # pixels: of a box that is so close to the one that was found, this is enough
SAME = 1.1  # times the least loss
SLIGHT = 0.2  # pixels: so small a shift is believed only if the loss without it is more than
UNMOVED = 1.05  # times the loss with it
NEAR = 0.8  # pixels of the original by which a simpler box may differ from the one that was found
UNSURE = 0.3  # pixels by which what was found may be off, for choosing whole pixels
ALIKE = 0.8  # correlation from which a rendition may be taken for unmoved at first sight


@dataclass(frozen=True)
class Alignment:
    """Where a rendition lies on its original.

    The edges are in the original's pixels: 0, 0, width, height is all of it; what is inside was cropped off, what
    is outside was added by the platform.
    """

    left: float
    top: float
    right: float
    bottom: float
    turn: Turn = None  # what sets the rendition upright, before all else
    kernel: str | None = None  # of the resize, by name; None: not resized

    @property
    def box(self) -> Box:
        return self.left, self.top, self.right, self.bottom

    def is_whole(self, size: Size) -> bool:
        """Tell whether an original of that size is shown upright and whole, and nothing else."""
        return self.turn is None and self.box == (0, 0, *size)


def register(original: Image.Image, rendition: Image.Image, canvas: Canvas | None = None) -> Alignment:
    """Place a rendition on its original, whether they belong together or not.

    A rendition that nothing moved has exactly the box of the whole. Images of any size and mode; the work is done
    on their luma. A JPEG as opened, not converted, lets what its quantisation does be told from what a kernel does.
    `canvas` is the original's, if there is one already.
    """
    canvas, seen = canvas or Canvas(original), rendition.convert("L")
    if canvas.size == seen.size and _is_unmoved(canvas, luma(seen)):
        return Alignment(0, 0, *canvas.size)
    found: list[tuple[float, Box, Turn]] = []
    for turn in likely_turns(original, rendition):
        upright = turned(seen, turn)
        for start in _starts(canvas.size, upright.size):
            found.append((*_search(canvas, upright, start, COARSEST_SIDE_PX, COARSE), turn))
    _, box, turn = max(found, key=lambda each: each[0])
    upright = turned(seen, turn)
    _, box = _search(canvas, upright, box, 2 * COARSE, max(upright.size))
    return _explain(canvas, luma(upright), box, turn, luma_table(rendition, turn))


def _is_unmoved(canvas: Canvas, target: Grey) -> bool:
    """Tell at once whether a rendition of the original's size lies as it did, as most do."""
    whole: Box = (0, 0, *canvas.size)
    shown = canvas.show(whole, canvas.size)
    if correlate(shown, target) < ALIKE:
        return False
    box, weights = _step(canvas, target, whole, shown, "bicubic")
    if _distance(box, whole) > NEAR:
        return False
    _, limit = weigh(target, shown, weights)
    margin = UNMOVED if _distance(box, whole) <= SLIGHT else AS_GOOD
    return loss(shown, target, weights, limit) <= margin * loss(canvas.show(box, canvas.size), target, weights, limit)


def _starts(original: Size, rendition: Size) -> Iterator[Box]:
    """Give boxes to begin from: all of the original; where shapes differ, also those that keep the shape."""
    width, height = original
    yield (0, 0, width, height)
    scales = [rendition[0] / width, rendition[1] / height]
    if max(scales) > 1.01 * min(scales):
        for scale in (min(scales), max(scales)):
            across, down = rendition[0] / scale, rendition[1] / scale
            left, top = (width - across) / 2, (height - down) / 2
            yield (left, top, left + across, top + down)


def _search(canvas: Canvas, seen: Image.Image, box: Box, short: int, until: int) -> tuple[float, Box]:
    """Follow the square residual downhill at growing sizes; return the correlation there and the box."""
    while True:
        factor = min(1.0, short / min(seen.size))
        size = (max(8, round(seen.size[0] * factor)), max(8, round(seen.size[1] * factor)))
        target = luma(seen if factor == 1 else seen.resize(size, Image.Resampling.BOX))
        box = _descend(canvas, target, box)
        if factor == 1 or short >= until:
            size = target.shape[::-1]
            return correlate(canvas.show(box, size), target, canvas.covers(box, size)), box
        short *= 2


def _descend(canvas: Canvas, target: Grey, box: Box, kernel: str = "bicubic") -> Box:
    """Follow the square residual downhill at one size."""
    for _ in range(STEPS):
        shown = canvas.show(box, target.shape[::-1], kernel)
        before, (box, _) = box, _step(canvas, target, box, shown, kernel)
        if _distance(box, before) < SMALLEST_STEP_PX * (before[2] - before[0]) / target.shape[1]:
            break
    return box


def _step(canvas: Canvas, target: Grey, box: Box, shown: Grey, kernel: str) -> tuple[Box, Grey]:
    """Take one Gauss-Newton step with brightness and contrast left free; return the box and the pixels' weights."""
    height, width = target.shape
    weights, _ = weigh(target, shown, canvas.covers(box, (width, height)))
    across, down = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    slope_x, slope_y = canvas.slopes(box, (width, height), kernel)
    right = (np.arange(width, dtype=np.float32) + 0.5) / width
    bottom = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    edges = (slope_x * (1 - right), slope_y * (1 - bottom), slope_x * right, slope_y * bottom)
    design = np.stack([column.ravel() for column in (*edges, shown, np.ones_like(shown))])
    weighted = design * weights.ravel()
    normal = (weighted @ design.T).astype(np.float64)
    place = range(4)  # of the edges, which stay where nothing in the image tells of them
    normal[place, place] += 1e-6 * normal[place, place].max() + 1e-6
    normal[range(4, 6), range(4, 6)] += 1e-6
    solution = np.linalg.solve(normal, weighted.astype(np.float64) @ target.ravel())
    change = solution[:4] / max(abs(solution[4]), 0.2) * np.sign(solution[4])
    most = 3 * np.array([across, down, across, down])
    left, top, right_edge, bottom_edge = np.asarray(box) + np.clip(change, -most, most)
    return _held(canvas, (float(left), float(top), float(right_edge), float(bottom_edge))), weights


def _held(canvas: Canvas, box: Box) -> Box:
    """Keep a box on the canvas, and no smaller than half the original."""
    margin, (width, height) = canvas.margin - 1, canvas.size
    left, top = (min(max(edge, -margin), length / 4) for edge, length in zip(box[:2], canvas.size, strict=True))
    return left, top, min(max(box[2], 0.75 * width), width + margin), min(max(box[3], 0.75 * height), height + margin)


def _explain(canvas: Canvas, target: Grey, box: Box, turn: Turn, table: list[int] | None) -> Alignment:
    """Find the kernel, and take the simplest box that explains a rendition as well as the one that was found."""
    height, width = target.shape
    size, kernel = (width, height), "bicubic"
    kernels = [name for name, each in all_kernels().items() if each.takes_box]
    for _ in range(ROUNDS):
        weights, limit = weigh(target, canvas.show(box, size, kernel), canvas.covers(box, size))
        smooth = {each: loss(canvas.show(box, size, each), target, weights, limit) for each in kernels}
        kernel = min(smooth, key=smooth.__getitem__)
        box = _descend(canvas, target, box, kernel)
        weights, limit = weigh(target, canvas.show(box, size, kernel), canvas.covers(box, size))
        boxes = [box, *(other for other in _simple(canvas.size, size, box) if _distance(box, other) <= NEAR)]
        losses = {  # after the codec, for what it smooths away would pass for a smoother kernel
            (place, each): loss(encoded(canvas.show(boxes[place], size, each), table), target, weights, limit)
            for place, each in product(range(len(boxes)), kernels)
        }
        least = min(losses.values())
        good = {
            key: error
            for key, error in losses.items()
            if key[0] and error <= (SAME if _distance(box, boxes[key[0]]) <= CLOSE else AS_GOOD) * least
        }
        best = min(good or losses, key=losses.__getitem__)
        box, kernel = boxes[best[0]], best[1]
        if losses[best] > STUCK * min(losses[0, each] for each in kernels):
            break
    is_resized = max(abs(box[axis + 2] - box[axis] - size[axis]) for axis in (0, 1)) > 1e-6
    return Alignment(*box, turn=turn, kernel=kernel if is_resized else None)


def _simple(original: Size, rendition: Size, box: Box) -> Iterator[Box]:
    """Give the boxes that platforms make: the whole, whole pixels, and whole pixels cut off after a resize."""
    yield (0, 0, *original)
    left, top, right, bottom = (sorted({round(edge - UNSURE), round(edge + UNSURE)}) for edge in box)
    yield from product(left, top, right, bottom)
    resized = [round(original[axis] * rendition[axis] / (box[axis + 2] - box[axis])) for axis in (0, 1)]
    across, down = (original[axis] / resized[axis] for axis in (0, 1))
    x, y = round(box[0] / across), round(box[1] / down)
    yield (x * across, y * down, (x + rendition[0]) * across, (y + rendition[1]) * down)


def _distance(first: Box, second: Box) -> float:
    return max(abs(edge - other) for edge, other in zip(first, second, strict=True))
