"""The chart, installed on a real API server by Helm's own library.

Helm waits for hooks, and nothing runs them here: a thread stands in for the Job controller and says of each
Job of a hook that it is complete. What the hook does is tested where Unleash is real.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import helm_python

from deploy.render import CHART
from tests.kubernetes.real_api import Object, RealApi

NAME = "canario"


class Release:
    """One release in one namespace."""

    def __init__(self, api: RealApi, namespace: str) -> None:
        """Nothing is installed yet."""
        self.api, self.namespace = api, namespace
        self._config = helm_python.Config(kubeconfig_content=api.kubeconfig(namespace), namespace=namespace)

    def install(self, values: Mapping[str, Any]) -> Object:
        """As `helm install`."""
        with self._hooks():
            made: Object = self._config.install(str(CHART), NAME, dict(values), timeout=60)
            return made

    def upgrade(self, values: Mapping[str, Any]) -> Object:
        """As `helm upgrade`."""
        with self._hooks():
            made: Object = self._config.upgrade(str(CHART), NAME, dict(values), timeout=60)
            return made

    def uninstall(self) -> None:
        """As `helm uninstall`."""
        self._config.uninstall(NAME, timeout=60)

    def close(self) -> None:
        """Let go of the library's handle."""
        self._config.close()

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._complete, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=10)

    def _complete(self, ended: threading.Event) -> None:
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        while not ended.wait(0.3):
            for job in self.api.get(path)["items"]:
                annotations = job["metadata"].get("annotations") or {}
                if "helm.sh/hook" in annotations and not job["status"].get("succeeded"):
                    job["status"] = {
                        "succeeded": 1,
                        "conditions": [{"type": "Complete", "status": "True"}],
                    }
                    self.api.session.put(
                        f"{self.api.url}{path}/{job['metadata']['name']}/status", json=job, timeout=30
                    )
