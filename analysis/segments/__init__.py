"""Segments: whom the challenger serves better or worse."""
