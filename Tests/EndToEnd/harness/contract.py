"""docs/openapi.yaml as something to hold answers to."""

import copy
import re
from urllib.parse import urlsplit

import requests
import schemathesis
import yaml
from schemathesis.specs.openapi.checks import (content_type_conformance, response_headers_conformance,
                                               response_schema_conformance, status_code_conformance)

from .instance import ROOT

FILE = ROOT / "docs/openapi.yaml"
METHODS = ("get", "post", "put", "patch", "delete", "options", "head", "trace")
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]
DOCUMENT = yaml.safe_load(FILE.read_text())


def strict(document: dict) -> dict:
    """The same with no member beyond those that are written down. Callers must bear further ones; we must not have any
    that the document does not know."""
    document = copy.deepcopy(document)

    def close(node, is_base: bool = False) -> None:
        if isinstance(node, list):
            for each in node:
                close(each)
        elif isinstance(node, dict):
            if not is_base and isinstance(node.get("properties"), dict):
                node.setdefault("unevaluatedProperties" if "allOf" in node else "additionalProperties", False)
            for name, each in node.items():
                close(each, is_base=name == "ProblemMembers")

    close(document["components"]["schemas"])
    return document


class Contract:
    """Holds answers to the document, and remembers which of its answers were seen."""

    def __init__(self) -> None:
        self.schema = schemathesis.openapi.from_dict(strict(DOCUMENT))
        self.operations = {result.ok().label: result.ok() for result in self.schema.get_all_operations()}
        self._paths = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$"), path) for path in DOCUMENT["paths"]]
        self.seen: set[tuple[str, str]] = set()

    def hold(self, reply: requests.Response, *_, **__) -> None:
        """A hook for requests' sessions: an answer of a documented operation is as documented."""
        address, method = urlsplit(reply.request.url).path, reply.request.method
        found = [(match, path) for pattern, path in self._paths if (match := pattern.match(address))]
        for match, path in found[:1]:
            if method.lower() in DOCUMENT["paths"][path]:
                operation = self.operations[f"{method} {path}"]
                self.check(operation.Case(path_parameters=match.groupdict(), query={}, headers={}, cookies={}), reply)

    def check(self, case, reply) -> None:
        case.validate_response(reply, checks=CHECKS)
        self.seen.add((case.operation.label, str(reply.status_code)))

    def successes(self) -> set[tuple[str, str]]:
        """Every answer below 400 that the document promises."""
        return {(f"{method.upper()} {path}", status)
                for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS
                for status in item[method]["responses"] if status < "400"}
