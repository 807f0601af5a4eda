"""What a provider knows: its clock, the people with an account, and the tokens it has given out."""

import secrets
import time
from dataclasses import asdict, dataclass, field


class Clock:
    """The provider's clock: the machine's, moved by however much a test has advanced it."""

    def __init__(self):
        self.offset = 0.0

    def now(self) -> float:
        return time.time() + self.offset


@dataclass(frozen=True)
class Account:
    login: str
    number: int
    name: str
    email: str

    @staticmethod
    def named(login: str) -> "Account":
        known = {"octo": (583231, "Ada Octo"), "mallory": (666001, "Mallory")}
        number, name = known.get(login, (sum(ord(c) * 257**i for i, c in enumerate(login)) % 10**9, login.title()))
        return Account(login, number, name, f"{login}@example.com")


@dataclass
class Grant:
    """One authorization by one person; every token below it falls with it."""
    id: int
    account: str
    client_id: str
    scopes: list[str]
    created: float
    last_used: float
    kind: str = "user"
    dead: bool = False


@dataclass
class RefreshToken:
    value: str
    grant: Grant
    issued: float
    spent_at: float | None = None
    replays: int = 0
    pair: tuple[str, str] | None = None  # the access and refresh token its use brought, for a replay within the grace
    forgotten: bool = False


@dataclass
class AccessToken:
    value: str
    grant: Grant
    scopes: list[str]
    issued: float
    expires_at: float | None
    dead: bool = False


@dataclass
class Tokens:
    """The tokens of one provider family, with the refresh behaviour its settings describe."""
    settings: dict
    clock: Clock
    grants: list[Grant] = field(default_factory=list)
    access: dict[str, AccessToken] = field(default_factory=dict)
    refresh: dict[str, RefreshToken] = field(default_factory=dict)

    def new_grant(self, account: str, client_id: str, scopes: list[str], kind: str = "user") -> Grant:
        now = self.clock.now()
        grant = Grant(len(self.grants) + 1, account, client_id, scopes, now, now, kind)
        self.grants.append(grant)
        return grant

    def new_access(self, grant: Grant, prefix: str) -> AccessToken:
        now = self.clock.now()
        life = self.access_life()
        token = AccessToken(f"{prefix}{secrets.token_hex(16)}", grant, list(grant.scopes), now,
                            None if life is None else now + life)
        self.access[token.value] = token
        return token

    def new_refresh(self, grant: Grant, prefix: str) -> RefreshToken:
        token = RefreshToken(f"{prefix}{secrets.token_hex(16)}", grant, self.clock.now())
        self.refresh[token.value] = token
        return token

    def access_life(self) -> float | None:
        """Seconds an access token really lives: `access_life` where set, else what `expires_in` promises."""
        if self.settings["access_life"] is not None:
            return float(self.settings["access_life"])
        try:
            promised = float(self.settings["expires_in"])
        except (TypeError, ValueError):
            return None
        return promised if promised > 0 else 3600.0

    def live(self, value: str | None) -> AccessToken | None:
        token = self.access.get(value or "")
        if not token or token.dead or token.grant.dead:
            return None
        if token.expires_at is not None and token.expires_at <= self.clock.now():
            return None
        token.grant.last_used = self.clock.now()
        return token

    def spend(self, value: str, access_prefix: str, refresh_prefix: str) -> tuple[AccessToken, RefreshToken | None] | None:
        """Uses a refresh token; nothing when it is not, or no longer, good."""
        token = self.refresh.get(value)
        if not token or token.forgotten or token.grant.dead or self.ended(token):
            return None
        now, mode = self.clock.now(), self.settings["refresh"]
        if token.spent_at is not None:
            return self.replay(token, access_prefix, refresh_prefix)
        token.grant.last_used = now
        if self.settings["old_access_dies"]:
            self.end_access(token.grant)
        access = self.new_access(token.grant, access_prefix)
        if mode == "static" or not self.settings["rotation_returns_token"]:
            return access, None
        successor = self.new_refresh(token.grant, refresh_prefix)
        token.spent_at, token.pair = now, (access.value, successor.value)
        return access, successor

    def replay(self, token: RefreshToken, access_prefix: str, refresh_prefix: str):
        now, settings = self.clock.now(), self.settings
        if settings["refresh"] == "rotate+kill":
            token.grant.dead = True
            return None
        in_time = now - token.spent_at <= settings["grace_s"]
        counted = settings["grace_count"] is None or token.replays < settings["grace_count"]
        if settings["refresh"] != "rotate+grace" or not in_time or not counted:
            return None
        token.replays += 1
        if settings["grace_reply"] == "same":
            return self.access[token.pair[0]], self.refresh[token.pair[1]]
        return self.new_access(token.grant, access_prefix), self.new_refresh(token.grant, refresh_prefix)

    def ended(self, token: RefreshToken) -> bool:
        """Whether the refresh token ran out: from consent (absolute) or from its last use (idle)."""
        now, settings = self.clock.now(), self.settings
        idle, absolute = settings["refresh_idle_s"], settings["refresh_absolute_s"]
        if absolute is not None and now - token.grant.created >= absolute:
            return True
        return idle is not None and now - token.grant.last_used >= idle

    def end_access(self, grant: Grant | None = None) -> None:
        for token in self.access.values():
            if grant is None or token.grant is grant:
                token.dead = True

    def keep_newest(self, tokens: list[AccessToken], most: int | None) -> None:
        """Ends the oldest live ones beyond the provider's limit, without telling anybody."""
        alive = [token for token in tokens if not token.dead and not token.grant.dead]
        for token in alive[:max(0, len(alive) - most)] if most else []:
            token.dead = True

    def saved(self) -> dict:
        def flat(token):
            return asdict(token) | {"grant": token.grant.id}
        return {"grants": [asdict(grant) for grant in self.grants],
                "access": [flat(token) for token in self.access.values()],
                "refresh": [flat(token) for token in self.refresh.values()]}

    def restore(self, saved: dict) -> None:
        self.grants = [Grant(**grant) for grant in saved["grants"]]
        by_id = {grant.id: grant for grant in self.grants}
        self.access = {t["value"]: AccessToken(**t | {"grant": by_id[t["grant"]]}) for t in saved["access"]}
        self.refresh = {t["value"]: RefreshToken(**t | {"grant": by_id[t["grant"]]}) for t in saved["refresh"]}
