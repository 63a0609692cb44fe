"""What the steps of a chain share: their arguments, sizes, pixels, matrices, and the libraries that only some need."""
