"""TLS towards the hub."""

from __future__ import annotations

import ssl

from edged.settings import Tls


def client_context(settings: Tls) -> ssl.SSLContext:
    """Verifies the hub against the given authority (or the system's) and shows our certificate. Raises OSError."""
    context = ssl.create_default_context(cafile=str(settings.authority) if settings.authority else None)
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
