"""The emulator: the chain of real encoders that best reproduces a platform."""

from train.emulator.folders import matching_files
from train.emulator.identify import identify
from train.emulator.model import Emulator

__all__ = ["Emulator", "identify", "matching_files"]
