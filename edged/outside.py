"""Checks of what a configuration points at outside itself: secrets, files, and who could listen in."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from edged.ceiling import trust
from edged.document import Document
from edged.draft import Draft
from edged.faults import Faults, Where
from edged.settings import BrokerSettings, HttpSettings, HubSettings, ModelSettings, Secret, Tls

READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH

HUB_SECRET = ("hub", "secret")
ENROLLING = "`edged-hub enroll LINE --out FILE` on the hub makes it"


class OutsideChecks:
    """Runs the checks over one draft. With `tolerate_missing` absent secrets and files become warnings."""

    def __init__(self, draft: Draft, faults: Faults, environment: Mapping[str, str], *, tolerate_missing: bool) -> None:
        self._draft = draft
        self._document: Document = draft.document
        self._faults = faults
        self._environment = environment
        self._tolerate_missing = tolerate_missing
        self.warnings: list[str] = []

    def run(self) -> None:
        """Every check, in file order."""
        for where, section in self._draft.sections():
            if isinstance(section, Secret):
                self._check_secret(where, section)
            elif isinstance(section, Tls):
                self._check_tls(where, section)
            elif isinstance(section, HttpSettings):
                self._check_pages(where, section)
            elif isinstance(section, HubSettings):
                self._check_hub(where, section)
            elif isinstance(section, BrokerSettings):
                self._check_broker(where, section)
            elif isinstance(section, ModelSettings) and not section.bundle.is_dir():
                self._warn((*where, "bundle"), f"no model bundle at {section.bundle}; its output stays without value")
        self._check_ceiling()

    def _check_secret(self, where: Where, secret: Secret) -> None:
        if secret.environment is not None:
            if not self._environment.get(secret.environment, "").strip():
                self._missing(where, f"the secret is not in {secret.place()}")
            return
        place = Path(secret.place())
        try:
            content = place.read_text(encoding="utf-8").strip()
            mode = place.stat().st_mode
        except OSError as error:
            made = f" ({ENROLLING})" if where == HUB_SECRET and isinstance(error, FileNotFoundError) else ""
            self._missing(where, f"the secret was looked for in {place}: {error.strerror}{made}")
        except ValueError:
            self._faults.add(self._document, where, f"the secret in {place} is not UTF-8 text")
        else:
            if not content:
                self._missing(where, f"the secret file {place} is empty")
            if secret.file is not None and mode & READABLE_BY_OTHERS:
                self._warn(where, f"{place} is readable by others: chmod 600 {place}")

    def _check_tls(self, where: Where, tls: Tls) -> None:
        for field, place in (("authority", tls.authority), ("certificate", tls.certificate), ("key", tls.key)):
            if place is not None and not os.access(place, os.R_OK):
                self._missing((*where, field), f"no readable file at {place}")
        if (tls.certificate is None) != (tls.key is None):
            self._faults.add(self._document, where, "certificate and key belong together, got only one of them")

    def _check_pages(self, where: Where, http: HttpSettings) -> None:
        if not loopback(http.host) and http.token is None:
            text = f"pages beyond loopback need http.token, got host {http.host!r} and no token"
            self._faults.add(self._document, (*where, "host"), text)

    def _check_hub(self, where: Where, hub: HubSettings) -> None:
        place = (*where, "url")
        try:
            url = urlsplit(hub.url)
            host, _ = url.hostname, url.port
        except ValueError as error:
            self._faults.add(self._document, place, f"is not a URL ({error}), got {hub.url!r}")
            return
        if url.scheme not in {"http", "https"} or not host:
            self._faults.add(self._document, place, f"expected http://HOST:PORT or https://HOST:PORT, got {hub.url!r}")
        elif url.scheme == "http" and not loopback(host):
            self._faults.add(self._document, place, f"plain http is for loopback only, use https, got {hub.url!r}")
        elif url.username or url.password:
            self._faults.add(self._document, place, "a URL must not carry a password; use hub.secret")

    def _check_broker(self, where: Where, broker: BrokerSettings) -> None:
        if broker.password is not None and broker.tls is None and not loopback(broker.host):
            self._warn(where, f"the password travels in clear to {broker.host}; add tls")
        if broker.password is not None and broker.username is None:
            self._faults.add(self._document, (*where, "password"), "needs a username beside it")

    def _check_ceiling(self) -> None:
        control = self._draft.control
        if control is None:
            return
        place = control.value.ceiling
        try:
            found = trust(place)
        except OSError as error:
            self._missing((*control.where, "ceiling"), f"the ceiling was looked for in {place}: {error.strerror}")
            return
        if found.fault or found.doubt:
            self._warn((*control.where, "ceiling"), found.fault or found.doubt)

    def _missing(self, where: Where, text: str) -> None:
        if self._tolerate_missing:
            self._warn(where, text)
        elif not self._faults.at(self._document, where):
            self._faults.add(self._document, where, text)

    def _warn(self, where: Where, text: str) -> None:
        self.warnings.append(f"{self._document.file}:{self._document.line(where)}: {'.'.join(map(str, where))}: {text}")


def loopback(host: str) -> bool:
    """True when a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
