"""Power: how many users a test needs."""
