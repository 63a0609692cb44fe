"""Numbers of a chain fitted to pairs, part by part, for what no library here does; each is kept only if it gains.

Kernel, filter and colours are fitted by gradient. Their loss looks at a JPEG's coefficients before they are rounded:
each should lie within half a step of the file's own. Nothing is rounded on the way, so that the loss is smooth, and 0
for the true numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from collect import codecs
from collect.codecs.kernels import SIZE_STEPS, resize_step
from collect.codecs.libjpeg import read_coefficients
from train.emulator.model import Emulator, Fitted
from train.emulator.observations import Observed
from train.layers.fitted import REACH, TAPS_A_PIXEL, FittedFilter, FittedResize
from train.layers.jpeg import HALVED, unquantised
from train.layers.steps import SAMPLINGS
from train.models.hybrid import Hybrid
from train.tensors import from_pixels

MOST_PAIRS = 8  # that are fitted on, and as many others that tell whether it gained
PASSES = 120  # over the pairs, a part
LEARNING_RATE = 4e-3
MIN_GAIN = 0.05  # share of the error that a part has to take away
FILTER_SIDE = 5
BIASES = torch.arange(0.0, 0.75, 0.025)  # of a coefficient's rounding


def fit(starts: Sequence[Emulator], pairs: Sequence[Observed], deadline: float) -> Emulator:
    """Fit what is left of a JPEG chain to pairs; return the first start as it was where nothing gained.

    Args:
        starts: chains that end in plain `jpeg`, with their tables; the one that a fitted rounding brings nearest is
            fitted further.
        pairs: that the chain was searched with; every second one judges what is fitted on the others.
        deadline: of `time.monotonic`, after which nothing is fitted further.
    """
    found = starts[0]
    if not found.encoder.startswith("jpeg:") or len(pairs) < 2 or not found.tables:
        return found
    learning, judging = pairs[::2][:MOST_PAIRS], pairs[1::2][:MOST_PAIRS]
    error = _error(found, judging)
    rounded = (_with_biases(start, learning) for start in starts)
    for candidate in takewhile(lambda _: time.monotonic() <= deadline, rounded):
        if (gained := _error(candidate, judging)) < (1 - MIN_GAIN) * error:
            found, error = candidate, gained
    for part in (_with_filter, _with_taps):
        if time.monotonic() > deadline:
            break
        if changed := part(found, learning, deadline):
            for candidate in (changed, _with_biases(changed, learning)):
                if (gained := _error(candidate, judging)) < (1 - MIN_GAIN) * error:
                    found, error = candidate, gained
    return found


def _error(found: Emulator, pairs: Sequence[Observed]) -> float:
    return fmean(pair.error(found(pair.original)) for pair in pairs)


def _tensor(image: Image.Image) -> Tensor:
    return from_pixels(image)[None] / 255


def _changed(found: Emulator, **parts: object) -> Emulator:
    fitted = Fitted.model_validate((found.fitted or Fitted()).model_dump() | parts)
    return found.model_copy(update={"fitted": fitted})


def _with_biases(found: Emulator, pairs: Sequence[Observed]) -> Emulator:
    """Choose for each frequency the bias of rounding that explains the most of the files' coefficients."""
    layers = Hybrid(found.model_dump(mode="json"), residual=False)
    sizes: tuple[list[Tensor], ...] = [], [], [], []  # of luma's coefficients, of those in the file; of chroma's
    with torch.no_grad():
        for pair in pairs:
            seen = [each for both in _coefficients(found, pair, layers.before(_tensor(pair.original))) for each in both]
            for kept, each in zip(sizes, seen, strict=True):
                kept.append(each.abs().flatten(0, 2))
    return _changed(found, biases=(_best_biases(*sizes[:2]), _best_biases(*sizes[2:])))


def _best_biases(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[float]:
    """Return for each frequency the bias that makes the fewest mistakes; of equally good ones, the one most usual."""
    sizes, wanted = torch.cat(list(before)), torch.cat(list(after))
    wrong = torch.stack([((sizes + bias).floor() - wanted).abs().sum(0) for bias in BIASES])
    usual = BIASES[wrong.sum((1, 2)).argmin()]
    far = torch.where(wrong == wrong.amin(0), (BIASES - usual).abs().view(-1, 1, 1), torch.inf)
    best: list[float] = BIASES[far.argmin(0)].ravel().tolist()
    return best


def _with_filter(found: Emulator, pairs: Sequence[Observed], deadline: float) -> Emulator:
    """Fit a filter of all colours, and how they mix."""
    centre = torch.zeros(FILTER_SIDE, FILTER_SIDE)
    centre[FILTER_SIDE // 2, FILTER_SIDE // 2] = 1
    layer = FittedFilter(centre, torch.eye(3), torch.zeros(3))
    inputs = [_tensor(codecs.before_encoding(pair.original, found.chain)) for pair in pairs]
    _descend(layer, found, pairs, inputs, deadline)
    return _changed(found, filter=layer.weights.tolist(), colours=layer.matrix.tolist(), offset=layer.offset.tolist())


def _with_taps(found: Emulator, pairs: Sequence[Observed], deadline: float) -> Emulator | None:
    """Fit the kernel by which the images are resized, where nothing else is done before the encoder."""
    steps = found.chain.split("+")[:-1]
    if len(steps) != 1 or steps[0].split(":")[0] not in SIZE_STEPS or (found.fitted and found.fitted.filter):
        return None
    rule, _ = resize_step(*steps[0].split(":"))
    layer = FittedResize(rule, torch.tensor(_lanczos()))
    resized = [pair for pair in pairs if pair.header.is_resized]
    _descend(layer, found, resized, [_tensor(pair.original) for pair in resized], deadline)
    return _changed(found, taps=layer.taps.tolist())


def _lanczos() -> list[float]:
    at = np.arange(REACH * TAPS_A_PIXEL + 1) / TAPS_A_PIXEL
    taps: list[float] = np.where(at < 3, np.sinc(at) * np.sinc(at / 3), 0).tolist()
    return taps


def _descend(
    layer: nn.Module, found: Emulator, pairs: Sequence[Observed], inputs: Sequence[Tensor], deadline: float
) -> None:
    optimiser = torch.optim.Adam(layer.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, PASSES * len(pairs))
    for _ in range(PASSES):
        if time.monotonic() > deadline:
            break
        for pair, image in zip(pairs, inputs, strict=True):
            optimiser.zero_grad()
            loss = torch.zeros(())
            for before, after in _coefficients(found, pair, layer(image)):
                loss = loss + ((before - after).abs() - 0.5).relu().square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _coefficients(found: Emulator, pair: Observed, image: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Give luma's coefficients before rounding and those in the file, then chroma's; in the file's own steps."""
    tables = pair.header.tables
    y, *chroma = (torch.from_numpy(each.astype(np.float32)) for each in read_coefficients(pair.header.rendition))
    luma_steps, chroma_steps = (torch.tensor(table).view(8, 8).float() for table in (tables[0], tables[-1]))
    sampling = next((option for option in found.encoder.split(":")[2:] if option.isdigit()), "420")
    down, across = HALVED[SAMPLINGS[sampling]]
    for before, after in zip(
        unquantised(255 * image, luma_steps, chroma_steps, down, across), (y[None], torch.stack(chroma)), strict=True
    ):
        rows, columns = (min(a, b) for a, b in zip(before.shape[1:3], after.shape[1:3], strict=True))
        yield before[:, :rows, :columns], after[:, :rows, :columns]
