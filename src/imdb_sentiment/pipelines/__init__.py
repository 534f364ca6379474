"""One folder per pipeline: `nodes.py` or `nodes/` has the functions, `pipeline.py` the wiring."""
