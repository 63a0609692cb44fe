"""Retrain where a codec changed, and keep the models before."""

from train.retraining import model_archive

__all__ = ["model_archive"]
