"""Whether a platform changed its codec: a fresh probe beside the fingerprint and the probes since.

Headers are compared exactly. Pixels, where headers are equal, by a prediction interval: a number of a probe's residual
(collect/drift/pixel_statistics.py) has to leave what its own history makes of it, and in a second probe too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from collect import fingerprint
from collect.drift import pixel_statistics, probe
from collect.drift.probe import Seen
from collect.drift.probe_images import JPEG_UPLOADS
from collect.drift.wording import describe_codecs, describe_headers, describe_jpeg_uploads
from params import Params

FALSE_ALARM_RATE = 1e-6  # a probe, at most, where numbers vary as a normal distribution does: 0.04 % in a year of days
TOLERANCE = 0.05  # grey levels, by which a number may always differ: another machine's decoder


@dataclass(frozen=True)
class Drift:
    """What a probe says beside a fingerprint."""

    kind: Literal["none", "header", "pixels", "first"]
    said: str  # in a sentence
    seen: Seen
    also: Seen | None = None  # by another probe, that is no change either

    @property
    def is_change(self) -> bool:
        return self.kind in ("header", "pixels")


def examine(
    name: str,
    params: Params,
    *,
    origin: str | None = None,
    live: bool = False,
    take: Callable[..., Seen] = probe.send_probes,
) -> Drift:
    """Probe a platform and compare; a change has to show in two probes, one right after the other.

    Raises UserError as `send_probes` does, and for a damaged fingerprint.
    """
    file = fingerprint.FOLDER / f"{name}.json"
    known = fingerprint.load(name) if file.exists() else None
    generation = known["generation"] if known else 1

    def probe_now() -> Seen:
        return take(name, params, generation=generation, origin=origin, live=live)

    probes: Seen = (known or {}).get("probes", {})
    found = _compare(known, probe.earlier_probes(params, name, generation, probes), probe_now)
    for seen in filter(None, (found.also, found.seen)):
        probe.record_probe(params, name, generation, probes or found.seen, seen, changed=found.is_change)
    return found


def _compare(known: Mapping[str, Any] | None, earlier: Sequence[Seen], probe_now: Callable[[], Seen]) -> Drift:
    first = probe_now()
    if known is None or not known.get("probes"):
        now = probe.codec_of(first)
        if known is None:
            return Drift("first", f"first seen: {fingerprint.describe_codec(now['codec'], now['qualities'])}", first)
        said = describe_codecs(known["codec"], now["codec"])
        return Drift("header" if said else "first", said or "as its fingerprint, which held no probes yet", first)
    history = [known["probes"], *earlier]
    if not (header_changes(history, first) or pixel_changes(history, [first], alarm=False)):
        return Drift("none", "unchanged", first)
    second = probe_now()
    if header_changes(history, first) and (said := header_changes(history, second)):
        if _varies(first, second) and not _all_new(history, [first, second]):
            return Drift("none", "unchanged; the site varies by itself", second, also=first)
        return Drift("header", said, second)
    if changes := pixel_changes(history, [first, second], alarm=True):
        resized = {"large"} if probe.is_resized(second["large"]["header"]) else set()
        return Drift("pixels", pixel_statistics.describe_changes(changes, resized), second)
    return Drift("none", "unchanged; something was seen once, and not again right after", second)


def _varies(first: Seen, second: Seen) -> bool:
    """Tell whether two probes, one right after the other, saw different headers of one probe."""
    return any(_key(first[name]) != _key(second[name]) for name in first)


def _all_new(history: Sequence[Seen], fresh: Sequence[Seen]) -> bool:
    """Tell whether no header of these probes was seen of any probe before."""
    before, now = ({_key(each, sizes=False) for seen in some for each in seen.values()} for some in (history, fresh))
    return not before & now


def describe_drift(name: str, found: Drift) -> str:
    """Say for a person what was found, and what becomes of JPEG uploads."""
    change = f"changed ({found.kind}): " if found.is_change else ""
    return f"{name}: {change}{found.said}. {describe_jpeg_uploads(probe.codec_of(found.seen))}"


def record_drift(name: str, found: Drift) -> None:
    """Write what was found into the fingerprint, where there is anything new: a change as a new generation."""
    told = probe.codec_of(found.seen)
    if found.kind == "none":
        fingerprint.add_missing(name, told)
    else:
        fingerprint.write(name, told, said=found.said, raised=found.is_change)


def header_changes(history: Sequence[Seen], seen: Seen) -> str:
    """Say how headers differ from all that were seen of the same probe, in a sentence; empty: they don't.

    Where a probe's header varied before, as with qualities drawn at random, any header that was seen of any probe in
    the generation passes.
    """
    everywhere = {_key(each, sizes=False) for past in history for each in past.values()}
    changed = []
    for name, now in seen.items():
        keys = {_key(past[name]) for past in history if name in past}
        if not keys or _key(now) in keys:
            continue
        if len(keys) > 1 and _key(now, sizes=False) in everywhere:
            continue
        changed.append(name)
    if not changed:
        return ""
    before = {name: next(past[name]["header"] for past in history if name in past) for name in changed}
    of_jpeg = "JPEG uploads alone: " if JPEG_UPLOADS.keys() >= before.keys() else ""
    return of_jpeg + describe_headers(before, seen)


def pixel_changes(history: Sequence[Seen], fresh: Sequence[Seen], *, alarm: bool) -> dict[str, list[float]]:
    """Find the probes of unchanged headers whose residuals left their history: {probe: after less before}.

    Args:
        alarm: False only finds what is worth another probe: three standard deviations.
    """
    tested = sum(len(each.get("residual", ())) for each in fresh[0].values())
    changes = {}
    for name, latest in fresh[-1].items():
        if "residual" not in latest:
            continue
        past, now = (_residuals(some, name, _key(latest)) for some in (history, fresh))
        if not past or len(now) < len(fresh):
            continue
        before, after = np.array(past), np.array(now)
        away = np.abs(after - before.mean(axis=0)).min(axis=0)  # of the nearer probe: both have to be outside
        free = len(before) - 1 + len(after) - 1
        squares = sum(((each - each.mean(axis=0)) ** 2).sum(axis=0) for each in (before, after))
        spread = np.sqrt(squares / max(free, 1))
        if alarm:
            factor = -stdtrit(free, FALSE_ALARM_RATE / tested / 2) * np.sqrt(1 + 1 / len(before))
        else:
            factor = 3.0
        if (away > TOLERANCE + factor * spread).any():
            changes[name] = [float(each) for each in after.mean(axis=0) - before.mean(axis=0)]
    return changes


def _residuals(some: Sequence[Seen], name: str, key: str) -> list[list[float]]:
    """Collect a probe's residuals, where its header is the one of that key."""
    return [each[name]["residual"] for each in some if name in each and _key(each[name]) == key]


def _key(probed: Mapping[str, Any], *, sizes: bool = True) -> str:
    """Name a probe's header, as something that can be compared."""
    left_out = () if sizes else ("width", "height")
    return json.dumps({key: value for key, value in probed["header"].items() if key not in left_out}, sort_keys=True)
