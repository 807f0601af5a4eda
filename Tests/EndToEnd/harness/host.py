"""A host that boots: systemd as PID 1 in namespaces of its own, over a throw-away copy of this machine's root folder. What
make install puts there runs under the units as they are. Needs root; `Unavailable` says why there is none."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import requests

from .instance import BINARY, ROOT, free_port
from .waiting import until

# Hardware, and what a host of tests does not need.
MASKED = """getty.target systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket systemd-udevd-control.socket
systemd-networkd.service systemd-resolved.service systemd-timesyncd.service systemd-logind.service networking.service
systemd-remount-fs.service systemd-modules-load.service systemd-sysctl.service systemd-random-seed.service dev-hugepages.mount
dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
proc-sys-fs-binfmt_misc.automount tmp.mount apt-daily.timer apt-daily-upgrade.timer systemd-tmpfiles-clean.timer""".split()

BOOT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$WORK/disk"
mkdir -p "$WORK"/disk/{new,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/disk/new,workdir=$WORK/disk/work" "$WORK/disk/root"
cd "$WORK/disk/root"
mkdir -p mnt/version mnt/binary mnt/share oldroot
mount --bind "$VERSION" mnt/version
mount --bind "$BINARY" mnt/binary
mount --bind "$WORK/share" mnt/share
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
for unit in $MASKED; do ln -sf /dev/null "etc/systemd/system/$unit"; done
echo 0123456789abcdef0123456789abcdef >etc/machine-id
pivot_root . oldroot
umount -l /oldroot
# systemd hands credentials over by a mount that it makes elsewhere.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target --log-target=journal </dev/null
"""


class Unavailable(Exception):
    pass


class Host:
    def __init__(self):
        if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
            raise Unavailable("systemd as PID 1 needs root, and systemd")
        self.work = Path(tempfile.mkdtemp(prefix="toolshed-host-"))
        for name in ("disk", "share"):
            (self.work / name).mkdir()
        self.port = free_port()
        self.origin = f"https://localhost:{self.port}"
        self.ca = str(self.work / "share/cert.pem")
        environment = os.environ | {"WORK": str(self.work), "VERSION": str(ROOT), "BINARY": str(BINARY.parent),
                                    "MASKED": " ".join(MASKED)}
        with (self.work / "boot.log").open("w") as said:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child", "bash", "-c", BOOT],
                env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            until(self._booted, "systemd to boot", 60)
        except AssertionError:
            said = (self.work / "boot.log").read_text().strip()
            self.end()
            raise Unavailable(f"systemd does not boot here: {said}") from None

    def _booted(self) -> bool:
        assert self.process.poll() is None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children or "systemd" not in Path(f"/proc/{children[0]}/comm").read_text():
            return False
        self.init = children[0]
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, *command: str, check: bool = True) -> str:
        """One command on the host: its output."""
        done = subprocess.run(["nsenter", "-t", self.init, "--mount", "--pid", "--uts", "--ipc", "--cgroup", *command],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def script(self, text: str) -> str:
        return self.run("bash", "-euc", text)

    # What Person and Plugin want of an instance

    def json(self, *arguments: str) -> dict:
        return json.loads(self.run("toolshedctl", *arguments, "--json"))

    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify, session.trust_env = self.ca, False
        return session

    def get(self, path: str, **more) -> requests.Response:
        with self.session() as session:
            return session.get(self.origin + path, timeout=30, **more)
