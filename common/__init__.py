"""What every room shares: names of metrics, config files with line numbers, secrets, logs."""
