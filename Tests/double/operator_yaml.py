#!/usr/bin/env python3
"""The operator's file that points the service at a double: providers.d/doubles.yaml for a port (mode 0600: it holds secrets).

    python3 operator_yaml.py PORT > providers.d/doubles.yaml         the four, corp by discovery, keyed
    python3 operator_yaml.py PORT --demo > providers.d/demo.yaml     the demo provider
"""

import sys


def providers_yaml(port: int, families: tuple[str, ...] = ("github", "google", "slack", "linear", "corp", "keyed"),
                   scheme: str = "http") -> str:
    """The four built-in providers with the double's addresses, `corp`, which is found by discovery, and `keyed`, which has
    API keys."""
    at = f"{scheme}://127.0.0.1:{port}"
    head = "# Written by Tests/double/operator_yaml.py: every address is the provider double's.\nversion: 1\nowner: toolshed\nproviders:\n"
    return head + "".join(ENTRIES[name].replace("AT", at) for name in families)


def demo_yaml(port: int) -> str:
    """The demo provider of `make up`."""
    return "version: 1\nowner: toolshed\nproviders:\n" + ENTRIES["demo"].replace("AT", f"http://127.0.0.1:{port}")


ENTRIES = {
    "github": """\
  github:
    allow_loopback_http: true
    client: { id: github-client, secret: github-secret }
    api: { base: AT/github/api }
    endpoints:
      authorize: AT/github/login/oauth/authorize
      token: AT/github/login/oauth/access_token
      revoke: AT/github/api/applications/github-client/token
      revoke_grant: AT/github/api/applications/github-client/grant
      introspect: AT/github/api/applications/github-client/token
      manage_page: AT/github/settings/connections/applications/github-client
    identity:
      - { method: GET, url: "AT/github/api/user", headers: { Accept: application/vnd.github+json }, id: id, label: login }
""",
    "google": """\
  google:
    allow_loopback_http: true
    client: { id: google-client, secret: google-secret }
    api: { base: AT/google/api }
    endpoints:
      authorize: AT/google/o/oauth2/v2/auth
      token: AT/google/token
      revoke: AT/google/revoke
      introspect: AT/google/tokeninfo
      manage_page: AT/google/permissions
    identity:
      - { method: GET, url: "AT/google/v1/userinfo", needs_any: [email], id: email, label: email }
      - { method: GET, url: "AT/google/gmail/v1/users/me/profile", needs_any: ["https://mail.google.com/", gmail.modify, gmail.readonly, gmail.compose, gmail.metadata], id: emailAddress, label: emailAddress }
      - { method: GET, url: "AT/google/drive/v3/about?fields=user(permissionId,emailAddress,displayName)", needs_any: [drive, drive.readonly, drive.file, drive.metadata, drive.metadata.readonly], id: user.emailAddress, label: user.emailAddress }
      - { method: GET, url: "AT/google/calendar/v3/calendars/primary", needs_any: [calendar, calendar.readonly, calendar.calendars.readonly], id: id, label: id }
      - { method: GET, url: "AT/google/v1/userinfo", needs_any: [openid, email, profile], id: sub, label: "email|name" }
""",
    "slack": """\
  slack:
    allow_loopback_http: true
    client: { id: slack-client, secret: slack-secret }
    api: { base: AT/slack/api }
    endpoints:
      authorize: AT/slack/oauth/v2/authorize
      token: AT/slack/api/oauth.v2.access
      revoke: AT/slack/api/auth.revoke
    identity:
      - { method: POST, url: "AT/slack/api/auth.test", ok: ok, id: ["team_id|enterprise_id", user_id], label: "${user} @ ${team}", tenant: "team_id|enterprise_id" }
""",
    "linear": """\
  linear:
    allow_loopback_http: true
    client: { id: linear-client, secret: linear-secret }
    api: { base: AT/linear/api }
    endpoints:
      authorize: AT/linear/oauth/authorize
      token: AT/linear/oauth/token
      revoke: AT/linear/oauth/revoke
    identity:
      - { method: POST, url: "AT/linear/graphql", headers: { Content-Type: application/json }, body: '{"query":"{ viewer { id name email } organization { id name urlKey } }"}', fail_if: errors, id: data.viewer.id, label: "${data.viewer.name} @ ${data.organization.name}", tenant: data.organization.id }
""",
    "corp": """\
  corp:
    name: Corp sign-on
    issuer: AT/generic
    allow_loopback_http: true
    sign_in: { new_people: anyone }
    client: { id: generic-client, secret: generic-secret }
    api: { base: AT/generic/api }
    default_scopes: [repo, read]
    authorize: { pkce: { default: S256, available: [S256] } }
    identity:
      - { method: GET, url: "AT/generic/userinfo", id: sub, label: preferred_username }
""",
    "keyed": """\
  keyed:
    name: Key provider
    kind: api_key
    allow_loopback_http: true
    default_scopes: [mail.send]
    scopes:
      mail.send: { text: "Send mail in your name.", risk: write }
      mail.read: { text: "Read what was sent.", risk: read }
    api_key: { header: X-Api-Key, name: Secret key, page: "https://keys.example/settings", begins: [key_live_, key_test_] }
    api: { base: AT/keyed/api }
    identity:
      - { method: GET, url: "AT/keyed/v1/me", id: id, label: name }
""",
    "demo": """\
  demo:
    name: Demo provider
    issuer: AT/demo
    allow_loopback_http: true
    client: { id: demo-client, secret: demo-secret }
    api: { base: AT/demo/api }
    endpoints:
      authorize: AT/demo/authorize
      token: AT/demo/token
      revoke: AT/demo/revoke
      userinfo: AT/demo/userinfo
    default_scopes: [read, write]
    operations:
      whoami: { call: GET /whoami, text: Read who you are at the demo provider., scopes: [read], or: [repo, write] }
      echo: { call: POST /echo, text: Have the demo provider repeat what you send., scopes: [write], body: "anything" }
    scopes:
      repo: { text: "Read and change your repositories at the demo provider, which are imaginary.", risk: write }
      read: { text: "See your imaginary account.", risk: read }
      write: { text: "Change your imaginary account.", risk: write }
    authorize: { pkce: { default: S256, available: [S256] } }
    refresh: { supported: "yes", rotates: "yes" }
    revoke: { style: rfc7009, auth: body, which: refresh, success: [200] }
    identity:
      - { method: GET, url: "AT/demo/userinfo", id: sub, label: preferred_username }
""",
}

if __name__ == "__main__":
    print((demo_yaml if "--demo" in sys.argv else providers_yaml)(int(sys.argv[1])), end="")
