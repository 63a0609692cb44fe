"""Probe a platform, and tell a change of its codec from chance."""

from collect.drift.detect import Drift, describe_drift, examine, record_drift
from collect.drift.probe import last_probe

__all__ = ["Drift", "describe_drift", "examine", "last_probe", "record_drift"]
