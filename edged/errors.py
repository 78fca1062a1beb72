"""One family of exceptions. A class docstring is the sentence the user reads; it says what to do."""

from __future__ import annotations


class EdgedError(Exception):
    """Something edged cannot go on with; the message says what and where."""


class ConfigError(EdgedError):
    """The configuration has faults: correct the lines named below and run `edged check` again."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class MissingLibrary(EdgedError):
    """A configured component needs a library that is not installed: install the named extra."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed: pip install 'edged[{extra}]'")


class SourceUnreachable(EdgedError):
    """The device or server does not answer: check its address, the cable and the firewall. edged keeps trying."""


class SourceLost(EdgedError):
    """The connection to the device broke off: edged connects again by itself."""


class SourceSilent(SourceLost):
    """Neither data nor a sign of life came in time: edged builds a new connection by itself."""


class AccessRefused(EdgedError):
    """The other side refused our identity: check user, secret or certificate there and in the configuration."""


class WriteFailed(EdgedError):
    """The device rejected the write: nothing was changed as far as it says."""


class WriteUnknown(EdgedError):
    """The write may or may not have been applied: the value is read back before anything else is written."""


class OutboxUnavailable(EdgedError):
    """The outbox cannot be written: free the disk or repair it. Values are held in memory meanwhile."""


class DamagedRecord(EdgedError):
    """A stored record fails its checksum or cannot be decoded: it is skipped and recorded as a gap."""


class HubUnavailable(EdgedError):
    """The hub does not answer: values stay in the outbox until it does."""
