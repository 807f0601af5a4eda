"""The daemon as systemd starts it: a socket handed over, and a word when it is ready."""

import signal
import socket
import subprocess

from harness.waiting import until


def test_socket_activation_and_notification(fresh):
    instance = fresh(double=False).serve()
    path = instance.dir / "run/toolshedd.sock"
    notify = instance.dir / "run/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(notify))
        listener.settimeout(20)
        daemon = subprocess.Popen(["systemd-socket-activate", "-l", path, "-E", f"NOTIFY_SOCKET={notify}",
                                   instance.dir / "bin/toolshedd", "supervise"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=(instance.dir / "log/toolshedd.log").open("ab"))
        try:
            until(path.exists, "the socket")
            # The first connection starts it; nginx waits for the answer.
            assert instance.get("/healthz").status_code == 200
            assert b"READY=1" in listener.recv(4096)
            instance.await_ready()
            daemon.send_signal(signal.SIGHUP)
            said = b""
            while b"READY=1" not in said:
                said += listener.recv(4096)
            assert b"RELOADING=1" in said
            assert instance.get("/readyz").status_code == 200
            daemon.send_signal(signal.SIGTERM)
            assert b"STOPPING=1" in listener.recv(4096)
            assert daemon.wait(20) == 0
            assert path.exists(), "the socket is systemd's, not ours to remove"
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
