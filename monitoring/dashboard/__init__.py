"""The Grafana dashboard, as code: `./canario dashboard` writes monitoring/grafana/dashboards/."""
