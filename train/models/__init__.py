"""The ComModels, and how they are kept."""
