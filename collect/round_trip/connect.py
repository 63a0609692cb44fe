"""Open a platform of params.yaml: its sandbox, or the real site when it is asked for."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from collect import sandbox
from collect.browser.session import open_session
from collect.ledger.rate_limit import BURST_SHARE, MINUTES_PER_DAY
from collect.platform import LocalPlatform, Platform, Session, Site, load_platform
from collect.store import LIVE_STATE
from params import Params, UserError, unwritable

LIVE_VARIABLE = "COMREADV_LIVE"
NOTICE_S = 5.0  # between saying what will happen on a real site and doing it

logger = logging.getLogger(__name__)


@contextmanager
def open_platform(
    name: str, params: Params, *, origin: str | None = None, live: bool = False
) -> Iterator[tuple[Platform, Session]]:
    """Open a platform of params.yaml, its sandbox served for as long when that is what its row says.

    Raises UserError for a real site unless `live`, or COMREADV_LIVE in the environment, asks for it; for a sandbox
    where `live` does.
    """
    row = params.platform(name)
    origin = origin or row.origin
    with ExitStack() as stack:
        try:
            LIVE_STATE.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(LIVE_STATE, error) from None
        if origin is None and row.site == "sandbox" and row.adapter in sandbox.names():
            state = LIVE_STATE / "sandbox" / name
            origin = stack.enter_context(sandbox.serve(row.adapter, state=state))
        platform = load_platform(name, row, origin=origin)
        if platform.is_live and not is_asked_for(live):
            rehearsal = " `site: sandbox` in its row of params.yaml rehearses on this computer."
            raise UserError(
                f"{name} is the real site, with your account: ask for it by --live, or, of evaluate, transfer and dvc,"
                f" by {LIVE_VARIABLE}=1 in the environment.{rehearsal * (row.adapter in sandbox.names())}"
            )
        if live:
            refuse_sandbox(name, platform)
        yield platform, stack.enter_context(open_account(platform, LIVE_STATE / "local" / name))


def is_asked_for(live: bool) -> bool:
    """Tell whether the real site has been asked for, by --live or in the environment."""
    return live or os.environ.get(LIVE_VARIABLE) == "1"


def open_account(platform: Platform, storage: Path) -> AbstractContextManager[Session]:
    """Open an account on a platform: a site's in a browser, signed in; `storage` is for what has no site to keep it."""
    if isinstance(platform, Site):
        return open_session(platform)
    assert isinstance(platform, LocalPlatform)
    return platform.session(storage)


def refuse_sandbox(name: str, platform: Platform) -> None:
    """Raise UserError where the real site is asked for, and the platform is on this computer."""
    if isinstance(platform, Site) and not platform.is_live:
        raise UserError(
            f"{name} is not the real site. Leave --live out, or set `site: live` in its row of params.yaml and give no"
            " address on this computer."
        )


def announce(name: str, site: Site, account: str, count: int) -> None:
    """Say what is about to happen on a real site, and leave time to stop it; `name`: of its row in params.yaml."""
    minutes = max(count / site.per_minute, (count / site.per_day - BURST_SHARE) * MINUTES_PER_DAY)
    said = (
        f"{name}, the real site: {count} files go up to the account {account}, {site.audience},"
        f" about {site.per_minute:g} a minute and at most {site.per_day} a day: {_describe_duration(minutes)} or more."
        f" `comreadv collect --platform {name} --live --cleanup` deletes them again. Ctrl-C stops; going on in"
        f" {NOTICE_S:g} seconds."
    )
    logger.warning(said)  # seen also where nobody has asked for log lines
    time.sleep(NOTICE_S)


def _describe_duration(minutes: float) -> str:
    if minutes < 90:
        return f"{max(1, round(minutes))} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} days"
