"""The sandboxes, one file a site, with its script and style beside it."""
