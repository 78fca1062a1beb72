"""Why a server does not let us in, and what to do about it."""

from __future__ import annotations

from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from edged.errors import AccessRefused, SourceUnreachable
from edged_connectors.south.opcua_options import OpcUaOptions

REFUSALS = frozenset(
    {
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenInvalid,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadUserSignatureInvalid,
        ua.StatusCodes.BadApplicationSignatureInvalid,
        ua.StatusCodes.BadSecurityChecksFailed,
        ua.StatusCodes.BadSecurityPolicyRejected,
        ua.StatusCodes.BadSecurityModeRejected,
        ua.StatusCodes.BadSecurityModeInsufficient,
        ua.StatusCodes.BadCertificateInvalid,
        ua.StatusCodes.BadCertificateUntrusted,
        ua.StatusCodes.BadCertificateTimeInvalid,
        ua.StatusCodes.BadCertificateUriInvalid,
        ua.StatusCodes.BadCertificateUseNotAllowed,
        ua.StatusCodes.BadCertificateChainIncomplete,
        ua.StatusCodes.BadCertificateRevoked,
    }
)
USER_REFUSALS = frozenset(
    {
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenInvalid,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadUserSignatureInvalid,
    }
)


def refusal(options: OpcUaOptions, fault: UaStatusCodeError) -> AccessRefused | SourceUnreachable:
    """What the status code means: only a person can mend a refused user or certificate."""
    name = type(fault).__name__
    if fault.code in USER_REFUSALS:
        return AccessRefused(f"{options.endpoint} refuses {_who(options)} ({name}): check {_proof(options)}")
    if fault.code in REFUSALS:
        return AccessRefused(certificate_advice(options, name))
    return SourceUnreachable(f"{options.endpoint}: {name}")


def certificate_advice(options: OpcUaOptions, said: str) -> str:
    """The sentence for a server that does not trust us, or that we do not know."""
    said = f"{options.endpoint} refuses our certificate or security policy ({said}): "
    if options.server_certificate is None:
        return f"{said}trust {options.certificate} on the server"
    return (
        f"{said}trust {options.certificate} on the server, "
        f"and check that {options.server_certificate} is the server's own"
    )


def _who(options: OpcUaOptions) -> str:
    if options.user_certificate is not None:
        return f"the user of {options.user_certificate}"
    return f"user {options.username}" if options.username else "anonymous users"


def _proof(options: OpcUaOptions) -> str:
    return "that it trusts this certificate" if options.user_certificate is not None else "username and password"
