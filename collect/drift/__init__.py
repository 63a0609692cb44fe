"""Probe a platform, and tell a change of its codec from chance."""
