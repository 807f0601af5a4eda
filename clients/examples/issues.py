#!/usr/bin/env python3
"""A plugin that needs a token: shows the link once, waits for the click, and has it. docs/CLIENTS.md says how to run it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from toolshed import AuthorizationRequired, Declined, Toolshed  # noqa: E402


def main() -> None:
    ctx = Toolshed().person(os.environ["TOOLSHED_USER"])
    try:
        token = ctx.auth.get_token("demo", scopes=["repo"], reason="List your open issues", tool="issues.py")
    except AuthorizationRequired as needed:
        print(f"Open {needed.url}", f"and compare the code: {needed.match_code}", sep="\n", flush=True)
        try:
            token = needed.when_authorized()
        except Declined:
            print("You said no; nothing was done.")
            sys.exit(1)
    print(f"Got a token for {token.account}, good for: {', '.join(token.scopes)}")


if __name__ == "__main__":
    main()
