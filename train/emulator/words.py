"""A chain in words: the software behind each of its steps."""

from __future__ import annotations

from collections.abc import Sequence

from collect.codecs.decoders import DECODE
from collect.codecs.encoders import all_encoders
from collect.codecs.filters import all_filters
from collect.codecs.kernels import SizeRule, all_kernels, resize_step

SIZES = {
    "resize": "× {0:g}",
    "fit": "{0:g} on the longest side",
    "short": "{0:g} on the shortest side",
    "width": "{0:g} wide",
    "height": "{0:g} high",
    "box": "into {0:g} × {1:g}",
    "cover": "to cover {0:g} × {1:g}, the rest cut off",
    "size": "squashed to {0:g} × {1:g}",
}
SAMPLINGS = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0"}


def describe_chain(chain: str) -> str:
    """Name the software and the settings of each step, such as `libvips: 360 wide; libjpeg 80, 4:2:0`."""
    return "; ".join(filter(None, (_step(*step.split(":")) for step in chain.split("+")))) or "nothing"


def _step(name: str, *arguments: str) -> str:
    if f"{name}:" == DECODE:
        return f"uploads decoded by {arguments[0].upper()}'s libjpeg"
    if name in SIZES:
        rule, kernel = resize_step(name, *arguments)
        return f"{all_kernels()[kernel].software or kernel.replace('_', ' ')}: {_size(rule)}"
    if name in all_filters():
        return f"{name.replace('_', ' ')} {', '.join(arguments)}"
    if name == "png":
        return ""
    return f"{all_encoders()[name].software or name.replace('_', ' ')} {_settings(arguments)}".strip()


def _size(rule: SizeRule) -> str:
    return SIZES[rule.by].format(*rule.numbers) + (", smaller ones too" if rule.enlarges else "")


def _settings(arguments: Sequence[str]) -> str:
    first = {"tables": "with tables of its own"}.get(arguments[0], arguments[0]) if arguments else ""
    return ", ".join([first, *(SAMPLINGS.get(argument, argument) for argument in arguments[1:])])
