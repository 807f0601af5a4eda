#!/usr/bin/env python3
"""A stand-in for OAuth providers on 127.0.0.1: GitHub, Google, Slack, Linear, a generic one, one with API keys, and the demo of `make up`.

Prints one JSON line {"port": …, "families": […]} when it is ready. Every family lives below its name; README.md beside
this file describes the control endpoints.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import ssl
import time

from control import Control, not_found
from faults import BEFORE, Faults
from generic import Demo, Generic
from github import GitHub
from google import Google
from keyed import Keyed
from linear import Linear
from messages import Request, Response, Server
from slack import Slack
from world import Clock

FAMILIES = {"github": GitHub, "google": Google, "slack": Slack, "linear": Linear, "generic": Generic, "demo": Demo,
            "keyed": Keyed}
MOST_RECORDS = 100_000


class Double:
    def __init__(self, names: list[str], redirect_uris: list[str], control: bool, state_file: str | None):
        self.names, self.redirect_uris, self.state_file = names, redirect_uris, state_file
        self.origin = ""
        self.control = Control(self) if control else None
        self.recorded = asyncio.Condition()
        self.faults = Faults()
        self.start_over()

    def start_over(self) -> None:
        self.faults.clear()
        self.clock = Clock()
        self.records: list[dict] = []
        self.complaints: list[dict] = []
        self.sequence = 0
        self.families = {name: FAMILIES[name](name, self.origin, self.clock, self.complain) for name in self.names}
        for family in self.families.values():
            family.settings["redirect_uris"] = list(self.redirect_uris)

    def complain(self, family: str, endpoint: str, rule: str) -> None:
        self.complaints.append({"family": family, "endpoint": endpoint, "rule": rule, "seq": self.sequence})

    async def respond(self, request: Request) -> Response:
        if self.control and request.path.startswith("/control/"):
            return await self.control.answer(request)
        name, endpoint, handler = self.route(request)
        if not self.control:
            response = handler(request)
            if request.method == "POST":
                self.save()
            return response
        entry = await self.record(request, name, endpoint)
        fault = self.faults.take(name, endpoint)
        entry["fault"] = fault.kind if fault else None
        response = await self.faulty(fault, handler, request) if fault else handler(request)
        entry["status"] = None if response.delivery == "drop" else response.status
        return response

    async def faulty(self, fault, handler, request: Request) -> Response:
        if fault.pauses and fault.when == BEFORE:
            await fault.pause()
            return handler(request)
        response = None if fault.when == BEFORE else handler(request)
        if fault.pauses:
            await fault.pause()
            return response
        return fault.applied(response, self.clock.now())

    def route(self, request: Request):
        """The family, the endpoint's name, and what answers."""
        first, _, rest = request.path.removeprefix("/").partition("/")
        if first == ".well-known":  # RFC 8414 section 3.1: the issuer's path comes last
            kind, _, first = rest.partition("/")
            rest = f".well-known/{kind}"
        family = self.families.get(first)
        routes = family.all_routes() if family else {}
        endpoint, handler = routes.get((request.method, f"/{rest}")) or routes.get(("*", f"/{rest}")) or (
            "unknown", lambda _: not_found(request.path))
        if endpoint == "token":
            fields = request.fields
            endpoint = "refresh" if fields.get("grant_type") == "refresh_token" else "exchange"
        return (first if family else "unknown"), endpoint, handler

    async def record(self, request: Request, family: str, endpoint: str) -> dict:
        self.sequence += 1
        entry = {"seq": self.sequence, "at": time.time(), "family": family, "endpoint": endpoint,
                 "method": request.method, "path": request.path, "query": request.query_pairs, "headers": request.headers,
                 "form": request.form_pairs, "json": request.json if request.media_type == "application/json" else None,
                 "body": request.body[:65536].decode("utf-8", "replace"), "connection": request.connection}
        cookie = request.header("cookie") or ""
        if "toolshed" in cookie or "__Host-" in cookie:
            self.complain(family, endpoint, "a cookie of the service reached the provider")
        async with self.recorded:
            self.records.append(entry)
            del self.records[:-MOST_RECORDS]
            self.recorded.notify_all()
        return entry

    def save(self) -> None:
        """Keeps the tokens for the next start, so that what was connected to the demo stays connected."""
        if not self.state_file:
            return
        beside = f"{self.state_file}.new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump({name: family.tokens.saved() for name, family in self.families.items()}, out)
        os.replace(beside, self.state_file)

    def restore(self) -> None:
        if self.state_file and os.path.exists(self.state_file):
            with open(self.state_file) as saved:
                for name, tokens in json.load(saved).items():
                    if name in self.families:
                        self.families[name].tokens.restore(tokens)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="repeat for several; default all")
    parser.add_argument("--demo", action="store_true", help="only the demo provider, without control endpoints")
    parser.add_argument("--state", metavar="FILE", help="keep the demo's tokens in FILE")
    parser.add_argument("--redirect-uri", action="append", default=[], help="register it; without any, all are good")
    parser.add_argument("--cert", help="serve https with this certificate (PEM) …")
    parser.add_argument("--key", help="… and its key")
    parser.add_argument("--until-eof", action="store_true", help="leave when standard input ends, as with its parent")
    options = parser.parse_args()
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
    names = ["demo"] if options.demo else options.family or list(FAMILIES)
    double = Double(names, options.redirect_uri, not options.demo, options.state if options.demo else None)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection each for hundreds of parallel requests
    listener = await Server(double.respond).listen("127.0.0.1", options.port, tls)
    port = listener.sockets[0].getsockname()[1]
    double.origin = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    double.start_over()
    double.restore()
    print(json.dumps({"port": port, "families": names}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if options.until_eof:
        asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or stop.set())
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
