"""The models that are served: verified, loaded, exchanged, reported."""
