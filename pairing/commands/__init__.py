"""The commands that pair, one file each."""
