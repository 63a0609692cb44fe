"""Adversarial images made through a ComModel, and their fate after a fresh round trip."""
