"""What the downloaded files themselves reveal of a platform's codec, in a form that jitter doesn't flip."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from collect.codecs.quantisation import read_codec
from collect.files import write_atomically
from params import UserError

FOLDER = Path("fingerprints")
HISTORY_KEYS = ("generation", "seen", "codec", "qualities", "jpeg_upload")  # of a generation that is over


def observe(pairs: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """Sum up (original, served) files: the commonest codec, the longest side if images were resized, the counts.

    `codec` is the part that is compared; qualities that vary with content are counted beside it.
    """
    codecs, qualities, longest, resized = Counter[str](), Counter[int](), 0, False
    for original, served in pairs:
        codec = read_codec(served)
        size = (codec.pop("width"), codec.pop("height"))
        with Image.open(original) as image:
            resized |= image.size != size
        longest = max(longest, *size)
        codecs[json.dumps(codec, sort_keys=True)] += 1
        if "quality" in codec:
            qualities[codec["quality"]] += 1
    commonest = min(codecs, key=lambda text: (-codecs[text], text), default="{}")
    return {
        "codec": json.loads(commonest) | {"longest_side": longest if resized else None},
        "images": len(pairs),
        "qualities": {str(quality): qualities[quality] for quality in sorted(qualities)},
    }


def generation(platform: str) -> int:
    """Return the generation of a platform's codec as last seen; a UserError when it was never seen."""
    return int(load(platform)["generation"])


def load(platform: str) -> dict[str, Any]:
    """Read fingerprints/<platform>.json; a UserError when it is missing or damaged."""
    file = FOLDER / f"{platform}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(content, dict) and type(content.get("generation")) is int and content["generation"] >= 1):
            raise ValueError("it needs a generation, a whole number from 1")
    except FileNotFoundError:
        raise UserError(
            f"{file} is missing. Run `comreadv fingerprint --platform {platform} --write` to make it."
        ) from None
    except ValueError as error:
        raise UserError(f"{file}: {error}. Restore it with git.") from None
    return content


def save(platform: str, seen: Mapping[str, Any], *, said: str = "first seen") -> bool:
    """Write what was seen; raise the generation and return True if a codec differs from the file's.

    Args:
        seen: `codec`, and what else is to be kept of it.
        said: what changed, in a sentence, for the history.
    """
    if (FOLDER / f"{platform}.json").exists():
        known = load(platform)
        if known.get("codec") == seen["codec"] and known.get("jpeg_upload") in (None, seen.get("jpeg_upload")):
            return False
    write(platform, seen, said=said)
    return True


def add_missing(platform: str, seen: Mapping[str, Any]) -> bool:
    """Add what a file of an earlier version doesn't tell yet, such as new probes; tell whether there was anything.

    All that it tells stays as it is, and its generation too, since its codec is unchanged.
    """
    known = load(platform)
    whole = {**seen, **known, "probes": {**seen["probes"], **known.get("probes", {})}}
    if whole == known:
        return False
    write(platform, whole, said="", raised=False)
    return True


def write(platform: str, seen: Mapping[str, Any], *, said: str, raised: bool = True) -> None:
    """Write what was seen as a generation of its own, or into the present one; keep all that was there before."""
    file = FOLDER / f"{platform}.json"
    number, history, today = 1, list[dict[str, Any]](), datetime.now(UTC).date().isoformat()
    if file.exists():
        known = load(platform)
        history, number = known.get("history", []), known["generation"]
        if raised:
            number += 1
            history = [*history, {key: known[key] for key in (*HISTORY_KEYS, "said") if key in known}]
        else:
            today, said = known.get("seen", today), known.get("said", "first seen")
    about = {"platform": platform, "generation": number, "seen": today, "said": said, "history": history}
    write_atomically(file, dumps({**{key: seen[key] for key in seen if key != "images"}, **about}))


def describe_codec(codec: Mapping[str, Any], qualities: Mapping[str, int] | None = None) -> str:
    """Say a codec as a person would: JPEG 85, 4:4:4, baseline, at most 2048 pixels."""
    words = [str(codec.get("format", "nothing"))]
    if qualities and len(qualities) > 1:
        words[0] += f" {min(map(int, qualities))} to {max(map(int, qualities))} by content"
    elif "quality" in codec:
        words[0] += f" {codec['quality']}"
    words += [codec["sampling"]] if "sampling" in codec else []
    if "progressive" in codec:
        words.append("progressive" if codec["progressive"] else "baseline")
    if codec.get("longest_side"):
        words.append(f"at most {codec['longest_side']} pixels")
    return ", ".join(words)


def matches(known: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Tell whether the codec of some files (`observe`) is a fingerprint's, as far as they can tell.

    A size limit shows only on images beyond it, and qualities that vary with content may be any of those seen.
    """
    codec, other = (dict(each.get("codec", {})) for each in (known, seen))
    sides = (codec.pop("longest_side", None), other.pop("longest_side", None))
    if sides[1] is not None and sides[0] != sides[1]:
        return False
    qualities = {int(each) for each in known.get("qualities", {})}
    if len(qualities) > 1 and "quality" in other:
        if not min(qualities) <= other["quality"] <= max(qualities):
            return False
        varying = ("quality", "tables")
        codec, other = ({key: each[key] for key in each if key not in varying} for each in (codec, other))
    return codec == other


def dumps(content: Mapping[str, Any]) -> str:
    """Write JSON for people and git: sorted, one key a line, one table a line."""
    text = json.dumps(content, indent=2, sort_keys=True)
    return re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda table: f"[{' '.join(table[1].split())}]", text) + "\n"
