"""Every upload attempt, written down before it is made; leases, rate limits and migrations."""

from collect.ledger.ledger import Ledger
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import register_worker

__all__ = ["Ledger", "open_ledger", "register_worker"]
