"""Photos in, prepared images out: ILSVRC, any folder, or the sample inside installed packages."""
