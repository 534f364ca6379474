"""The runner of `kedro run --only-missing-outputs`."""

import logging
from collections import Counter
from itertools import chain
from typing import Any

from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner, Task
from pluggy import PluginManager

from imdb_sentiment.framework.run_lineage import INPUT_CHANGED
from imdb_sentiment.framework.track_lineage import TrackLineage

logger = logging.getLogger(__name__)


class IncrementalSequentialRunner(SequentialRunner):
    """Runs the nodes whose outputs are missing or stale, one after the other.

    Whether a node has to run is decided when it is its turn, by what the nodes before it have made.
    If their outputs have the same content as before, what depends on them does not run ("early
    cutoff": Mokhov, Mitchell and Peyton Jones, "Build systems à la carte", ICFP 2018).
    """

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        """Run the nodes of a pipeline that have to run.

        Args:
            pipeline: The nodes that may have to run.
            catalog: Their datasets.
            hook_manager: Manager of the hooks; `TrackLineage`, one of them, knows what is stale.
            run_id: Id of the run.

        """
        hooks = hook_manager.get_plugins() if hook_manager else ()
        (lineage,) = (hook for hook in hooks if isinstance(hook, TrackLineage))
        makers = {name: node for node in pipeline.nodes for name in node.outputs}
        loads = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        done: set[Node] = set()

        def run_node(node: Node) -> None:
            for name in node.inputs:  # what is in memory only is made when it is needed
                maker = makers.get(name)
                if maker and maker not in done and isinstance(catalog.get(name), MemoryDataset):
                    run_node(maker)
            Task(node, catalog, self._is_async, hook_manager, run_id).execute()
            done.add(node)

        for node in pipeline.nodes:
            if reason := lineage.find_change(node):
                follows = any(makers.get(name) in done for name in node.inputs)
                # The console shows where changes begin.
                level = logging.DEBUG if follows and reason == INPUT_CHANGED else logging.INFO
                logger.log(level, "%s runs again: %s", node.name, reason)
                run_node(node)
            self._release_datasets(node, catalog, loads, pipeline)
        if len(done) < len(pipeline.nodes):
            logger.info(
                "%d of these %d nodes have run; the inputs of the others have not changed",
                len(done),
                len(pipeline.nodes),
            )
