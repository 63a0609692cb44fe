"""Images up to a platform and down again, exactly once each, and the export of them."""
