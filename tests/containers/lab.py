"""Containers for tests: images from this working tree, and a host of their own, so that nothing of this one is touched.

podman runs inside a network namespace that the test makes: the bridge, every address and every packet filter rule
that comes with a network of podman's is in there, and goes when it goes. No registry is needed: where nothing else is
said, the base is a Debian made with debootstrap, once per machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from attrs import frozen

from harness import eventually

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
ASKED: Final = "MESH_LAB"
"""Set: these tests are wanted."""
REQUIRED: Final = "MESH_LAB_REQUIRED"
"""Set: what is missing is a failure."""
BASE: Final = "MESH_LAB_BASE"
"""An image to build on, in place of the one that is made here."""
STAND_IN: Final = "localhost/gossipmesh-lab-base:bookworm"
DAEMON: Final = "localhost/gossipmesh:latest"
APP: Final = "localhost/gossipmesh-example-app:latest"
TOGETHER: Final = "localhost/gossipmesh-example-together:latest"
NAMESPACE: Final = "gm-containers"
VOLUMES: Final = "gm-containers-"
"""How the names of podman's volumes begin that are made here."""
LABEL: Final = "gossipmesh-lab=1"
REMOVALS: Final = 5
COMMAND_S: Final = 60.0
BUILD_S: Final = 600.0
NOISE: Final = ("healthcheck", "cgroup", "syslog", "pids limit")
"""What podman complains of on a machine without systemd; none of it matters here."""
CONFIGURATION: Final = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
runtime = "runc"
"""

FIGURES: Final[dict[str, object]] = {}
"""What was measured, by name."""


def busy() -> bool:
    """Tell whether this machine has more to do than its cores can: what it takes says little about us then."""
    return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)


def what_is_missing() -> str | None:
    """Say what keeps this machine from running containers; None: nothing."""
    if os.geteuid() != 0:
        return "it takes root, to make a network namespace"
    needed = ["podman", "runc", "catatonit", "ip", "nsenter", "iptables", "curl"]
    if not os.environ.get(BASE):
        needed.append("debootstrap")
    missing = [name for name in needed if shutil.which(name) is None]
    if not any(Path(each, "netavark").exists() for each in ("/usr/lib/podman", "/usr/libexec/podman")):
        missing.append("netavark")
    return f"{', '.join(missing)} is not installed" if missing else None


def run(
    *command: str, timeout_s: float = COMMAND_S, stdin: IO[bytes] | None = None, cwd: Path | None = None
) -> str:
    """Run a command that must succeed; give what it said on standard output, stripped."""
    done = subprocess.run(
        command,
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        cwd=cwd,
        env=_environment(),
    )
    text = done.stdout.decode("utf-8", "replace").strip()
    assert done.returncode == 0, (
        f"{' '.join(command)}: {done.returncode}\n{text[-2000:]}\n{_said(done.stderr)}"
    )
    return text


def _said(err: bytes) -> str:
    lines = err.decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not any(word in line for word in NOISE))[-4000:]


def _environment() -> dict[str, str]:
    return os.environ | {"CONTAINERS_CONF": str(_configuration())}


def _configuration() -> Path:
    path = Path(tempfile.gettempdir()) / f"gossipmesh-lab-{os.getuid()}.conf"
    if not path.exists() or path.read_text() != CONFIGURATION:
        path.write_text(CONFIGURATION)
    return path


# --- images ----------------------------------------------------------------------------------------------------------


@frozen
class Images:
    """That they are there is all that is to be known."""

    base: str


def build_images() -> Images:
    """Build the daemon's image and those of the examples."""
    base = os.environ.get(BASE) or _stand_in()
    _build(DAEMON, ROOT, base)
    _build(APP, EXAMPLES / "apps", base)
    _build(TOGETHER, EXAMPLES, DAEMON, "-f", str(EXAMPLES / "swarm" / "Dockerfile"))
    return Images(base)


def _build(tag: str, context: Path, base: str, *arguments: str) -> None:
    # Whatever authority this machine trusts when it installs packages, the build does, too.
    cafile = ssl.get_default_verify_paths().cafile
    trusted = ["--volume", f"{cafile}:/etc/ssl/certs/ca-certificates.crt:ro"] if cafile else []
    options = ["--isolation=chroot", "--format=docker", "--quiet", *trusted, "--build-arg", f"BASE={base}"]
    run("podman", "build", *options, "-t", tag, *arguments, str(context), timeout_s=BUILD_S)


def _stand_in() -> str:
    """Give a Debian with Python: made at the first time on a machine, found later."""
    if subprocess.run(["podman", "image", "exists", STAND_IN], check=False).returncode == 0:
        return STAND_IN
    packages = "python3,python3-venv,ca-certificates,curl"
    with tempfile.TemporaryDirectory(prefix="gm-base-") as directory:
        root = Path(directory) / "root"
        run(
            "debootstrap",
            "--variant=minbase",
            f"--include={packages}",
            "bookworm",
            str(root),
            timeout_s=BUILD_S,
        )
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            run("podman", "import", "--change", path, "-", STAND_IN, stdin=tar.stdout, timeout_s=BUILD_S)
        assert tar.returncode == 0
    return STAND_IN


def _name_server_runs() -> bool:
    """Tell whether podman's name server runs: in another namespace than ours it would not hear our containers ask."""
    try:
        pid = Path("/run/containers/networks/aardvark-dns/aardvark.pid").read_text().strip()
        return b"aardvark" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


# --- a host ----------------------------------------------------------------------------------------------------------


class Host:
    """A network namespace in which podman's networks and containers are; use it as a context manager.

    Args:
        home: a directory of the test's own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._kube: list[Path] = []
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        # There is one of it on a machine: podman has one name server for all of its networks.
        self._lock = (Path(tempfile.gettempdir()) / "gossipmesh-containers.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if Path("/run/netns", NAMESPACE).exists():
            self._remove()
        assert not _name_server_runs(), (
            "networks of podman's are in use here, and would share their name server"
        )
        run("ip", "netns", "add", NAMESPACE)
        run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._show_logs()  # pytest shows it where the test failed.
        for file in self._kube:
            with suppress(AssertionError, subprocess.TimeoutExpired):
                self.podman("play", "kube", "--down", str(file))
        self._remove()
        assert self._lock is not None
        self._lock.close()

    def _remove(self) -> None:
        """Take down all that was made here, also by a run that was broken off."""
        # podman 4.3 removes only some of those that depend on each other, and says that all went well.
        for _ in range(REMOVALS):
            names = self.podman("ps", "-a", "-q", "--filter", f"label={LABEL}").split()
            names += self.podman("ps", "-a", "-q", "--filter", f"network={NAMESPACE}").split()
            if not names:
                break
            self.podman("rm", "-f", "-t", "0", "--depend", *dict.fromkeys(names))
        pods = self.podman("pod", "ps", "-q", "--filter", f"network={NAMESPACE}").split()
        if pods:
            self.podman("pod", "rm", "-f", *pods)
        volumes = self.podman("volume", "ls", "-q").split()
        if ours := [name for name in volumes if name.startswith(VOLUMES)]:
            self.podman("volume", "rm", "-f", *ours)
        with suppress(AssertionError):
            self.podman("network", "rm", "-f", NAMESPACE)
        with suppress(AssertionError):
            run("ip", "netns", "del", NAMESPACE)

    def _show_logs(self) -> None:
        for name in self.podman("ps", "-a", "--format", "{{.Names}}").split():
            done = subprocess.run(
                ["podman", "logs", "--tail", "40", name], capture_output=True, text=True, check=False
            )
            events = [line for line in (done.stderr + done.stdout).splitlines() if '"request_id"' not in line]
            print(f"--- {name}", *events[-25:], sep="\n")

    def inside(self, *command: str, timeout_s: float = COMMAND_S) -> str:
        """Run a command in the namespace."""
        # `ip netns exec` would hide the control groups, which are mounted below /sys.
        return run("nsenter", f"--net=/run/netns/{NAMESPACE}", *command, timeout_s=timeout_s)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command in the namespace."""
        whole = ["nsenter", f"--net=/run/netns/{NAMESPACE}", *command]
        return subprocess.Popen(whole, text=True, env=_environment(), **options)

    def podman(self, *arguments: str, timeout_s: float = COMMAND_S) -> str:
        """Run podman in the namespace."""
        return self.inside("podman", *arguments, timeout_s=timeout_s)

    def network(self) -> None:
        """Make the one network; what is on it finds each other by name."""
        self.podman("network", "create", NAMESPACE)

    def container(self, name: str, image: str, *options: str, command: Iterable[str] = ()) -> None:
        """Start a container, hardened as in the examples."""
        hardened = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--no-healthcheck"]
        self.podman("run", "-d", "--name", name, "--label", LABEL, *hardened, *options, image, *command)

    def compose(self, file: Path, *arguments: str, timeout_s: float = 120.0) -> None:
        """Run podman-compose on a file."""
        program = str(Path(sys.executable).with_name("podman-compose"))
        extra = f"--no-healthcheck --label {LABEL}"
        self.inside(program, "-f", str(file), f"--podman-run-args={extra}", *arguments, timeout_s=timeout_s)

    def play(self, file: Path) -> None:
        """Play a file of Kubernetes."""
        self._kube.append(file)
        self.podman("play", "kube", "--network", NAMESPACE, str(file), timeout_s=120.0)

    def gossipmesh(self, container: str, *arguments: str) -> str:
        """Run a command of the daemon's in its container."""
        return self.podman("exec", container, "gossipmesh", *arguments)

    def address(self, container: str) -> str:
        """Give a container's address on its network."""
        (found,) = json.loads(self.podman("inspect", container))
        networks = found["NetworkSettings"]["Networks"].values()
        return next(str(each["IPAddress"]) for each in networks)

    def ask(self, url: str) -> str:
        """GET with curl; empty where nobody answers, or not with 200."""
        with suppress(AssertionError):
            return self.inside("curl", "-sS", "--fail", "--max-time", "5", url)
        return ""

    def answers(self, url: str, *wanted: str) -> None:
        """Ask until each of ``wanted`` has answered."""
        seen: set[str] = set()

        def all_seen() -> bool:
            seen.add(self.ask(url))
            return seen >= set(wanted)

        eventually(all_seen, within_s=90.0)
