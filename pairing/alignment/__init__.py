"""Lay a rendition on its original: orientation, registration, canvas, watermark and mask."""
