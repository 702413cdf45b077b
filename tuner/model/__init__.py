"""What the tuner has learned: small, explicit, serialisable. Pure."""
