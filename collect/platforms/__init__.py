"""The platforms, one file a site."""
