"""The photos inside installed packages."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from collect.dataset.photos import Photo
from params import UserError

# Colour photographs inside installed wheels. Of scikit-image's, drawings, test patterns and grey images are
# left out, and the second view of its stereo pair: one scene must not stand in two splits.
SAMPLE = {
    "foolbox": ("data/imagenet_*.jpg",),
    "skimage": (
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/motorcycle_left.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


LABELLED = re.compile(r"imagenet_(\d+)_(\d+)")  # foolbox: running number, class index


def sample_photos() -> list[Photo]:
    """List the photos inside foolbox, scikit-image and scikit-learn; raise UserError when one is missing."""
    photos = []
    for package, patterns in SAMPLE.items():
        spec = find_spec(package)  # does not import the package, which would be slow
        if spec is None or spec.origin is None:
            raise UserError(f"The sample needs {package}. Install it with: pip install -e '.[sample]'")
        folder = Path(spec.origin).parent
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            numbers = LABELLED.fullmatch(path.stem)
            stem = f"{package}-{numbers[1] if numbers else path.stem}"
            label = int(numbers[2]) if numbers else None
            photos.append(Photo(f"{package}:{path.relative_to(folder).as_posix()}", stem, path, label))
    return photos
