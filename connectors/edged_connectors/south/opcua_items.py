"""Which signal each node is, and how data values become samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

from edged.registry import SourceSetup
from edged.types import NANOSECONDS_PER_SECOND, Quality, Sample, Signal
from edged_connectors.south.opcua_options import NodeReference, OpcUaAddress, OpcUaOptions
from edged_connectors.south.opcua_values import CONVERTERS, Change, Converter, quality_of

UNCHANGED_NANOSECONDS = 60 * NANOSECONDS_PER_SECOND
"""A value that is read, or reported first, and is older has not changed since: it is stamped when the server saw it."""

_GOOD = int(Quality.GOOD)
_new_sample = tuple.__new__
"""A NamedTuple without its keyword-aware constructor: half the cost, on the per-value path."""

_sample_of_row: Callable[[tuple[object, ...]], Sample] = partial(tuple.__new__, Sample)


@dataclass(frozen=True, slots=True)
class Item:
    """One signal on the server; `queue_size` and `sampling_milliseconds` ask for its monitoring."""

    signal: Signal
    reference: NodeReference
    sampling_milliseconds: float
    queue_size: int
    convert: Converter

    @property
    def path(self) -> str:
        """The signal's path."""
        return self.signal.path


def items_of(setup: SourceSetup) -> tuple[Item, ...]:
    """The items of a source, in the order of its configuration."""
    options = setup.options
    assert isinstance(options, OpcUaOptions)
    found = []
    for binding in setup.bindings:
        address = binding.address
        assert isinstance(address, OpcUaAddress)
        sampling = options.sampling_of(address)
        convert = CONVERTERS[binding.signal.type]
        found.append(Item(binding.signal, address.reference(), sampling, options.queue_size(sampling), convert))
    return tuple(found)


def sample_of(path: str, convert: Converter, change: Change, received: int) -> Sample:
    """One value as it came; a missing source time becomes the server's, else the receive time."""
    _, raw, code, source, server = change
    value, reason = convert(raw)
    quality = 192 if value is not None else 0
    if code:
        quality, name = quality_of(code)
        if quality == Quality.BAD or value is not None:
            reason = name
        if quality == Quality.BAD or value is None:
            quality, value = Quality.BAD, None
    if source is None:
        source = received if server is None else server
    if source <= 0:
        source = received
    return _new_sample(Sample, (path, value, source, received, quality, reason))


def plain_samples(floats: Mapping[int, str], changes: Sequence[Change], received: int) -> list[Sample] | None:
    """The samples of a list of good, finite floats with source times; None when anything in it is not that plain.

    `floats` are the paths of the signals of that type by handle. The same as `sample_of`, a column at a time.
    """
    handles, values, codes, sources, _ = zip(*changes, strict=True)
    if any(codes) or set(map(type, values)) != {float} or not math.isfinite(sum(values)):
        return None
    if None in sources or min(sources) <= 0:
        return None
    paths = list(map(floats.get, handles))
    if None in paths:
        return None
    rows = zip(paths, values, sources, repeat(received), repeat(_GOOD), repeat(""))
    return list(map(_sample_of_row, rows))


def as_seen(sample: Sample, change: Change) -> Sample:
    """The sample of a value that was looked up: when it is old, and the server's clock is right, it still holds."""
    received = sample.receive_time
    seen = change.server_time
    if seen is None or received - sample.source_time <= UNCHANGED_NANOSECONDS:
        return sample
    if abs(received - seen) > UNCHANGED_NANOSECONDS:
        return sample
    return sample._replace(source_time=seen)
