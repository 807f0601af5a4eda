"""HTTP that no client library would send."""

import socket
import ssl


def raw(instance, text: str | bytes) -> tuple[int, bytes]:
    """Bytes to nginx as they are; the status and everything that came back."""
    context = ssl.create_default_context(cafile=instance.ca)
    with socket.create_connection(("127.0.0.1", instance.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
    return (int(received.split()[1]) if received.startswith(b"HTTP/") else 0), received
