"""Every upload attempt, written down before it is made; leases, rate limits and migrations."""

from collect.ledger.ledger import Ledger

__all__ = ["Ledger"]
