"""The Helm chart, rendered by Helm's own library: no cluster."""
