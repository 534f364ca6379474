"""One folder a pipeline: `nodes.py` has the functions, `pipeline.py` the wiring."""
