"""Podman with a storage of its own, so that no image of the user's is replaced by a stand-in.

`ENGINE=docker` takes Docker instead, with its storage and the real base image. Both know these commands.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ENOUGH = 4096  # files and processes of a container


class Engine:
    """Runs commands of the engine. `folder` holds all that Podman keeps."""

    def __init__(self, folder: Path) -> None:
        self.name = os.environ.get("ENGINE", "podman")
        if shutil.which(self.name) is None:
            pytest.fail(f"{self.name} is not installed: `apt-get install podman runc`, or ENGINE=docker")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._environment = dict(os.environ)
        self._options: tuple[str, ...] = ()
        if self.name == "podman":
            config = folder / "containers.conf"
            config.write_text(_config(), encoding="utf-8")
            self._environment["CONTAINERS_CONF"] = str(config)
            # Podman keeps sockets below its run folder, whose path must be short.
            self._options = ("--root", str(folder / "storage"), "--runroot", "/run/canario-image-test")

    def run(
        self, *arguments: str, timeout: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `arguments`; fails the test with what was said where it does not end with 0."""
        done = subprocess.run(
            [self.name, *self._options, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self._environment,
            cwd=self._folder,  # `kube play` takes our command ./canario for a folder to build
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{self.name} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}"
            )
        return done

    def build(self, context: Path, tag: str, target: str, base: str) -> None:
        """Build an image on `base`, with the certificates of this machine where Podman can lend them."""
        lent: Sequence[str] = ()
        if self.name == "podman":
            lent = ("--format", "docker", "--volume", f"{HOST_CERTIFICATES}:{HOST_CERTIFICATES}:ro")
        wanted = ("--tag", tag, "--target", target, "--build-arg", f"PYTHON={base}")
        self.run("build", *lent, *wanted, str(context), timeout=1800)

    def megabytes(self, image: str) -> float:
        """The size of the image with all that it is based on."""
        (found,) = json.loads(self.run("image", "inspect", image).stdout)
        return float(found["Size"]) / 1e6

    def has(self, image: str) -> bool:
        """Whether the image is there."""
        return self.run("image", "inspect", image, check=False).returncode == 0

    def make_base(self, name: str, release: str) -> None:
        """A Debian `release` with its Python, as an image `name`: a stand-in where no registry is."""
        root = Path(f"/var/tmp/canario-{release}")  # not /tmp, which may not allow devices
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            pytest.fail(
                f"{name} is not there. `{self.name} pull {name}`, or as root, with debootstrap installed,"
                " this test makes one from Debian"
            )
        try:
            _run("debootstrap", "--variant=minbase", f"--include={packages}", release, str(root))
            (root / "usr/bin/python").symlink_to("python3")
            for leftovers in (root / "var/cache/apt", root / "var/lib/apt/lists"):
                shutil.rmtree(leftovers)
            archive = root.with_suffix(".tar")
            _run("tar", "--create", "--file", str(archive), "--directory", str(root), ".")
            self.run("import", str(archive), name, timeout=600)
            archive.unlink()
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode != 0:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )


def _config() -> str:
    """What Podman cannot find out: that limits may not be raised here, and that there is no systemd."""
    limits = [f"{name}={ENOUGH}:{ENOUGH}" for name in ("nofile", "nproc")]
    lines = ["[containers]", f"default_ulimits = {limits}", "[engine]"]
    if not Path("/run/systemd/system").is_dir():
        lines += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    if not Path("/sys/fs/cgroup/cgroup.controllers").is_file():
        lines.append('runtime = "runc"')  # crun, Podman's own choice, refuses cgroups of both versions
    return "\n".join(lines) + "\n"
