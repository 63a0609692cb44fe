"""A person's photo of any size: protect it, and tell what will come of it."""
