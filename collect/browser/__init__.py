"""A site in a real browser: launch, sign-in, navigation, responses, downloads and diagnostics."""

from collect.browser.session import BrowserSession, open_session

__all__ = ["BrowserSession", "open_session"]
