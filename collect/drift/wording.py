"""Say in a sentence how a codec has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from collect import fingerprint
from collect.drift.probe import Seen
from collect.drift.probe_images import JPEG_QUALITY

WORDS = {  # keys of headers, as a person says them
    "format": "format",
    "quality": "luma table: quality",
    "tables": "tables",
    "sampling": "sampling",
    "progressive": "progressive",
    "huffman": "Huffman tables",
    "metadata": "carried along",
    "negotiated": "for another Accept",
    "quantiser": "quantiser",
    "size": "size",
}


def describe_headers(before: Mapping[str, Mapping[str, Any]], seen: Seen) -> str:
    """Say what differs between headers, each kind of change once, with the values that probes had and have."""
    changes: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for name, old in before.items():
        new = seen[name]["header"]
        keys = ["format"] if old["format"] != new["format"] else [*dict.fromkeys([*old, *new])]
        for key in keys:
            if old.get(key) != new.get(key) and key not in ("width", "height"):
                changes[key].append((old.get(key), new.get(key)))
        sizes = (_shape(old), _shape(new))
        if sizes[0] != sizes[1] and old["format"] != "refused" != new["format"]:
            changes["size"].append(sizes)
    if "quality" in changes:
        changes.pop("tables", None)
    order = [*WORDS, *(key for key in changes if key not in WORDS)]
    return "; ".join(_describe(key, changes[key]) for key in order if key in changes)


def _describe(key: str, values: Sequence[tuple[Any, Any]]) -> str:
    if key == "tables":
        return "quantisation tables changed, at the same nearest quality"
    if key == "progressive":
        return "baseline → progressive" if values[0][1] else "progressive → baseline"
    if key == "size":
        sides = sorted({(max(old), max(new)) for old, new in values}, reverse=True)
        return f"longest side of a large image: {sides[0][0]} → {sides[0][1]} pixels"
    old, new = (_range([pair[side] for pair in values]) for side in (0, 1))
    return f"{WORDS.get(key, key.replace('_', ' '))} {old} → {new}"


def _range(values: Sequence[Any]) -> str:
    """Say a value, or the least and the largest of several."""
    if all(isinstance(each, int) and not isinstance(each, bool) for each in values):
        return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"
    return " or ".join(sorted({_word(each) for each in values}))


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _shape(header: Mapping[str, Any]) -> tuple[int, int]:
    return header.get("width", 0), header.get("height", 0)


def describe_codecs(known: Mapping[str, Any], codec: Mapping[str, Any]) -> str:
    """Say how a codec differs from a fingerprint's without probes, which knows no sizes."""
    keys = [
        key for key in ("format", "quality", "sampling", "progressive", "tables") if known.get(key) != codec.get(key)
    ]
    if "format" in keys:
        keys = ["format"]
    if "quality" in keys and "tables" in keys:
        keys.remove("tables")
    return "; ".join(_describe(key, [(known.get(key), codec.get(key))]) for key in keys)


def describe_jpeg_uploads(told: Mapping[str, Any]) -> str:
    """Say in a sentence what becomes of a JPEG upload, of what `codec_of` tells."""
    if told["jpeg_upload"]["same_codec"]:
        return "A JPEG upload is served as a PNG upload is."
    codecs: dict[str, dict[str, Any]] = told["jpeg_upload"]["codecs"]
    kept = []
    if all(codec.get("quality") == JPEG_QUALITY != told["codec"].get("quality") for codec in codecs.values()):
        kept.append(f"quality {JPEG_QUALITY}")
    if all(codec.get("sampling") == went_up for went_up, codec in codecs.items()):
        kept.append(f"sampling {' or '.join(codecs)}")
        codecs = {up: {key: codec[key] for key in codec if key != "sampling"} for up, codec in codecs.items()}
    served = " or ".join(dict.fromkeys(map(fingerprint.describe_codec, codecs.values())))
    if served == "refused":
        return "A JPEG upload is refused."
    return f"A JPEG upload is served as {served}" + (f": it keeps its {' and its '.join(kept)}." if kept else ".")
