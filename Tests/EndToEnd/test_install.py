"""make install puts things where Debian has them and leaves an operator's files alone."""

import os
import stat
import subprocess

from harness.instance import BINARY, ROOT


def install(destination, version=ROOT) -> str:
    environment = os.environ | {"DESTDIR": str(destination), "TOOLSHEDD": str(BINARY)}
    return subprocess.run(["make", "-C", version, "install"], env=environment, check=True, capture_output=True, text=True).stdout


def test_install(tmp_path):
    said = install(tmp_path)
    assert "systemctl enable" in said, "nothing is enabled; the reader is told how"
    for path in ("usr/sbin/toolshedd", "usr/sbin/toolshedctl", "usr/lib/systemd/system/toolshedd.service",
                 "usr/lib/systemd/system/toolshedd.socket", "usr/lib/sysusers.d/toolshed.conf",
                 "etc/nginx/sites-available/toolshed.conf", "etc/nginx/toolshed/host.conf",
                 "usr/share/toolshed/site/connect.html", "usr/share/toolshed/metadata/.well-known/oauth-authorization-server",
                 "usr/share/toolshed/metadata/.well-known/oauth-protected-resource/mcp",
                 "usr/share/toolshed/metadata/api/openapi.json", "usr/share/toolshed/make-metadata", "usr/share/doc/toolshed/README.md",
                 "usr/bin/toolshed", "usr/share/man/man1/toolshed.1", "usr/share/bash-completion/completions/toolshed"):
        assert (tmp_path / path).is_file(), path
    assert not (tmp_path / "etc/nginx/sites-enabled").exists()
    assert stat.S_IMODE((tmp_path / "etc/toolshed/credentials").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "etc/toolshed/environment").stat().st_mode) == 0o600
    assert not (tmp_path / "usr/sbin/toolshedd").stat().st_mode & 0o022

    again = install(tmp_path)
    assert "stays;" not in again and not list(tmp_path.rglob("*.new")), "what nobody changed is replaced without a word"


def test_what_a_host_changed_stays_and_a_new_version_comes_beside_it(tmp_path):
    """Twice installed, with changes on either side in between, as dpkg does it with its conffiles."""
    version, destination = tmp_path / "version", tmp_path / "host"
    version.mkdir()
    for name in ("Makefile", "README.md", "docs", "nginx", "scripts", "systemd"):
        subprocess.run(["cp", "-R", ROOT / name, version], check=True)
    install(destination, version)
    etc = destination / "etc"
    zones, host, site, environment, once = (
        etc / "nginx/toolshed/zones.conf", etc / "nginx/toolshed/host.conf", etc / "nginx/sites-available/toolshed.conf",
        etc / "toolshed/environment", etc / "nginx/toolshed/once.conf")
    shipped = zones.read_text()
    for file in (zones, host, environment):
        file.write_text("# mine\n" + file.read_text())
    mine = {file: file.read_text() for file in (zones, host, environment)}

    # The same version again: nothing is new, so there is nothing to say.
    assert "stays;" not in install(destination, version) and not list(destination.rglob("*.new"))
    assert {file: file.read_text() for file in mine} == mine

    # A further version changes a file that the host changed, one that it did not, and brings one.
    for name in ("toolshed/zones.conf", "toolshed/once.conf", "toolshed.conf"):
        with (version / "nginx" / name).open("a") as file:
            file.write("# of the next version\n")
    (version / "nginx/toolshed/further.conf").write_text("# brought\n")
    said = install(destination, version)
    assert {file: file.read_text() for file in mine} == mine
    beside = zones.with_name("zones.conf.new")
    assert beside.read_text() == shipped + "# of the next version\n"
    assert [line for line in said.splitlines() if "stays;" in line] == [
        "/etc/nginx/toolshed/zones.conf was changed here and stays; this version's is /etc/nginx/toolshed/zones.conf.new: "
        "take over what is new in it, and remove it."]
    assert list(destination.rglob("*.new")) == [beside]
    assert once.read_text().endswith("# of the next version\n") and site.read_text().endswith("# of the next version\n")
    assert (etc / "nginx/toolshed/further.conf").read_text() == "# brought\n"

    # Once it was taken over, it is the version's file again.
    zones.write_text(beside.read_text())
    install(destination, version)
    assert not beside.exists()
    with (version / "nginx/toolshed/zones.conf").open("a") as file:
        file.write("# and of the one after\n")
    assert "stays;" not in install(destination, version)
    assert zones.read_text().endswith("# and of the one after\n")
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
