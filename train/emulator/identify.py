"""From pairs of files to an emulator: the first half of them searches, the second scores.

Crops of one photo follow each other, so that halves in their order share no photo but the one in the middle.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collect import codecs
from collect.codecs import quantisation
from collect.codecs.decoders import DECODE, installed_decoders
from collect.codecs.encoders import all_encoders
from collect.codecs.kernels import installed_kernels
from collect.terminal import terminal
from params import UserError
from train.emulator import table_rules
from train.emulator.encoder_guesses import alike, guesser
from train.emulator.fit import fit
from train.emulator.model import IDENTIFIED, Emulator, Limit, Tables
from train.emulator.noise import MOST_PAIRS, noise_share
from train.emulator.observations import Header, Observed, read_header, read_pair, read_upright, resize_rules, with_mask
from train.emulator.search import OWN_SIZE, Candidate, Search, apply_chain, find_candidate

MAX_SEARCH_PAIRS = 16  # that a search measures on
MAX_SEARCH_PIXELS = 24_000_000  # of their originals
MAX_RULE_PAIRS = 400  # pairs from which a rule is learned
# shares of the time; then all pairs teach the rules
SEARCH_END, FIT_END, RULES_END, SCORE_END = 0.55, 0.75, 0.8, 0.9


def identify(
    pairs: Sequence[tuple[Path, Path]], *, masks: Mapping[tuple[Path, Path], bytes] | None = None, seconds: float = 180
) -> Emulator:
    """Find the chain of real encoders that best reproduces renditions from their originals.

    The first half of the pairs searches, the second scores what was found; so pairs of one photo belong side by
    side. Then the tables and the rules, but not the score, are learned anew from all pairs.

    Args:
        pairs: original and rendition files, two at least.
        masks: of pairs, as pairing found them: what of the original the rendition doesn't show. None: watermarks are
            looked for where the renditions aren't reproduced at once.
        seconds: that search and scoring may take; the last image may pass them a little.

    Raises:
        UserError: too few pairs, or a file that can't be read.
    """
    if len(pairs) < 2:
        raise UserError(f"{len(pairs)} pair is too few: one half searches, the other scores. Give at least two.")
    start = time.monotonic()
    headers = [read_header(*files, (masks or {}).get(files)) for files in pairs]
    searching, scoring = _halves(headers)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal(), transient=True) as progress:
        task = progress.add_task("searching")
        found, is_stamped = _search_chain(
            searching,
            masks is None,
            start + SEARCH_END * seconds,
            start + FIT_END * seconds,
            start + RULES_END * seconds,
            lambda candidate, error: progress.update(task, description=f"{candidate.chain}: {error:.3f} grey levels"),
        )
        progress.update(task, description=f"scoring {found.chain}")
        scored, score = _judge(found, scoring, is_stamped, start + SCORE_END * seconds)
        progress.update(task, description="learning from all pairs")
        return _learn_from_all_pairs(scored, headers, score, start + seconds)


def _halves(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """Part the pairs in two, and among them those that were resized."""
    halves: tuple[list[Header], list[Header]] = [], []
    for is_resized in (False, True):
        alike = [header for header in headers if header.is_resized == is_resized]
        middle = (len(alike) + (len(halves[0]) == len(halves[1]))) // 2
        halves[0].extend(alike[:middle])
        halves[1].extend(alike[middle:])
    return halves


def _search_chain(
    headers: Sequence[Header],
    look_for_watermark: bool,
    deadline: float,
    fit_deadline: float,
    rule_deadline: float,
    on_best: Callable[[Candidate, float], None],
) -> tuple[Emulator, bool]:
    """Search on pairs: the emulator, whose score and verdict are still to come, and whether a watermark was found."""
    formats = Counter(header.format for header in headers)
    kind = formats.most_common(1)[0][0]
    headers = _of_format(headers, kind)
    telling = sorted(headers, key=lambda header: (header.is_resized, header.bytes_a_pixel), reverse=True)
    chosen = telling[:: math.ceil(len(telling) / MAX_SEARCH_PAIRS)]
    pixels = accumulate(math.prod(header.sizes[0]) for header in chosen)
    chosen = [header for header, so_far in zip(chosen, pixels, strict=True) if so_far <= MAX_SEARCH_PIXELS] or chosen[
        :1
    ]
    observed = alike([read_pair(header) for header in chosen])
    rules = resize_rules([header.sizes for header in headers])
    tables = table_sets(headers)
    encoders = guesser(observed, [each.steps for each in tables])
    search = Search(observed, deadline, on_best)
    doubt, is_stamped = "the platform does something that this search doesn't know", False
    first = Candidate("png")
    if encoders is None:
        candidate, doubt = first, f"no encoder here makes such {kind or 'unknown'} files"
    else:
        first = replace(first, encoder=next(iter(encoders(first))))
        is_plain = rules == [""] and search.is_found(first)
        is_looked_for = look_for_watermark and not is_plain and not search.is_slow  # on large images it takes minutes
        is_stamped = is_looked_for and with_mask(chosen[0]).mask is not None
        if is_stamped:
            observed = alike([read_pair(with_mask(header)) for header in chosen])
            search = Search(observed, deadline, on_best)
            encoders = guesser(observed, [each.steps for each in tables]) or encoders
        are_jpegs = all(header.original.suffix.lower() in (".jpg", ".jpeg") for header in headers)
        candidate = find_candidate(
            search, rules[0] if rules else OWN_SIZE, encoders, installed_decoders() if are_jpegs else [""]
        )
        if search.is_late():
            doubt = "the search ran out of time"
    if not rules:
        scale = median(after / before for header in headers for before, after in zip(*header.sizes, strict=True))
        candidate = replace(candidate, resize=f"resize:{min(max(scale, 0.01), 8):.6f}")
        doubt += "; no size rule here explains the served sizes: each pair's own was searched with"
    if len(rules) > 1:
        doubt += f"; {' or '.join(rules[1:])} would explain the sizes as well as {rules[0]}"
    error, identity = search.error(candidate), fmean(pair.identity_error for pair in observed)
    if error > identity:
        candidate = Candidate("png", candidate.resize, candidate.kernel)
        doubt += "; what was nearest is farther off than the original itself, which stands for it"
    thresholds, limit = _learn_rules(headers, candidate.chain, tables, rule_deadline)
    found = Emulator(
        chain=candidate.chain,
        tables=tables if error <= identity else (),
        thresholds=thresholds,
        limit=limit,
        format=kind,
        identified=False,
        mae=error,
        exact=0,
        pairs=0,
        why=doubt,
    )
    is_known = encoders is None or search.is_found(candidate) or noise_share(found, observed) is not None
    return found if is_known else _fitted(found, candidate, first.encoder, search, fit_deadline), is_stamped


def _fitted(found: Emulator, candidate: Candidate, encoder: str, search: Search, deadline: float) -> Emulator:
    """Fit numbers to the pairs with the encoder that is likeliest by the files; keep what comes nearer."""
    error = min(search.error(candidate), fmean(pair.identity_error for pair in search.pairs))
    tables = table_sets([pair.header for pair in search.pairs])
    plain = [replace(candidate, encoder=encoder)]
    if candidate.resize and candidate.resize != OWN_SIZE:  # an encoder that isn't known misleads about the kernel
        plain += [replace(plain[0], kernel=kernel, filter="") for kernel in installed_kernels()]
    starts = [found.model_copy(update={"chain": each.chain, "tables": tables}) for each in plain]
    fitted = fit(starts, search.pairs, deadline)
    if fitted.fitted is None or fmean(pair.error(fitted(pair.original)) for pair in search.pairs) >= error:
        return found
    return fitted


def _of_format(headers: Sequence[Header], kind: str) -> list[Header]:
    """Keep the renditions of a format; where some have tables, those that have."""
    of_format = [header for header in headers if header.format == kind]
    return [header for header in of_format if header.tables] or of_format


def table_sets(headers: Sequence[Header]) -> tuple[Tables, ...]:
    """List JPEGs' different tables, finest first; those of grey ones only where there are no others."""
    colour = [header.tables for header in headers if len(header.tables) > 1]
    counts = Counter(colour or [header.tables for header in headers if header.tables])
    return tuple(
        Tables(
            quality=quantisation.nearest_quality(steps[0]),
            share=count / counts.total(),
            luma=steps[0],
            chroma=steps[1] if len(steps) > 1 else None,
        )
        for steps, count in sorted(counts.items(), key=lambda each: (sum(map(sum, each[0])), each[0]))
    )


def _learn_rules(
    headers: Sequence[Header], chain: str, tables: Sequence[Tables], deadline: float
) -> tuple[tuple[float, ...] | None, Limit | None]:
    """Learn which tables an image gets, by the estimated bitrate and by the file's size."""
    places = {each.steps: place for place, each in enumerate(tables)}
    known = [header for header in headers if header.tables in places]
    if len(tables) < 2 or len(known) < 2 or not _takes_tables(chain):
        return None, None
    known = known[:: math.ceil(len(known) / MAX_RULE_PAIRS)]
    images = (codecs.before_encoding(read_upright(header.original), chain) for header in known)
    return table_rules.learn_rules(
        images, [places[header.tables] for header in known], chain.split("+")[-1], tables, deadline
    )


def _learn_from_all_pairs(scored: Emulator, headers: Sequence[Header], score: str, deadline: float) -> Emulator:
    """Learn tables and rules anew from all pairs, if there is time; the score stays that of the first half's."""
    headers = _of_format(headers, scored.format)
    tables = table_sets(headers)
    *steps, encoder = scored.chain.split("+")
    changed: dict[str, Any] = {}
    if scored.tables:
        chain = scored.chain
        if _takes_tables(chain):
            name, _, *options = encoder.split(":")
            argument = quantisation.tables_argument([each.steps for each in tables])
            chain = "+".join([*steps, ":".join([name, argument, *options])])
        thresholds, limit = _learn_rules(headers, chain, tables, deadline)
        is_lost = bool(scored.thresholds or scored.limit) and not (thresholds or limit)
        if time.monotonic() <= deadline and not is_lost:
            changed = {"chain": chain, "tables": tables, "thresholds": thresholds, "limit": limit}
    refitted = scored.model_copy(update=changed)
    why = score + _describe_table_rule(refitted)
    if refitted != scored:
        why += "; these tables are learned from all pairs, but the score is that of the first half's alone"
    return refitted.model_copy(update={"why": why})


def _judge(found: Emulator, headers: Sequence[Header], is_stamped: bool, deadline: float) -> tuple[Emulator, str]:
    """Measure the emulator on pairs that it hasn't seen, as many as there is time for; judge it, and say why.

    Only pairs with something to tell count: every chain reproduces an image of one colour.
    """
    errors, identity, same_sizes, judged = list[float](), list[float](), True, list[Observed]()
    with_own_tables, covered, flat = list[float](), 0, 0
    for header in headers:
        pair = read_pair(with_mask(header) if is_stamped else header)
        if pair.is_flat:
            flat += 1
            continue
        served = found(pair.header.original if found.chain.startswith(DECODE) else pair.original)
        error, whole = pair.error(served), pair.whole_error(served)
        is_covered = pair.counts is not None and whole > IDENTIFIED
        errors.append(error if is_covered else whole)
        identity.append(pair.identity_error)
        judged = [*judged, pair][:MOST_PAIRS]
        same_sizes &= served.size == pair.rendition.size
        covered += is_covered
        if len(found.tables) > 1 and header.tables:
            with_own_tables.append(pair.error(apply_chain(pair, found.chain)))
        if time.monotonic() > deadline:
            break
    if not errors:
        return found, f"not identified: all {flat} unseen originals are of one colour, and tell nothing"
    is_worse = fmean(with_own_tables or errors) > fmean(identity)  # where only the rule is wrong, the chain is not
    if is_worse and found.chain != "png":
        why = f"{found.chain} is farther off ({fmean(errors):.2g} grey levels) than the original itself; {found.why}"
        plain = {"chain": "png", "tables": (), "thresholds": None, "limit": None, "why": why}
        found, errors, same_sizes = found.model_copy(update=plain), identity, same_sizes
    mae, exact = fmean(errors), errors.count(0) / len(errors)
    is_identified = same_sizes and mae <= IDENTIFIED
    noise = None if is_identified or covered or not same_sizes else noise_share(found, judged)
    scored = found.model_copy(
        update={
            "noise": noise,
            "identified": is_identified,
            "mae": mae,
            "exact": exact,
            "pairs": len(errors),
            "identity_mae": fmean(identity),
        },
    )
    score = _describe_score(scored, is_identified, errors, with_own_tables)
    if covered:
        score += f"; outside a watermark, on {covered} of {len(errors)}"
    if flat:
        score += f"; {flat} more of one colour, which tell nothing, are left out"
    return scored, score


def _describe_score(
    found: Emulator, is_identified: bool, errors: Sequence[float], with_own_tables: Sequence[float]
) -> str:
    mae, count = fmean(errors), len(errors)
    if found.noise is not None:
        text = f"{found.verdict}: {mae:.2g} grey levels off on average, {max(errors):.2g} at worst of {count}"
    elif not is_identified:
        text = f"not identified: nearest is {found.chain}, {mae:.2g} grey levels off; {found.why}"
        if with_own_tables and fmean(with_own_tables) <= IDENTIFIED:
            text = f"not identified: {mae:.2g} grey levels off, for want of a rule that names every image's tables"
    elif max(errors) == 0:
        text = f"{count} of {count} unseen pairs reproduced pixel for pixel"
    else:
        text = (
            f"{errors.count(0)} of {count} unseen pairs reproduced pixel for pixel, and the rest closely:"
            f" {mae:.2g} grey levels off on average, {max(errors):.2g} at worst"
        )
    if with_own_tables:
        text += f" ({fmean(with_own_tables):.2g} with each file's own tables)"
    if is_identified:
        # of count + 1 images in any order, the last is the worst with a probability of 1 / (count + 1)
        text += f"; the next image is at most {max(errors):.2g} off, with a probability of {count / (count + 1):.0%}"
    return text


def _describe_table_rule(found: Emulator) -> str:
    """Say what tells which of an emulator's tables an image gets."""
    if len(found.tables) < 2:
        return ""
    told = "nothing found tells which an image gets"
    if found.limit:
        told = f"an image gets the finest that keep its file within {found.limit.bits:.2f} bits a pixel"
    elif found.thresholds:
        told = "an estimate of its bits a pixel tells which an image gets"
    return f"; there are {len(found.tables)} sets of tables, and {told}"


def _takes_tables(chain: str) -> bool:
    """Tell whether a chain's last encoder takes the tables of files for its own."""
    return all_encoders()[chain.split("+")[-1].split(":")[0]].takes_tables
