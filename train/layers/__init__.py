"""The steps of a codec chain as differentiable layers."""
