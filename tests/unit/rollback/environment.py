"""The settings that the job cannot do without."""

ENVIRONMENT = {
    "CANARIO_UNLEASH_URL": "http://127.0.0.1:4242",
    "CANARIO_UNLEASH_ADMIN_TOKEN": "user:abc",
    "CANARIO_PROMETHEUS_URL": "http://reader:hunter2@prometheus.local:9090/prefix/",
}
