"""`python operator_uids.py SPEC…`: the operators of each job's graph, one JSON line a job: name -> uid.

A process of its own: a JVM that was started for a graph stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.addresses import Addresses
from pipeline.flink import environment, graph
from pipeline.flink.plan import JobPlan
from pipeline.spec import load


def uids(path: Path) -> dict[str, str | None]:
    """Of the operators as Flink will know them, after PyFlink has chained its own; nothing is run."""
    spec = load(path)
    ends = {topic: {0: 5} for topic in getattr(spec.source, "topics", ())}
    nowhere = Addresses(zookeeper="", redis="", index="", kafka="127.0.0.1:1")
    job = JobPlan(spec_json=spec.model_dump_json(), addresses=nowhere, state=str(path.parent), run_id="r", ends=ends)
    env = environment.mini_cluster(spec, path.parent / "checkpoints")
    graph.build(env, job)
    nodes = env._generate_stream_graph(clear_transformations=True).getStreamNodes().toArray()
    return {f"{node.getId()} {node.getOperatorName()}": node.getTransformationUID() for node in nodes}


if __name__ == "__main__":
    environment.prepare_gateway(Path(sys.argv[1]).parent / "log")
    for argument in sys.argv[1:]:
        print(json.dumps(uids(Path(argument))))
