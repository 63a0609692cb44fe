"""What a person or a program is told of protected photos: each one of a few, a table of many, JSON."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Protocol

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from attack.protect.batch import Result
from attack.protect.protected import Answer, Protected
from attack.protect.record import NAME
from collect.files import to_json

FEW = 10  # photos of which each is described
MOST_FAILURES = 20  # that are listed
LARGE_FILE_BYTES = 20 * 2**20  # more than some platforms take


class Reporter(Protocol):
    """What is told of each photo as it is done, and of all at the end."""

    def tell(self, result: Result) -> None: ...

    def end(self) -> None: ...


class Each:
    """Describe each photo, at the end, when the progress bar is gone."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def tell(self, result: Result) -> None:
        self.results.append(result)

    def end(self) -> None:
        for each in self.results:
            if each.row:
                typer.echo(describe(each.row, done_before=each.done_before))


class Json:
    """Write each photo's row as it comes; nothing of it is kept."""

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.failed: list[dict[str, str]] = []
        self.before = '{"photos": ['

    def tell(self, result: Result) -> None:
        if result.row is None:
            self.failed.append({"source": result.source, "reason": result.reason})
            return
        if result.done_before:
            self.skipped.append(result.source)
        typer.echo(f"{self.before}\n{to_json(Protected, result.row).rstrip()}", nl=False)
        self.before = ","

    def end(self) -> None:
        opened = "" if self.before == "," else self.before
        ends = json.dumps({"skipped": self.skipped, "failed": self.failed}, ensure_ascii=False)
        typer.echo(f"{opened}\n], {ends[1:]}")


class Summary:
    """Count what became of many photos."""

    def __init__(self, out: Path) -> None:
        self.out, self.start = out, time.monotonic()
        self.counts: Counter[str] = Counter()
        self.survives: defaultdict[tuple[str, str], int] = defaultdict(int)  # by platform and classifier
        self.ssim_lost, self.most_lost, self.bytes = 0.0, 0.0, 0

    def tell(self, result: Result) -> None:
        if result.row is None:
            self.counts["not protected"] += 1
            return
        row = result.row
        self.counts["done before" if result.done_before else "protected now"] += 1
        self.counts["survive everywhere"] += row.survives
        for each in row.verdicts:
            self.survives[each.platform, each.classifier] += each.survives
        lost = 1 - row.visibility.ssim
        self.ssim_lost, self.most_lost = self.ssim_lost + lost, max(self.most_lost, lost)
        self.bytes += row.bytes

    def end(self) -> None:
        Console(width=None if Console().is_terminal else 120).print(self.table())
        typer.echo(f"Each photo's own line is in {self.out / NAME}.")

    def table(self) -> Table:
        """Lay the counts out for a terminal."""
        now, done = self.counts["protected now"], self.counts["protected now"] + self.counts["done before"]
        laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{done:,} protected photos")
        laid.add_column("what", no_wrap=True)
        laid.add_column("photos", justify="right")
        laid.add_column("share", justify="right")
        for name in ("protected now", "done before", "not protected"):
            laid.add_row(name, f"{self.counts[name]:,}", "")
        laid.add_section()
        if done:
            for (platform, classifier), count in self.survives.items():
                laid.add_row(f"survive {platform}, {classifier}", f"{count:,}", f"{count / done:.1%}")
            laid.add_row("survive everywhere", f"{self.counts['survive everywhere']:,}", _share(self.counts, done))
            laid.add_section()
            laid.add_row("SSIM lost, mean and most", "", f"{self.ssim_lost / done:.3f}, {self.most_lost:.3f}")
            laid.add_row("size of the copies", "", f"{self.bytes / done / 2**10:,.0f} KiB each")
        if now:
            laid.add_row("time", "", f"{(time.monotonic() - self.start) / now:.2f} s each")
        return laid


class Failures:
    """List photos that were not protected, and why; the first ones, where they are many."""

    def __init__(self) -> None:
        self.first: list[Result] = []
        self.count = 0

    def tell(self, result: Result) -> None:
        if result.row is None:
            self.count += 1
            if self.count <= MOST_FAILURES:
                self.first.append(result)

    def end(self) -> None:
        for each in self.first:
            typer.echo(f"Not protected: {each.source}: {each.reason}.", err=True)
        if self.count > len(self.first):
            typer.echo(f"And {self.count - len(self.first):,} more; run again with --json to list all.", err=True)


def _share(counts: Counter[str], of: int) -> str:
    return f"{counts['survive everywhere'] / of:.1%}"


def describe(row: Protected, *, done_before: bool) -> str:
    """Tell a person what became of a photo."""
    verdicts, seen = row.verdicts, row.visibility
    lines = [f"{_near(row.source)} → {_near(row.output)}" + (" (done before)" if done_before else "")]
    several = len({each.classifier for each in verdicts}) > 1
    first = {each.classifier: each.before for each in verdicts}
    lines += [f"  {name if several else 'the model'} said: {_quote(answer)}" for name, answer in first.items()]
    for each in verdicts:
        who = each.classifier if several else "the model"
        fate = "will survive" if each.survives else "WILL NOT SURVIVE"
        lines.append(f"  {each.platform}: {fate}; after it ({each.how}) {who} says {_quote(each.after)}")
    figures = [f"{seen.largest} grey levels at most"]
    figures += [f"PSNR {seen.psnr:.1f} dB"] if seen.psnr is not None else []
    figures += [f"SSIM {seen.ssim:.3f}"]
    figures += [f"LPIPS {seen.lpips:.3f}"] if seen.lpips is not None else []
    lines.append(f"  the change is {seen.word}: {', '.join(figures)}")
    if not row.survives:
        lines.append("  To make it survive, allow more change (--eps, --visibility), or protect for fewer platforms.")
    if row.bytes > LARGE_FILE_BYTES:
        lines.append(f"  The file has {row.bytes >> 20} MB, more than some platforms take; --format jpeg makes less.")
    return "\n".join(lines)


def _near(file: str) -> str:
    """Write a file's path as seen from here, where it lies below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _quote(answer: Answer) -> str:
    return f"“{answer.name}” ({100 * answer.confidence:.0f} %)"
