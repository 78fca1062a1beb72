"""Takes secrets out of text, for whatever leaves the box."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

REDACTED = "[secret]"
TAKEN = "\ufdd0"
"""Stands for it while others are still looked for: no character of any text."""
SHORTEST_SECRET = 4
"""Characters; shorter ones cannot be told from other text, and are only taken out where a key names them."""
SHORTEST_LINE = 8
"""Characters of one line of a secret that has several, and of its form in base64 amid other bytes."""
LARGEST_SECRET_BYTES = 1_000_000
LONGEST_KEY = 8192
"""Characters of a private key whose beginning is not there."""
ENDS_OF_VALUES = " \t\r\n]}),;"
RANDOM_CHARACTERS = 20
RANDOM_CHANGES = 0.35
"""Share of neighbours of different kinds (lower, upper, digit, other): 0.6 in random text, 0.2 in names."""

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credential|cookie|bearer|api[_-]?key|access[_-]?key|"
    r"private[_-]?key|shared[_-]?key|authorization|(?<![a-z])(?:auth|pass|pin|psk|otp|sas|sig|key)(?![a-z]))"
)
_SECRET_NAME = re.compile(_NAMES.replace("|key)", ")"), re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<name>{_NAMES}[\w.-]{{0,40}}\\*[\"']?[ \t]*(?:[:=]|%3[AD])[ \t]*(?:[bu](?=[\"']))?)(?!\[secret\])"
    r"(?:(?P<quote>\\*[\"'])(?P<quoted>[^\n]*?)(?:(?<!\\)(?P=quote)|$)"
    r"|(?<=[=D])(?P<word>[^\s\"']+)|(?<=[:A \t])(?P<rest>[^\s\"'\[{][^\n\"']*))",
    re.IGNORECASE | re.MULTILINE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.DOTALL
)
_END_OF_KEY = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_URL = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{0,20}://)([^\s\"'<>]*)")
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest)\s+(?!\[secret\])[^\s\"',;\\]+", re.IGNORECASE)
_WORD = re.compile(rf"[A-Za-z0-9_+/-]{{{RANDOM_CHARACTERS},}}={{0,2}}")
_WRAPPED = re.compile(r"(\[secret\](?:\r?\n|\\n))[A-Za-z0-9+/]+={0,2}(?=\r?\n|\\n|\\?\"|\Z)")
"""The last line of something in base64."""
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{32,}|[0-9A-F]{32,})")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Redactor:
    """Knows the secrets of this box, and the forms in which any secret usually stands in text."""

    def __init__(self, secrets: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        """`words` are taken out where they stand alone."""
        forms = {form for secret in set(secrets) if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._alone = {word for word in words if len(word) >= SHORTEST_SECRET}
        listed = "|".join(map(re.escape, sorted(self._alone)))
        self._words = re.compile(rf"(?<!\w)(?:{listed})(?!\w)") if listed else None

    def own_text(self, text: str) -> str:
        """What edged itself wrote, without known secrets, private keys and users in URLs."""
        for form in self._forms:
            text = text.replace(form, TAKEN)
        if self._words is not None:
            text = self._words.sub(TAKEN, text)
        text = text.replace(TAKEN, REDACTED)
        text = _without_end_of_key(_PRIVATE_KEY.sub(REDACTED, text))
        return _URL.sub(_without_user, text)

    def text(self, text: str) -> str:
        """Like `own_text`, and without values that a key calls secret."""
        return _ASSIGNED.sub(rf"\g<name>{REDACTED}", _SCHEME.sub(rf"\1 {REDACTED}", self.own_text(text)))

    def free_text(self, text: str) -> str:
        """Like `text`, and without words that look random: for text that anybody may have written into."""
        return _WRAPPED.sub(rf"\1{REDACTED}", _WORD.sub(_without_random, self.text(text)))

    def inside(self, value: object) -> object:
        """The same for every key and value of a document that was disclosed with care already."""
        if isinstance(value, Mapping):
            return {self.own_text(str(key)): self.inside(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.inside(item) for item in value]
        if isinstance(value, str):
            return self.own_text(value)
        return self._number(value)

    def section(self, value: object, name: str = "") -> object:
        """JSON, or a part of it under that key, without secrets."""
        if value is not None and is_secret_name(name):
            return REDACTED
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.section(item, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.section(item, name) for item in value]
        if isinstance(value, str):
            return self.text(value)
        return self._number(value)

    def _number(self, value: object) -> object:
        return REDACTED if str(value) in self._alone or str(value) in self._forms else value


def is_secret_name(name: str) -> bool:
    """Whether a key or variable of this name holds a secret, or says where one is."""
    return _SECRET_NAME.search(name) is not None


def assigned(text: str) -> list[str]:
    """The values that stand in a text under the name of a secret: secrets, most likely."""
    found = [match["quoted"] or match["word"] or match["rest"] or "" for match in _ASSIGNED.finditer(text)]
    return [form for value in found for form in (value.strip(), value.rstrip(ENDS_OF_VALUES))]


def in_urls(text: str) -> list[str]:
    """Users and passwords of the URLs in a text, as they stand there and as they are meant."""
    found = []
    for rest in [match[2] for match in _URL.finditer(text)] + [text.partition("://")[2]]:
        user, _, _ = rest.rpartition("@")
        _, colon, password = user.partition(":")
        held = [user, password] if colon else [user] if len(user) >= SHORTEST_LINE else []
        found += [form for value in held for form in (value, unquote(value))]
    return found


def looks_random(word: str) -> bool:
    """Whether a word looks like a key or token, and not like a name, a path or a UUID."""
    if len(word) < RANDOM_CHARACTERS or _UUID.fullmatch(word) or not any(map(str.isdigit, word)):
        return False
    if _HEXADECIMAL.fullmatch(word) and not word.isdigit():
        return True
    kinds = ["0" if c.isdigit() else "A" if c.isupper() else "a" for c in word if c.isalnum()]
    return sum(one != other for one, other in pairwise(kinds)) >= RANDOM_CHANGES * len(kinds)


def secrets_of_file(path: Path) -> list[str]:
    """What a file of secrets holds: its text and its lines, or its bytes in base64; nothing when it cannot be read."""
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            content = file.read(LARGEST_SECRET_BYTES)
    except (OSError, ValueError):
        return []
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return [base64.b64encode(content).decode(), content.hex()]
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----")]
    return [text, "".join(lines), *kept]


def _forms(secret: str) -> Iterator[str]:
    """The secret as it stands in JSON (also twice), Python, URLs, dumps of bytes and base64."""
    encoded = secret.encode("utf-8", "surrogateescape" if _is_escaped(secret) else "replace")
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    yield from (secret, *escaped, *(json.dumps(form)[1:-1] for form in escaped))
    yield from (form.replace("/", "\\/") for form in escaped)
    yield "".join(f"\\u{ord(character):04x}" for character in secret)
    yield from (repr(secret)[1:-1], repr(encoded)[2:-1])
    quoted = {quote(encoded, safe=""), quote(encoded), quote_plus(encoded)}
    for form in (*quoted, *map(quote, quoted)):
        yield from (form, re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), form))
    for dump in (encoded.hex(), *(encoded.hex(separator) for separator in " :-")):
        yield from (dump, dump.upper())
    yield from (" ".join(f"{byte:#04x}" for byte in encoded), ", ".join(map(str, encoded)))
    for shift in range(3):
        yield from _base64_amid(encoded, shift)


def _base64_amid(encoded: bytes, shift: int) -> Iterator[str]:
    """What base64 makes of the bytes when `shift` others stand before them and any behind."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(b"\0" * shift + encoded).decode().rstrip("=")
        if not shift:
            yield whole
        spoilt = (len(encoded) + shift) % 3
        middle = whole[(0, 2, 3)[shift] : len(whole) - (1 if spoilt else 0)]
        if len(middle) >= SHORTEST_LINE:
            yield middle


def _is_escaped(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


def _without_end_of_key(text: str) -> str:
    """A key whose beginning was cut off goes with what stands before its end."""
    parts = []
    start = 0
    for match in _END_OF_KEY.finditer(text):
        parts += [text[start : max(start, match.start() - LONGEST_KEY)], REDACTED]
        start = match.end()
    return "".join([*parts, text[start:]])


def _without_user(match: re.Match[str]) -> str:
    user, at, rest = match[2].rpartition("@")
    return f"{match[1]}{REDACTED}@{rest}" if at and user else match[0]


def _without_random(match: re.Match[str]) -> str:
    return REDACTED if looks_random(match[0]) else match[0]
