"""The emulator: the chain of real encoders that best reproduces a platform's renditions, found from pairs."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from pydantic import Field, model_validator

from collect import codecs
from collect.files import read_json, to_json, write_atomically
from params import Block, Count, Positive, Share
from train.emulator.words import describe_chain
from train.layers.bitrate import image_bitrate
from train.models.hybrid import Hybrid
from train.tensors import from_pixels, to_levels, to_picture

IDENTIFIED = 0.05  # grey levels of mean error up to which a chain is taken for the platform's own

Step = Annotated[int, Field(ge=1, le=32767)]
Steps = Annotated[tuple[Step, ...], Field(min_length=64, max_length=64)]


class Tables(Block):
    """A JPEG's quantisation tables, row by row, and the share of images that get them."""

    quality: int  # libjpeg's, whose luma table is nearest
    share: Share
    luma: Steps
    chroma: Steps | None

    @property
    def steps(self) -> tuple[Steps, ...]:
        """Both tables, or the one that there is."""
        return (self.luma,) if self.chroma is None else (self.luma, self.chroma)


class Limit(Block):
    """A rule: the finest tables that keep a file within `bits` a pixel, or the coarsest, if none does.

    Images whose longest side is more than `largest_side` get the finest of all.
    """

    bits: Positive
    largest_side: Count | None = None

    def choose(self, side: int, bits: Iterable[float], count: int) -> int:
        """Return the index of the tables, finest first, by an image's side and its bits a pixel under each of them."""
        if self.largest_side is not None and side > self.largest_side:
            return 0
        too_large = sum(1 for _ in takewhile(lambda taken: taken > self.bits, bits))
        return min(too_large, count - 1)


Biases = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=64, max_length=64)]
Row = tuple[float, ...]


class Fitted(Block):
    """Numbers of a chain that were fitted to its pairs, as `train.layers.fitted` has them; None: as the chain's own."""

    taps: Row | None = None  # of the kernel
    filter: tuple[Row, ...] | None = None  # between the resize and the encoder
    colours: tuple[Row, Row, Row] | None = None  # how they mix after the filter
    offset: Row | None = None  # grey levels
    biases: tuple[Biases, Biases] | None = None  # of a JPEG's rounding


class Emulator(Block):
    """A chain of real encoders, and how well it reproduces the platform it was found from.

    `tables` (JPEG only) come finest first. With `thresholds`, an image whose estimated bits a pixel under the
    first luma table pass thresholds[i] gets at least tables[i + 1]. `limit` is a closer rule, for which the image must
    be encoded. With neither, nothing tells which it gets but their shares.
    """

    chain: str  # of collect.codecs; `jpeg:tables` stands for a JPEG with the tables below
    tables: tuple[Tables, ...] = ()
    thresholds: tuple[float, ...] | None = None
    limit: Limit | None = None
    fitted: Fitted | None = None
    format: str  # of the renditions: JPEG, WEBP, JPEG2000, AVIF, PNG
    identified: bool
    mae: float  # grey levels, over the pairs that score
    exact: Share  # of those pairs: reproduced pixel for pixel
    pairs: int  # that scored
    noise: Share | None = None  # of a JPEG's coefficients, where they are off by 1 at random
    identity_mae: float | None = None  # of the originals as they were uploaded, over the same pairs
    why: str  # how sure the verdict is

    @model_validator(mode="after")
    def _works(self) -> Emulator:
        codecs.check(self.chain, self.tables[0].steps if self.tables else None)
        if self.thresholds is not None and len(self.thresholds) != len(self.tables) - 1:
            raise ValueError(f"{len(self.tables)} tables need {len(self.tables) - 1} thresholds")
        return self

    def __call__(self, image: Image.Image | Path) -> Image.Image:
        """Return what the platform would serve of an image or a file; decoded to RGB.

        Raises ValueError for an image too large.
        """
        if self.fitted is not None:
            return self._served_by_layers(image)
        tables = self.choose(image)
        return codecs.decoded(image, self.chain, tables.steps if tables else None)

    @torch.no_grad()
    def _served_by_layers(self, image: Image.Image | Path) -> Image.Image:
        """Return what the chain serves where numbers of it are fitted, which only its layers have."""
        upright = codecs.before_encoding(image, "png")
        layers = _layers(self.model_dump_json())
        return to_picture(to_levels(layers(from_pixels(upright)[None] / 255))[0])

    def choose(self, image: Image.Image | Path) -> Tables | None:
        """Return the tables that an image gets: by a rule, else the commonest; None where there are none."""
        if len(self.tables) > 1 and (self.limit or self.thresholds):
            before = codecs.before_encoding(image, self.chain)
            if self.limit is not None:
                bits = (bits_a_pixel(before, self.encoder, each) for each in self.tables)
                return self.tables[self.limit.choose(max(before.size), bits, len(self.tables))]
            if self.thresholds is not None:
                return self.tables[choose_by_bitrate(image_bitrate(before, self.tables[0].luma), self.thresholds)]
        return max(self.tables, key=lambda each: each.share, default=None)

    @property
    def is_known(self) -> bool:
        """Tell whether the chain is the platform's own, as far as it isn't random."""
        return self.identified or self.noise is not None

    @property
    def verdict(self) -> str:
        """How far the chain is the platform's own."""
        if self.identified:
            return "identified"
        if self.noise is not None:
            return f"identified but for noise of ±1 in {self.noise:.2%} of the coefficients"
        return "not identified"

    @property
    def words(self) -> str:
        """The chain in words: the software behind it."""
        return describe_chain(self.chain) + ("; numbers of it fitted to the pairs" if self.fitted else "")

    @property
    def encoder(self) -> str:
        """The chain's last part."""
        return self.chain.split("+")[-1]

    def save(self, path: Path) -> None:
        """Write the emulator as JSON, whole or not at all."""
        write_atomically(path, to_json(Emulator, self, indent=2))

    @classmethod
    def load(cls, path: Path) -> Emulator:
        """Read an emulator; raise UserError for a missing or damaged file."""
        return read_json(path, cls, "Run `python -m train.emulator` to find it anew.")


@lru_cache(maxsize=8)  # an attack asks for the same one at each step
def _layers(emulator: str) -> Hybrid:
    return Hybrid(json.loads(emulator), residual=False).eval()


def bits_a_pixel(image: Image.Image, encoder: str, tables: Tables) -> float:
    """Return what an image takes under a JPEG's tables."""
    return 8 * len(codecs.encode(image, encoder, tables.steps)) / math.prod(image.size)


def choose_by_bitrate(bitrate: float, thresholds: Sequence[float]) -> int:
    """Return the index of the tables that an image of an estimated bitrate gets."""
    return bisect_left(thresholds, bitrate)
