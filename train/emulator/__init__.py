"""The emulator: the chain of real encoders that best reproduces a platform."""
