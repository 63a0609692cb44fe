"""The attacks, one file each, on the one loop of base.py."""
