"""From pairs of files to an emulator: the first half of them searches, the second scores.

Crops of one photo follow each other, so that halves in their order share no photo but the one in the middle.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collect import codecs
from collect.codecs import quantisation
from collect.codecs.encoders import all_encoders
from collect.terminal import terminal
from params import UserError
from train.emulator import table_rules
from train.emulator.encoder_guesses import alike, guesser
from train.emulator.model import IDENTIFIED, Emulator, Limit, Tables
from train.emulator.observations import Header, read_header, read_pair, read_upright, resize_rules
from train.emulator.search import Candidate, Search, apply_chain, find_candidate

MAX_SEARCH_PAIRS = 16  # that a search measures on
MAX_RULE_PAIRS = 400  # pairs from which a rule is learned
SEARCH_END, RULES_END, SCORE_END = 0.7, 0.8, 0.9  # shares of the time; then all pairs teach the rules


def identify(pairs: Sequence[tuple[Path, Path]], *, seconds: float = 180) -> Emulator:
    """Find the chain of real encoders that best reproduces renditions from their originals.

    The first half of the pairs searches, the second scores what was found; so pairs of one photo belong side by
    side. Then the tables and the rules, but not the score, are learned anew from all pairs.

    Args:
        pairs: original and rendition files, two at least.
        seconds: that search and scoring may take; the last image may pass them a little.

    Raises:
        UserError: too few pairs, or a file that can't be read.
    """
    if len(pairs) < 2:
        raise UserError(f"{len(pairs)} pair is too few: one half searches, the other scores. Give at least two.")
    start = time.monotonic()
    headers = [read_header(*files) for files in pairs]
    half = (len(headers) + 1) // 2
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal(), transient=True) as progress:
        task = progress.add_task("searching")
        found = _search_chain(
            headers[:half],
            start + SEARCH_END * seconds,
            start + RULES_END * seconds,
            lambda candidate, error: progress.update(task, description=f"{candidate.chain}: {error:.3f} grey levels"),
        )
        progress.update(task, description=f"scoring {found.chain}")
        scored, score = _judge(found, headers[half:], start + SCORE_END * seconds)
        progress.update(task, description="learning from all pairs")
        return _learn_from_all_pairs(scored, headers, score, start + seconds)


def _search_chain(
    headers: Sequence[Header], deadline: float, rule_deadline: float, on_best: Callable[[Candidate, float], None]
) -> Emulator:
    """Search on pairs; the emulator's score and verdict are still to come."""
    formats = Counter(header.format for header in headers)
    kind = formats.most_common(1)[0][0]
    headers = _of_format(headers, kind)
    telling = sorted(headers, key=lambda header: header.bytes_a_pixel, reverse=True)
    observed = alike([read_pair(header) for header in telling[:: math.ceil(len(telling) / MAX_SEARCH_PAIRS)]])
    rules = resize_rules([header.sizes for header in headers])
    tables = table_sets(headers)
    encoders = guesser(observed, [each.steps for each in tables])
    search = Search(observed, deadline, on_best)
    if encoders is None:
        candidate, doubt = Candidate("png"), f"no encoder here makes such {kind or 'unknown'} files"
    elif not rules:
        candidate = Candidate(next(iter(encoders(Candidate("png")))))
        doubt = "no resize step here explains the served sizes"
    else:
        candidate = find_candidate(search, rules[0], encoders)
        doubt = "the platform does something that this search doesn't know"
        if search.is_late():
            doubt = "the search ran out of time"
    if len(rules) > 1:
        doubt += f"; {' or '.join(rules[1:])} would explain the sizes as well as {rules[0]}"
    thresholds, limit = _learn_rules(headers, candidate.chain, tables, rule_deadline)
    return Emulator(
        chain=candidate.chain,
        tables=tables,
        thresholds=thresholds,
        limit=limit,
        format=kind,
        identified=False,
        mae=search.error(candidate),
        exact=0,
        pairs=0,
        why=doubt,
    )


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


def _judge(found: Emulator, headers: Sequence[Header], deadline: float) -> tuple[Emulator, str]:
    """Measure the emulator on pairs that it hasn't seen, as many as there is time for; judge it, and say why."""
    errors, same_sizes, with_own_tables = [], True, []
    for header in headers:
        pair = read_pair(header)
        served = found(pair.original)
        errors.append(pair.error(served))
        same_sizes &= served.size == pair.rendition.size
        if len(found.tables) > 1 and header.tables:
            with_own_tables.append(pair.error(apply_chain(pair, found.chain)))
        if time.monotonic() > deadline:
            break
    mae, exact = fmean(errors), errors.count(0) / len(errors)
    is_identified = same_sizes and mae <= IDENTIFIED
    scored = found.model_copy(
        update={"identified": is_identified, "mae": mae, "exact": exact, "pairs": len(errors)},
    )
    return scored, _describe_score(found, is_identified, errors, with_own_tables)


def _describe_score(
    found: Emulator, is_identified: bool, errors: Sequence[float], with_own_tables: Sequence[float]
) -> str:
    mae = fmean(errors)
    if not is_identified:
        text = f"not identified: nearest is {found.chain}, {mae:.2g} grey levels off; {found.why}"
        if with_own_tables and fmean(with_own_tables) <= IDENTIFIED:
            text = f"not identified: {mae:.2g} grey levels off, for want of a rule that names every image's tables"
    elif mae == 0:
        text = f"{len(errors)} of {len(errors)} unseen pairs reproduced pixel for pixel"
    else:
        text = (
            f"{errors.count(0)} of {len(errors)} unseen pairs reproduced pixel for pixel, and the rest closely:"
            f" {mae:.2g} grey levels off on average, {max(errors):.2g} at worst"
        )
    if with_own_tables:
        text += f" ({fmean(with_own_tables):.2g} with each file's own tables)"
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
