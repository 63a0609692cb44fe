"""The command `login`."""

from __future__ import annotations

from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, OriginOption, ParamsOption, PlatformOption
from params import UserError


def login(
    platform: PlatformOption,
    minutes: Annotated[float, typer.Option(min=0.1, help="Wait so long for the sign-in.")] = 5.0,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell whether the stored sign-in still holds; exit 1 if not.")
    ] = False,
    origin: OriginOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Open a visible browser for you to sign in to a platform, and keep the sign-in for `site: live`.

    With --origin it is a rehearsal: the sign-in to the site at that address is kept apart from the real one.
    """
    from playwright.sync_api import sync_playwright

    from collect.browser import login as sign_in
    from collect.browser import storage_state
    from collect.browser.launch import launch_browser
    from collect.platform import Site, load_platform

    adapter = load_platform(platform, params.load(params_file).platform(platform), origin=origin)
    if not isinstance(adapter, Site) or not (adapter.is_live or adapter.origin):
        raise UserError(f"{platform} needs no sign-in: only the live site does (`site: live` in params.yaml).")
    storage_state.stored_state(adapter) if check else storage_state.state_folder()  # before a browser starts
    with sync_playwright() as playwright:
        quiet = launch_browser(playwright, adapter)
        if check:
            typer.echo(sign_in.check_sign_in(adapter, quiet))
            return
        window = launch_browser(playwright, adapter, visible=True).new_context()
        account = sign_in.sign_in_by_hand(
            adapter, window, lambda state: sign_in.read_account(adapter, quiet, state), minutes=minutes
        )
    typer.echo(
        f"Signed in to {platform} as {account}; kept in {storage_state.state_file(adapter)}, readable by you alone."
    )
