"""Statistics on small aggregated numbers: pure functions, no engine, no files."""
