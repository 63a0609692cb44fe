"""Try each step of an adapter with one tiny image, and tell which step fails, and on what."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from collect import sandbox
from collect.doctor.checks import Checks, LocalChecks, SiteChecks
from collect.doctor.diagnosis import describe_failure
from collect.platform import Batch, LocalPlatform, Platform, Site, load_platform
from collect.round_trip.connect import is_asked_for, refuse_sandbox
from params import Params, UserError

NAME_COLUMN_WIDTH = 12  # characters of a step's name


@dataclass(frozen=True)
class Step:
    """One row: what is tried, and the rows without which it can't be."""

    name: str
    act: Callable[[], str]  # returns what was seen
    needs: tuple[str, ...] = ()


def examine_platform(
    name: str, params: Params, console: Console, *, origin: str | None = None, live: bool = False
) -> bool:
    """Try every step of a platform of params.yaml and print a row each; return whether all went well.

    A sandbox is served for as long when that is what the platform's row says. Raises UserError for a real site
    unless `live`, or COMREADV_LIVE in the environment, asks for it.
    """
    row = params.platform(name)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comreadv-doctor-")))
        if (origin or row.origin) is None and row.site == "sandbox" and row.adapter in sandbox.names():
            origin = stack.enter_context(sandbox.serve(row.adapter, state=folder / "sandbox"))
        platform = load_platform(name, row, origin=origin)
        _permit(name, platform, console, live=live)
        if isinstance(platform, Site):
            checks: Checks = SiteChecks(name, platform, folder, stack)
        else:
            assert isinstance(platform, LocalPlatform)
            checks = LocalChecks(name, platform, folder, stack)
        try:
            failed = _run_steps(_steps(checks), checks, console)
        finally:
            if checks.undeleted:
                still = f"Still up on {name}: {'; '.join(map(_describe_batch, checks.undeleted))}."
                console.print(Text(f"{still} The next doctor tries again to delete it; or do so by hand.", style="red"))
    if failed:
        console.print(f"{name}: {failed[0]} fails." if len(failed) == 1 else f"{name}: {', '.join(failed)} fail.")
    else:
        console.print(f"{name}: everything works.")
    return not failed


def _permit(name: str, platform: Platform, console: Console, *, live: bool) -> None:
    if live:
        refuse_sandbox(name, platform)
    if not (isinstance(platform, Site) and platform.is_live):
        return
    if not is_asked_for(live):
        raise UserError(
            f"{name} is the real site, with your account. `comreadv doctor --platform {name} --live` uploads one tiny"
            f" image, {platform.audience}, and deletes it at the end."
        )
    console.print(f"{name}, the real site: one tiny image goes up, {platform.audience}, and is deleted again.")


def _describe_batch(batch: Batch) -> str:
    known = f"{', '.join(batch.known.values())}," if batch.known else "perhaps what is"
    return f"{known} called {batch.title!r}"


def _steps(checks: Checks) -> list[Step]:
    first: list[Step] = []
    middle: list[Step] = []
    ready: tuple[str, ...] = ()
    where = ("upload",)
    if isinstance(checks, SiteChecks):
        first = [
            Step("browser", checks.start_browser),
            Step("state folder", checks.lock_state_folder),
            Step("sign-in", checks.sign_in, ("browser", "state folder")),
            Step("account", checks.show_account, ("sign-in",)),
        ]
        middle = [Step("address", checks.find_address, ("upload",))]
        ready, where = ("account",), ("address",)
    return [
        *first,
        Step("upload", checks.upload_image, ready),
        Step("read back", checks.read_back_upload, ("upload",)),
        *middle,
        Step("download", checks.download_image, where),
        Step("picture", checks.compare_images, ("download",)),
        Step("codec", checks.compare_codec, ("download",)),
        Step("delete", checks.delete_uploads, ready),
    ]


def _run_steps(steps: list[Step], checks: Checks, console: Console) -> list[str]:
    """Run the steps, print their rows, and return the names of those that failed."""
    done: set[str] = set()
    failed: list[str] = []
    for step in steps:
        missing = [each for each in step.needs if each not in done]
        if missing:
            console.print(
                Text(f"- {step.name:{NAME_COLUMN_WIDTH}}         skipped, for it needs: {', '.join(missing)}", "dim")
            )
            continue
        start = time.monotonic()
        try:
            seen, notes = step.act(), []
        except Exception as error:  # a redesign shows as anything: no such key, no such locator
            seen, *notes = describe_failure(error, checks)
            failed.append(step.name)
        else:
            done.add(step.name)
        well = step.name in done
        row = Text.assemble(
            ("✓" if well else "✗", "green" if well else "bold red"), f" {step.name:{NAME_COLUMN_WIDTH}}"
        )
        console.print(row.append(f" {time.monotonic() - start:6.2f} s  {seen}"))
        for note in notes:
            console.print(Text(f"{'':{NAME_COLUMN_WIDTH + 13}}{note}"))
    return failed
