"""The fate of adversarial images after a fresh round trip."""
