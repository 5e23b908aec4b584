"""Which parts a stack consists of."""

from __future__ import annotations

from deploy.addresses import ENVIRONMENT, GivenAddresses
from deploy.parts import announcer, gateway, index, kafka, retry_pump, triton, valkey, zookeeper
from deploy.parts.part import Part

ALL: tuple[Part, ...] = (
    zookeeper.PART,
    valkey.PART,
    index.PART,
    triton.PART,
    announcer.PART,
    gateway.PART,
    retry_pump.PART,
    kafka.PART,
)
"""In the order of their start; they are stopped in the opposite one."""


def given_parts(given: GivenAddresses) -> dict[str, str]:
    """Part -> address, of the parts that run elsewhere."""
    return {name: getattr(given, name) for name in ENVIRONMENT if getattr(given, name)}


def parts_to_start(given: GivenAddresses, with_kafka: bool = False) -> list[Part]:
    """The parts to start here. Whoever gives both ZooKeeper and Triton announces the one in the other himself; the
    gateway stands beside an index that is started here; a broker only where it is asked for; a retry pump wherever
    something is started, since the state folder is here (where nothing is, `sosie run` brings its own)."""
    elsewhere = set(given_parts(given))
    if not with_kafka:
        elsewhere.add(kafka.NAME)
    if index.NAME in elsewhere:
        elsewhere.add(gateway.NAME)
    if {zookeeper.NAME, triton.NAME} <= elsewhere:
        elsewhere.add(announcer.NAME)
    parts = [part for part in ALL if part.name not in elsewhere]
    return [] if [part.name for part in parts] == [retry_pump.NAME] else parts


def stop_layers(parts: list[Part]) -> list[list[Part]]:
    """Parts to stop together, layer after layer: nobody loses what it stands on."""
    layers: list[list[Part]] = []
    left = list(parts)
    while left:
        needed = {name for part in left for name in part.after}
        layer = [part for part in left if part.name not in needed]
        layers.append(layer)
        left = [part for part in left if part not in layer]
    return layers
