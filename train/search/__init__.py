"""The search for the chain of real encoders that best reproduces a platform; train/emulator.py starts it."""
