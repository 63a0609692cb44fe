"""ComModels side by side on a real codec."""
