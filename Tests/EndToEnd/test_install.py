"""make install puts things where Debian has them and leaves an operator's files alone."""

import os
import stat
import subprocess

from harness.instance import BINARY, ROOT


def install(destination) -> str:
    environment = os.environ | {"DESTDIR": str(destination), "TOOLSHEDD": str(BINARY)}
    return subprocess.run(["make", "-C", ROOT, "install"], env=environment, check=True, capture_output=True, text=True).stdout


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

    edited = [tmp_path / "etc/nginx/toolshed/host.conf", tmp_path / "etc/toolshed/environment"]
    for file in edited:
        file.write_text("# mine\n")
    install(tmp_path)
    assert [file.read_text() for file in edited] == ["# mine\n"] * 2
