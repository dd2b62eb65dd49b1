"""What `.ci/kubernetes` is made of: processes, requests, storage, images, and what ends with a cluster."""

import ctypes
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import urllib.request

IMAGE = os.environ.get("AGENT_KERNEL_IMAGE") or "agent-kernel/toolbox:1"
TEST_IMAGE = "agent-kernel.test/toolbox:1"
PAUSE_IMAGE = "agent-kernel.test/pause:1"
PLACES = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
"""Where containerd, kubelet and ip write to, whatever they are told."""
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "agent-kernel/tests")
BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kubernetes-programs")
with open(BUILD, "rb") as script:  # programs that another version of it has built are not these
    PROGRAMS = os.path.join(CACHE, "kubernetes-" + hashlib.sha256(script.read()).hexdigest()[:16])
PORT = 16443
ENVIRONMENT = {**os.environ, "DISABLE_HTTP2": "1"}
"""With HTTP/2 a kubelet may wait minutes on a connection to an API server that was killed."""
TOKEN = "test-admin"  # of a cluster that nothing but this machine reaches


class Processes:
    """What was started, in order, each with its log."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, name, *argv, netns=None):
        log = open(os.path.join(self.folder, f"{name}.log"), "w")
        argv = ["nsenter", f"--net=/run/netns/{netns}", *argv] if netns else list(argv)
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, env=ENVIRONMENT)
        self.started.append((name, process))
        return process

    def check(self):
        for name, process in self.started:
            if process.poll() is not None:
                with open(os.path.join(self.folder, f"{name}.log")) as log:
                    sys.stderr.writelines(log.readlines()[-20:])
                sys.exit(
                    f".ci/kubernetes: {name} has ended with {process.returncode}; its last lines are above."
                )

    def stop(self):
        while self.started:
            self.stop_last()

    def stop_last(self):
        _, process = self.started.pop()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Kept(threading.Thread):
    """A process that is started again when it ends: tests kill it. Its pid is in a file."""

    def __init__(self, folder, name, argv):
        super().__init__(daemon=True)
        self.log = open(os.path.join(folder, f"{name}.log"), "w")
        self.pid = os.path.join(folder, f"{name}.pid")
        self.argv = argv
        self.ending = threading.Event()
        self.process = None

    def run(self):
        while not self.ending.is_set():
            self.process = subprocess.Popen(
                self.argv, stdout=self.log, stderr=self.log, start_new_session=True
            )
            with open(self.pid, "w") as file:
                file.write(str(self.process.pid))
            self.process.wait()
            self.ending.wait(0.5)

    def stop(self):
        self.ending.set()
        if self.process is not None:
            self.process.kill()
        self.join()


def say(words):
    """Tell how far the start has come."""
    print(f".ci/kubernetes: {words}", file=sys.stderr, flush=True)


def run(*argv, check=True, **more):
    return subprocess.run(argv, check=check, stdout=subprocess.DEVNULL, **more)


def run_for_output(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Api:
    """A few requests to the API server."""

    def __init__(self):
        self.trust = ssl._create_unverified_context()

    def __call__(self, method, path, body=None):
        request = urllib.request.Request(
            f"https://127.0.0.1:{PORT}{path}",
            method=method,
            data=body,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self.trust, timeout=10) as response:
            return json.loads(response.read())


class Storage(threading.Thread):
    """Gives each claim of the default class a folder, and removes it with the claim."""

    def __init__(self, folder, api):
        super().__init__(daemon=True)
        self.folder = folder
        self.api = api
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(0.1):
            try:
                self.look()
            except OSError:  # the API server is restarted by a test
                continue

    def look(self):
        for claim in self.api("GET", "/api/v1/persistentvolumeclaims")["items"]:
            name = "pv-" + claim["metadata"]["uid"]
            if claim["status"].get("phase") != "Pending" or claim["spec"].get("storageClassName"):
                continue
            place = os.path.join(self.folder, name)
            if not os.path.exists(place):
                os.makedirs(place)
                os.chmod(place, 0o777)
                self.api("POST", "/api/v1/persistentvolumes", json.dumps(volume(name, place, claim)).encode())
        for found in self.api("GET", "/api/v1/persistentvolumes")["items"]:
            if found["status"].get("phase") in ("Released", "Failed"):
                self.api("DELETE", f"/api/v1/persistentvolumes/{found['metadata']['name']}")
                shutil.rmtree(os.path.join(self.folder, found["metadata"]["name"]), ignore_errors=True)


def volume(name, place, claim):
    """Return a PersistentVolume for a claim, which is bound to it from the beginning."""
    meta, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "hostPath": {"path": place},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: meta[key] for key in ("namespace", "name", "uid")},
            },
        },
    }


def kubeconfig(path, token, server):
    with open(path, "w") as file:
        json.dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [
                    {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}
                ],
                "clusters": [
                    {"name": "test", "cluster": {"server": server, "insecure-skip-tls-verify": True}}
                ],
                "users": [{"name": "test", "user": {"token": token}}],
            },
            file,
        )
    return path


def save_images(path):
    """Save the images of the sandboxes and of pods' first processes, under the names of the tests."""
    pause = io.BytesIO()
    with tarfile.open(fileobj=pause, mode="w") as tar:
        tar.add(os.path.join(PROGRAMS, "pause"), "pause")
    run("docker", "import", "--change", 'ENTRYPOINT ["/pause"]', "-", PAUSE_IMAGE, input=pause.getvalue())
    run("docker", "tag", IMAGE, TEST_IMAGE)
    try:
        run("docker", "save", "--output", path, TEST_IMAGE, PAUSE_IMAGE)
    finally:
        run("docker", "rmi", TEST_IMAGE, PAUSE_IMAGE)


def own_mounts():
    """Give this process a mount namespace. What programs write to fixed places ends with it."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x00020000):  # CLONE_NEWNS
        sys.exit(f".ci/kubernetes: no mount namespace: {os.strerror(ctypes.get_errno())}")
    run("mount", "--make-rslave", "/")  # a container that Docker removes is not held by us
    run("mount", "--make-rshared", "/")
    for place in PLACES:
        os.makedirs(place, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)


def remove_groups():
    """Remove the control groups that containerd leaves. Those of living containers refuse."""
    for group in sorted(glob.glob("/sys/fs/cgroup/**/k8s.io/**/", recursive=True), reverse=True):
        try:
            os.rmdir(group)
        except OSError:
            continue


def end_shims(folder):
    """End the containers' shims, which outlive containerd on purpose."""
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (OSError, ValueError):
            continue
        if b"containerd-shim" in words[0] and any(word.startswith(folder.encode()) for word in words):
            children = subprocess.run(["pgrep", "-P", name], capture_output=True, text=True).stdout.split()
            for pid in [*children, name]:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
