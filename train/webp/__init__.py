"""WebP as libwebp writes it and as any decoder reads it, step by step; train/webp/vp8.py puts the steps together."""
