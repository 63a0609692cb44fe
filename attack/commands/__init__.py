"""The commands that attack, evaluate, report and protect, one file each."""
