"""Takes secrets out of parameters, outputs and messages before they become events.

Two signs are known: the name of a field, and the form of a text. A secret without either (a password in a sentence,
anything encoded once more) is not found here; whoever knows such a field says so in its tool's schema.
All matching is by RE2, in linear time, and only where a tell-tale piece of the form occurs at all.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec
import re2
from msgspec import Struct

MAX_DEPTH = 64
MAX_BYTES = 8 * 1024 * 1024  # of one document as JSON, as much as a commit can hold
MAX_PATHS = 1_000  # reported of one document; redaction itself goes on

# Lower case, without separators. Whole names only: `token_count` and `next_page_token` are no secrets.
# fmt: off
SECRET_NAMES = frozenset({
    "password", "passwd", "pwd", "passphrase", "passcode", "userpassword", "dbpassword", "oldpassword",
    "newpassword", "currentpassword", "confirmpassword", "passwordconfirmation", "passwordhash", "secret",
    "secrets", "clientsecret", "consumersecret", "appsecret", "sharedsecret", "webhooksecret", "signingsecret",
    "totpsecret", "token", "accesstoken", "refreshtoken", "idtoken", "authtoken", "bearertoken", "sessiontoken",
    "apitoken", "usertoken", "securitytoken", "privatetoken", "personalaccesstoken", "oauthtoken",
    "deploytoken", "bottoken", "csrftoken", "devicetoken", "accesstokensecret", "authorization",
    "proxyauthorization", "auth", "xauthtoken", "xapikey", "xapitoken", "xgitlabtoken", "xvaulttoken",
    "xamzsecuritytoken", "apikey", "apikeys", "apisecret", "secretkey", "secretaccesskey", "awssecretaccesskey",
    "awssessiontoken", "privatekey", "privatekeypem", "signingkey", "encryptionkey", "masterkey", "accesskey",
    "accountkey", "sharedaccesskey", "subscriptionkey", "sshkey", "sshprivatekey", "credential", "credentials",
    "cookie", "setcookie", "sessionid", "jwt", "otp", "onetimepassword", "pin", "cvv", "cvc", "cvv2",
    "cardsecuritycode",
})
# fmt: on
_FILLED_IN = re.compile(r"\$\{[^}]*\}")
_SEPARATORS = str.maketrans("", "", "_-. ")
MAX_NAME = 40  # a longer name is none of the above
_LABELS = ("name", "key", "header")  # {"name": "Authorization", "value": "…"}


class Form(Struct, frozen=True):
    """A kind of secret known by its form. `signs` are pieces, in lower case, without which it cannot occur."""

    kind: str
    signs: tuple[str, ...]
    pattern: Any  # a compiled RE2; the library ships no types
    keep: str = ""  # what of the match stays in front


def _form(kind: str, signs: str, pattern: str, keep: str = "") -> Form:
    return Form(kind, tuple(signs.split()), re2.compile(pattern), keep)


_ASSIGNED = (
    r"(?:password|passwd|pwd|secret|client_?secret|token|access_?token|refresh_?token|id_?token|auth_?token|api_?key"
    r"|secret_?access_?key|private_?token|account_?key|shared_?access_?key|sig|signature|x-amz-signature)"
)

# Order matters where forms overlap: what encloses comes first.
FORMS = (
    _form(
        "private_key",
        "-----begin",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    _form("fairlead_key", "flk_", r"flk_(?:live|test)_[0-9A-Za-z_]{16,}"),
    _form("fairlead_link", "fla_", r"fla_[0-9A-Za-z_-]{40,}\.[0-9A-Za-z_-]+"),
    _form("aws_access_key", "akia asia", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _form(
        "github_token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"\b(?:gh[opusr]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{22,})",
    ),
    _form("gitlab_token", "glpat-", r"\bglpat-[0-9A-Za-z_-]{20,}"),
    _form("slack_token", "xox xapp-", r"\b(?:xox[abeoprs]-|xapp-)[0-9A-Za-z-]{10,}"),
    _form("slack_webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[0-9A-Za-z/_-]{10,}"),
    _form("stripe_key", "sk_ rk_ whsec_", r"\b(?:(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{10,}|whsec_[0-9A-Za-z+/=]{16,})"),
    _form("model_provider_key", "sk-", r"\bsk-(?:(?:proj|svcacct|admin|ant|or)-[0-9A-Za-z_-]{16,}|[0-9A-Za-z]{32,})"),
    _form("google_key", "aiza ya29.", r"\b(?:AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,})"),
    _form("package_token", "npm_ pypi- hf_", r"\b(?:npm_[0-9A-Za-z]{36}|pypi-[0-9A-Za-z_-]{50,}|hf_[0-9A-Za-z]{30,})"),
    _form("sendgrid_key", "sg.", r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}"),
    _form("jwt", "eyj", r"\beyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){2,4}"),
    _form(
        "authorization_header",
        "uthorization",
        r"""(?i)(\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*\\?["']?)"""
        r"""[^\s"'\\][^\r\n"'\\]*""",
        r"\1",
    ),
    _form("bearer_token", "bearer", r"(?i)\bbearer\s+[0-9A-Za-z._~+/-]{20,}=*"),
    _form("url_password", "://", r"""(\b[A-Za-z][0-9A-Za-z+.-]*://)[^\s/?#:"'<>]*:[^\s/?#"'<>]+@""", r"\1"),
    # Assignments: `token=…` as in a query or a shell, `"token": "…"` as in JSON within a text.
    _form("assigned_secret", "=", rf"""(?i)(\b{_ASSIGNED}=)[^\s"'&;,<>\[][^\s"'&;,<>]{{3,}}""", r"\1"),
    _form("assigned_secret", '"', rf"""(?i)(\\?"{_ASSIGNED}\\?"\s*:\s*\\?")[^"\\\[][^"\\]*""", r"\1"),
)
_SHORTEST = 8  # characters; no form is shorter


def _signs_of(forms: tuple[Form, ...]) -> Any:
    """One automaton for all signs as they stand in a JSON document; it answers with the places of the forms.

    A few hundred states at most, far below the memory at which RE2 would give up and find nothing.
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes; every sign is ASCII
    options.case_sensitive = False
    options.max_mem = 64 * 1024 * 1024
    signs = re2.Set.SearchSet(options)
    for form in forms:
        signs.Add("|".join(re2.escape(msgspec.json.encode(sign)[1:-1].decode()) for sign in form.signs))
    signs.Compile()
    return signs


_SIGNS = _signs_of(FORMS)


def redact(value: Any) -> tuple[Any, list[str]]:
    """The JSON value with each secret replaced by `[redacted:<kind>]`, and where that happened, as JSON Pointers.

    The argument is left as it is. What exceeds a bound, or is no JSON, is replaced as a whole: nothing goes through
    unread.
    """
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _mark("unreadable"), [""]
    if len(encoded) > MAX_BYTES:
        return _mark("too_long"), [""]
    walk = _Walk(tuple(FORMS[place] for place in sorted(_SIGNS.Match(encoded) or ())))
    return walk.value(value, 0), walk.paths


def secrets_in(value: Any) -> list[str]:
    """Where texts of a JSON value have the form of a secret, as JSON Pointers: for documents that are kept as they are,
    and so cannot be redacted. What an expression `${ }` fills in is no part of a text yet."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return [""]
    forms = tuple(FORMS[place] for place in sorted(_SIGNS.Match(encoded) or ()))
    return list(islice(_formed(value, forms, ""), MAX_PATHS)) if forms else []


def _formed(value: Any, forms: tuple[Form, ...], path: str) -> Iterator[str]:
    match value:
        case str():
            text = _FILLED_IN.sub("", value)
            if _without(forms, text) is not text:
                yield path
        case dict():
            for name, each in value.items():
                yield from _formed(str(name), forms, path)
                yield from _formed(each, forms, f"{path}/{_step(str(name))}")
        case list():
            for index, each in enumerate(value):
                yield from _formed(each, forms, f"{path}/{index}")


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def redact_text(text: str) -> str:
    """A single text, such as an error message. One that is too long to read is replaced as a whole."""
    return _mark("too_long") if len(text) > MAX_BYTES else _without(FORMS, text)


class _Walk:
    """`forms` are those of which a sign occurs somewhere in the document: most often none."""

    def __init__(self, forms: tuple[Form, ...]) -> None:
        self._forms = forms
        self.paths: list[str] = []  # while inside a value, relative to it

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value) if self._forms else value
        if isinstance(value, dict):
            return self._object(value, depth + 1) if depth < MAX_DEPTH else self._redacted("too_deep")
        if isinstance(value, list | tuple):
            return self._array(value, depth + 1) if depth < MAX_DEPTH else self._redacted("too_deep")
        return value

    def _text(self, text: str) -> str:
        clean = _without(self._forms, text)
        if clean is not text:
            self._found()
        return clean

    def _object(self, members: dict[str, Any], depth: int) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        labelled = "value" in members and _has_secret_label(members)
        for name, value in members.items():
            before = len(self.paths)
            key = self._name(name, len(clean)) if self._forms else name
            if _is_secret_name(name) or (labelled and name == "value"):
                clean[key] = self._secret_field(value)
            else:
                clean[key] = self.value(value, depth)
            if len(self.paths) > before:
                self._prefix(key, before)
        return clean

    def _array(self, items: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        clean = []
        for index, item in enumerate(items):
            before = len(self.paths)
            clean.append(self.value(item, depth))
            if len(self.paths) > before:
                self._prefix(str(index), before)
        return clean

    def _name(self, name: str, place: int) -> str:
        """Names are texts too. Numbered when replaced, so that two secrets do not become one name."""
        clean = self._text(name)
        return name if clean is name else f"{clean}#{place}"

    def _secret_field(self, value: Any) -> Any:
        """Whatever is in it goes, but null, true, false and nothing are no secrets and tell a reader something."""
        if value is None or isinstance(value, bool) or value in ("", [], {}):
            return value
        return self._redacted("field")

    def _redacted(self, kind: str) -> str:
        self._found()
        return _mark(kind)

    def _found(self) -> None:
        if len(self.paths) < MAX_PATHS:
            self.paths.append("")

    def _prefix(self, name: str, since: int) -> None:
        for place in range(since, len(self.paths)):
            self.paths[place] = f"/{_step(name)}{self.paths[place]}"


def _mark(kind: str) -> str:
    return f"[redacted:{kind}]"


def _is_secret_name(name: str) -> bool:
    return len(name) <= MAX_NAME and _is_known(name)


@lru_cache(maxsize=4096)
def _is_known(name: str) -> bool:
    return name.translate(_SEPARATORS).lower() in SECRET_NAMES


def _has_secret_label(members: dict[str, Any]) -> bool:
    return any(isinstance(label := members.get(name), str) and _is_secret_name(label) for name in _LABELS)


def _without(forms: tuple[Form, ...], text: str) -> str:
    """The very same object when there is nothing to take out."""
    if len(text) < _SHORTEST:
        return text
    lowered = text.lower()
    clean = text
    for form in forms:
        if any(sign in lowered for sign in form.signs):
            clean = form.pattern.sub(form.keep + _mark(form.kind), clean)
    return text if clean == text else clean
