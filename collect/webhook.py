"""Tell somebody's webhook what happened."""

from __future__ import annotations

import logging

import requests

logger = logging.getLogger(__name__)
TIMEOUT_S = 20


def post(address: str, content: object) -> None:
    """Post JSON to an address; one that can't be reached is said, and is no error."""
    try:
        requests.post(address, json=content, timeout=TIMEOUT_S).raise_for_status()
    except requests.RequestException as error:  # whose own text holds the address, which may be a secret
        logger.warning("The webhook could not be told (%s).", type(error).__name__)
