"""Values that turn on all that there is, in two ways that exclude each other."""

from typing import Any

ROUTES = [
    {"kind": "VirtualService", "namespace": "shop", "name": "ranker"},
    {"kind": "HTTPRoute", "namespace": "shop", "name": "search"},
    {"kind": "VirtualService", "name": "model"},
]
MONITORS: dict[str, Any] = {
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Canario"}},
}
PLACED: dict[str, Any] = {
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "podAnnotations": {"example.com/owner": "ml"},
    "podLabels": {"sidecar.istio.io/inject": "true"},
    "serviceAccountAnnotations": {"example.com/role": "none"},
}
EVERYTHING: dict[str, Any] = {
    **MONITORS,
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "ml"},
    "service": {
        **PLACED,
        "autoscaling": {"enabled": True},
        "models": {"volume": {"persistentVolumeClaim": {"claimName": "models"}}},
        "extraContainers": [{"name": "shipper", "image": "shipper:1.0.0"}],
    },
    "rollback": {**PLACED, "decisionsVolume": {"persistentVolumeClaim": {"claimName": "decisions"}}},
    "rollout": {**PLACED, "promote": True, "secret": {"keys": ["unleash.token", "admin-token"]}},
    "board": {**PLACED, "ingress": {"enabled": True, "host": "board.example.com", "tlsSecret": "tls"}},
    "mesh": {**PLACED, "enabled": True, "routes": ROUTES},
    "provision": PLACED,
    "networkPolicy": {
        "enabled": True,
        "serviceFrom": [{"namespaceSelector": {"matchLabels": {"name": "gateway"}}}],
        "scrapeFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
}
TRIAL: dict[str, Any] = {
    "unleash": {"url": "", "install": True},
    "prometheus": {"url": "", "install": True},
    "provision": {"mode": "bootstrap"},
    **{part: {"secret": {"existing": ""}} for part in ("service", "rollback", "rollout", "board", "mesh")},
}
TRIAL["provision"]["secret"] = {"existing": ""}
EVERYTHING_ELSE: dict[str, Any] = {
    **TRIAL,
    "unleash": {"url": "", "install": True, "storage": "1Gi"},
    "mesh": {"enabled": True, "routes": ROUTES, "secret": {"existing": ""}},
    "service": {"arms": "separate", "secret": {"existing": ""}},
    "networkPolicy": {"enabled": True},
    "rollouts": {
        "files": {"checkout/rollout.yaml": "name: checkout\n", "checkout/plan.yaml": "stages: []\n"}
    },
}
