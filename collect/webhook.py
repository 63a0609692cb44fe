"""Tell somebody's webhook what happened."""

from __future__ import annotations

import requests
from rich.console import Console

TIMEOUT_S = 20  # seconds


def post(address: str, content: object) -> None:
    """Post JSON to an address; one that can't be reached is said, and is no error."""
    try:
        requests.post(address, json=content, timeout=TIMEOUT_S).raise_for_status()
    except requests.RequestException as error:  # whose own text holds the address, which may be a secret
        Console(stderr=True).print(f"The webhook could not be told ({type(error).__name__}).")
