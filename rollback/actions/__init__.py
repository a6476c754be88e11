"""What the job does: turns the flag off, verifies the stop, renews the lease, blocks the version."""
