"""A test that is registered before it is read: what was promised, and what may be said when."""
