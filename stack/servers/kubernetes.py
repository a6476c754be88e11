"""A real Kubernetes API for tests: etcd, and kube-apiserver built once from Debian's source package.

Debian 12 has the sources of Kubernetes 1.20 with all that they need, and the Go to build them: nothing else
is downloaded. It takes a quarter of an hour on one core, at the lowest priority.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stack.paths import Cache
from stack.progress import Progress
from stack.shell import MachineLacks, StackError, run

STEPS: Final = 3
VERSION: Final = "v1.20.2"
_GO: Final = ("golang-1.19-go", "golang-1.19-src")
# A library in the sources walks maps as Go 1.17 did it, and under Go 1.19 that overwrites memory.
_WALKS_MAPS: Final = "vendor/github.com/modern-go/reflect2/unsafe_link.go"
_AS_GO_117: Final = """\
//go:noescape
//go:linkname mapiterinit reflect.mapiterinit
func mapiterinit(rtype unsafe.Pointer, m unsafe.Pointer) *hiter
"""
_AS_GO_119: Final = """\
//go:noinline
func mapiterinit(rtype unsafe.Pointer, m unsafe.Pointer) *hiter {
	it := new(whole)
	mapiterinitGo118(rtype, m, unsafe.Pointer(it))
	return (*hiter)(unsafe.Pointer(it))
}

//go:noescape
//go:linkname mapiterinitGo118 reflect.mapiterinit
func mapiterinitGo118(rtype, m, it unsafe.Pointer)

type whole struct {
	key, elem, t, h, buckets, bptr, overflow, oldoverflow unsafe.Pointer
	startBucket                                           uintptr
	offset                                                uint8
	wrapped                                               bool
	b, i                                                  uint8
	bucket, checkBucket                                   uintptr
	clearSeq                                              uint64
}
"""
_WHAT: Final = "the Kubernetes API server could not be brought"
_HINT: Final = "apt must reach a Debian mirror. Run the same command again."
_SOURCES: Final = """\
deb http://deb.debian.org/debian bookworm main
deb-src http://deb.debian.org/debian bookworm main
"""
_APT: Final = """\
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "-";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "";
Acquire::Languages "none";
"""
# Its Makefile copies each program by `rsync -pc FROM TO`, and uses rsync for nothing else.
_RSYNC: Final = '#!/bin/sh\nshift\nexec cp -p "$@"\n'
_SAY_EVERY_SECONDS: Final = 60.0


def api_server(cache: Cache) -> Path:
    """The program."""
    return cache.kubernetes / "kube-apiserver"


def etcd(cache: Cache) -> Path:
    """The program that it keeps its objects in."""
    return cache.kubernetes / "usr" / "bin" / "etcd"


def ensure_kubernetes(cache: Cache, progress: Progress) -> None:
    """Download and build both unless they are there.

    Raises:
        MachineLacks: what unpacks or builds is missing.
        StackError: apt or the build failed.
    """
    if api_server(cache).is_file() and etcd(cache).is_file():
        with progress.step("Kubernetes API server") as step:
            step.remark = "there already"
        return
    for command, package in (("dpkg-source", "dpkg-dev"), ("make", "make"), ("gcc", "gcc")):
        if shutil.which(command) is None:
            raise MachineLacks(f"building Kubernetes needs {command}: `sudo apt-get install {package}`")
    with cache.installing(), cache.replacing(cache.kubernetes) as root:
        work = root.parent
        with progress.step("Sources of Kubernetes, Go and etcd from Debian 12"):
            packages = _download(work / "apt", cache)
        with progress.step("Unpacked"):
            tree = _unpacked(work, root, packages, cache)
        with progress.step("kube-apiserver built (15 minutes on one core)"), _telling(tree, progress):
            _build(work, tree, cache)
            shutil.copy2(tree / "_output" / "bin" / "kube-apiserver", root)


def _download(folder: Path, cache: Cache) -> Path:
    """A folder with the packages."""
    for part in ("state/lists/partial", "cache/archives/partial", "packages"):
        (folder / part).mkdir(parents=True)
    (folder / "sources.list").write_text(_SOURCES, encoding="utf-8")
    (folder / "apt.conf").write_text(_APT.format(folder=folder), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "source", "--download-only", "kubernetes"],
        ["apt-get", "download", *_GO, "etcd-server"],
    ):
        run(
            command,
            cache.logs / f"kubernetes-apt-{command[1]}.log",
            what=_WHAT,
            hint=_HINT,
            environment=environment,
            directory=folder / "packages",
        )
    return folder / "packages"


def _unpacked(work: Path, root: Path, packages: Path, cache: Cache) -> Path:
    """The folder of the sources, as Go wants it: below GOPATH, by a link."""
    log = cache.logs / "kubernetes-unpack.log"
    for package in sorted(packages.glob("*.deb")):
        into = root if package.name.startswith("etcd") else work / "go"
        into.mkdir(exist_ok=True)
        run(["dpkg", "-x", str(package), str(into)], log, what=_WHAT)
    (source,) = packages.glob("kubernetes_*.dsc")
    tree = work / "kubernetes"
    run(["dpkg-source", "--no-check", "-x", str(source), str(tree)], log, what=_WHAT)
    walks = tree / _WALKS_MAPS
    text = walks.read_text(encoding="utf-8")
    if text.count(_AS_GO_117) != 1:
        raise StackError(f"{_WHAT}: {_WALKS_MAPS} in the sources is not the one that is known")
    walks.write_text(text.replace(_AS_GO_117, _AS_GO_119), encoding="utf-8")
    link = work / "go-path" / "src" / "k8s.io" / "kubernetes"
    link.parent.mkdir(parents=True)
    link.symlink_to(tree)
    return link


def _build(work: Path, tree: Path, cache: Cache) -> None:
    shim = work / "bin" / "rsync"
    shim.parent.mkdir()
    shim.write_text(_RSYNC, encoding="utf-8")
    shim.chmod(0o755)
    environment = {
        "GOPATH": str(work / "go-path"),
        "GOCACHE": str(tree / "_output/local/go/cache"),
        "HOME": str(work),
        "CGO_ENABLED": "0",
        "PATH": f"{shim.parent}:{work / 'go/usr/lib/go-1.19/bin'}:/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    if "GOMAXPROCS" in os.environ:
        environment["GOMAXPROCS"] = os.environ["GOMAXPROCS"]
    run(
        ["nice", "-n", "19", "make", "WHAT=cmd/kube-apiserver", f"KUBE_GIT_VERSION={VERSION}"],
        cache.logs / "kubernetes-build.log",
        what="kube-apiserver could not be built",
        environment=environment,
        directory=tree,
    )


@contextmanager
def _telling(tree: Path, progress: Progress) -> Iterator[None]:
    """A line a minute, with what grows."""
    ended, start = threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(_SAY_EVERY_SECONDS):
            sizes = (each.stat().st_size for each in (tree / "_output/local/go/cache").rglob("*-d"))
            minutes = (time.monotonic() - start) / 60
            progress.say(f"      {minutes:.0f} minutes, {sum(sizes) / 1e6:.0f} MB of packages compiled")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)
