"""What Prometheus scrapes, records and alerts on, and how Grafana shows it."""
