"""Retrain where a codec changed, and keep the models before."""
