"""The commands that fit ComModels and keep them fresh, one file each."""
