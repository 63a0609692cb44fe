"""Images up to a platform and down again, exactly once each, and the export of them."""

from collect.round_trip.connect import LIVE_VARIABLE
from collect.round_trip.manifest import Served, read_round_trips
from collect.round_trip.original import Original
from collect.round_trip.run import Outcome, round_trip

__all__ = ["LIVE_VARIABLE", "Original", "Outcome", "Served", "read_round_trips", "round_trip"]
