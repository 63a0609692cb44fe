"""The commands that prepare images, talk to platforms and look after them, one file each."""
