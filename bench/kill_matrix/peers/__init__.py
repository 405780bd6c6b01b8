"""Who is compared. Each is a `Peer`: how it is configured, started, killed; nothing about situations."""

from __future__ import annotations

from peers.alertmanager import Hardened, Plain
from peers.base import Peer
from peers.icinga import Icinga
from peers.monit import Monit
from peers.rollbackd import Rollbackd
from peers.rulebook import Rulebook

PEERS: dict[str, type[Peer]] = {
    peer.key: peer for peer in (Rollbackd, Hardened, Plain, Rulebook, Monit, Icinga)
}
