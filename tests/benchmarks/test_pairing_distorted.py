"""Pair 300 renditions with known distortions, shuffled and without their names, and 20 foreign pictures.

Reads photos of ILSVRC-2012 from COMREADV_ILSVRC, or where the developers have them.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from distorted import Distorted, corner_error, distort, on_original
from PIL import Image

from pairing.alignment.mask import mask_from_png
from pairing.matching import match
from params import Pairing

sys.path.append(str(Path(__file__).parents[1] / "pairing" / "alignment"))

PHOTOS = Path(os.environ.get("COMREADV_ILSVRC") or Path(__file__).parents[3] / "shared/ilsvrc-sample/val")
TRUE, FOREIGN, TUNED_ON = 300, 20, 250  # the first photos of the order served to choose pairing's constants
SEED = 1


def test_distorted_renditions_find_their_originals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(PHOTOS.glob("*/*.JPEG"))
    if len(files) < TUNED_ON + TRUE + FOREIGN:
        pytest.skip(f"{PHOTOS} holds too few photos; set COMREADV_ILSVRC")
    order = np.random.default_rng(SEED).permutation(len(files))
    kept = [files[place] for place in order[TUNED_ON : TUNED_ON + TRUE + FOREIGN]]
    (tmp_path / "originals").mkdir()
    (tmp_path / "renditions").mkdir()
    made: dict[str, tuple[Path | None, tuple[int, int], Distorted]] = {}
    names = np.random.default_rng(SEED).permutation(len(kept))
    for place, photo in enumerate(kept):
        with Image.open(photo) as opened:
            image = opened.convert("RGB")
        original = tmp_path / "originals" / f"{photo.stem}.png" if place < TRUE else None
        if original:
            image.save(original, compress_level=1)
        distorted = distort(image, np.random.default_rng(TUNED_ON + place))
        made[f"{names[place]:03}.jpg"] = (original, image.size, distorted)
        (tmp_path / "renditions" / f"{names[place]:03}.jpg").write_bytes(distorted.file)

    start = time.perf_counter()
    originals, renditions = (sorted((tmp_path / each).iterdir()) for each in ("originals", "renditions"))
    found = match(originals, renditions, Pairing())
    seconds = time.perf_counter() - start

    right = [each for each in found if each.original and each.original == made[each.rendition.name][0]]
    wrong = [each for each in found if each.original and each.original != made[each.rendition.name][0]]
    errors, kernels, hit, changed, needless, clean = [], 0, 0, 0, 0, 0
    unmarked = Counter[bool]()
    for each in right:
        _, size, distorted = made[each.rendition.name]
        assert each.measured and each.measured.alignment
        errors.append(corner_error(each.measured.alignment.box, distorted.box))
        kernels += each.measured.alignment.kernel == distorted.kernel
        shown = on_original(np.ones(_size(distorted.file), bool), distorted.box, size)
        mask = mask_from_png(each.measured.mask) if each.measured.mask else np.zeros(shown.shape, bool)
        stamped = np.zeros(shown.shape, bool)
        if distorted.stamped is None:
            unmarked[bool(each.measured.watermark)] += 1
        else:
            stamped = on_original(distorted.stamped, distorted.box, size)
        hit, changed = hit + int((mask & stamped).sum()), changed + int(stamped.sum())
        needless, clean = needless + int((mask & shown & ~stamped).sum()), clean + int((shown & ~stamped).sum())
    with capsys.disabled():
        print(f"\n{TRUE} distorted renditions of as many photos, {FOREIGN} foreign pictures, in {seconds:.0f} s")
        print(f"  true pairs accepted {len(right)} ({len(right) / TRUE:.1%}), wrong ones {len(wrong)}")
        print(f"  corner error, pixels of the original: mean {np.mean(errors):.4f},", end=" ")
        print(f"95th percentile {np.quantile(errors, 0.95):.4f}, largest {max(errors):.4f}")
        print(f"  kernel named right {kernels / len(right):.1%}")
        print(f"  watermark's pixels masked {hit / changed:.2%}, other pixels masked {needless / clean:.2%},", end=" ")
        print(f"renditions without a watermark that are masked {unmarked[True]} of {unmarked.total()}")
        for each in found:
            if made[each.rendition.name][0] and not each.original:
                print(f"  rejected {made[each.rendition.name][0]}: {each.reason}")
    assert not wrong
    assert len(right) >= 0.99 * TRUE
    assert max(errors) < 0.1
    assert hit >= 0.99 * changed
    assert needless <= 0.05 * clean


def _size(file: bytes) -> tuple[int, int]:
    """Return the height and width of an image in memory."""
    import io

    with Image.open(io.BytesIO(file)) as image:
        return image.height, image.width
