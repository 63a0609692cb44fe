"""One ComModel a platform: a differentiable model of its processing, fitted to pairs."""
