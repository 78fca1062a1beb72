"""How a session is secured and who we are in it: security policy, certificates, user."""

from __future__ import annotations

import asyncio

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.uaerrors import UaError
from cryptography import x509

from edged.errors import AccessRefused
from edged_connectors.south.opcua_options import OpcUaOptions, SecurityPolicy
from edged_connectors.south.opcua_trust import TrustFolder, read_certificate

DISCOVERY_SECONDS = 5.0
MODES = {
    ua.MessageSecurityMode.None_: "None",
    ua.MessageSecurityMode.Sign: "Sign",
    ua.MessageSecurityMode.SignAndEncrypt: "SignAndEncrypt",
}
CERTIFICATE_SIZE_AT = 2
"""A DER certificate begins with a tag, 0x82 and its length; the chain may follow (OPC UA part 6, 6.2.6)."""


async def secure(client: Client, options: OpcUaOptions) -> None:
    """Sets the client's policy and certificates. Raises AccessRefused, or what a server that is away raises."""
    if options.security_policy is SecurityPolicy.NONE:
        return
    assert options.certificate is not None
    assert options.key is not None
    policy = getattr(security_policies, f"SecurityPolicy{options.security_policy.value}")
    mode = ua.MessageSecurityMode[options.security_mode.value]
    try:
        client.application_uri = _application_uri(read_certificate(options.certificate))
        server = await _server_certificate(options, policy.URI, mode)
        await client.set_security(policy, options.certificate, options.key, None, server, mode)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, TypeError) as fault:
        raise AccessRefused(f"a certificate or key cannot be used: {fault}") from fault


async def log_in(client: Client, options: OpcUaOptions) -> None:
    """Activates the session as the configured user. Raises AccessRefused when our secret or key cannot be used."""
    password, certificate = None, None
    if options.password is not None:
        try:
            password = options.password.read()
        except (OSError, KeyError) as fault:
            raise AccessRefused(f"the password is not in {options.password.place()}") from fault
    if options.user_certificate is not None:
        assert options.user_key is not None
        try:
            certificate = read_certificate(options.user_certificate)
            await client.load_private_key(options.user_key)
        except (OSError, ValueError, TypeError) as fault:
            raise AccessRefused(f"the user's certificate or key cannot be used: {fault}") from fault
    await client.activate_session(options.username, password, certificate)


async def _server_certificate(options: OpcUaOptions, policy_uri: str, mode: ua.MessageSecurityMode) -> CertProperties:
    """The pinned one, or the one that the server shows if the trust folder knows it."""
    if options.trust_folder is None:
        assert options.server_certificate is not None
        read_certificate(options.server_certificate)
        return CertProperties(options.server_certificate)
    async with asyncio.timeout(DISCOVERY_SECONDS):
        endpoints = await Client(options.endpoint, timeout=DISCOVERY_SECONDS).connect_and_get_server_endpoints()
    try:
        shown = Client.find_endpoint(endpoints, mode, policy_uri).ServerCertificate
    except UaError:
        offered = sorted({f"{_short(e.SecurityPolicyUri)} {MODES.get(e.SecurityMode, '?')}" for e in endpoints})
        wanted = f"{options.security_policy.value} {options.security_mode.value}"
        text = f"{options.endpoint} does not offer {wanted}; it offers: {', '.join(offered)}"
        raise AccessRefused(text) from None
    certificate = _first_of_chain(shown or b"")
    folder = TrustFolder(options.trust_folder, options.endpoint, first_contact=options.trust_first_contact)
    await asyncio.to_thread(folder.judge, certificate)
    return CertProperties(certificate, "der")


def _first_of_chain(shown: bytes) -> bytes:
    return shown[: CERTIFICATE_SIZE_AT + 2 + int.from_bytes(shown[CERTIFICATE_SIZE_AT : CERTIFICATE_SIZE_AT + 2])]


def _short(policy_uri: str) -> str:
    """Basic256Sha256 out of http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256."""
    return policy_uri.rpartition("#")[2].replace("_", "")


def _application_uri(certificate: x509.Certificate) -> str:
    """The URI that our certificate was made for: servers compare it with the one we announce."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("our certificate names no application URI") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not uris:
        raise ValueError("our certificate names no application URI")
    return uris[0]
