"""Where the edge node publishes and listens: group = site, node = line, device = equipment."""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "spBv1.0"
LEGACY_STATE = "STATE"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one edge node."""

    group: str
    node: str

    def of_node(self, kind: str) -> str:
        """NBIRTH, NDEATH, NDATA or NCMD."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.node}"

    def of_device(self, kind: str, device: str) -> str:
        """DBIRTH, DDATA, DDEATH or DCMD of one equipment; `#` as device listens to all."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.node}/{device}"

    @property
    def fence(self) -> str:
        """Our own topic, outside the Sparkplug namespace: hosts never see it."""
        return f"edged/{self.group}/{self.node}/fence"


def state_topics(host: str) -> tuple[str, str]:
    """Both forms under which a primary host says that it is there: Sparkplug 3.0 and the older one."""
    return f"{NAMESPACE}/{LEGACY_STATE}/{host}", f"{LEGACY_STATE}/{host}"
