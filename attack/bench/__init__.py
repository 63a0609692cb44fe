"""Attacks side by side on a real codec, the peers' own code among them."""
