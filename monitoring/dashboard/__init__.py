"""The Grafana dashboard, as code: `python -m monitoring.dashboard` writes monitoring/grafana/dashboards/."""
