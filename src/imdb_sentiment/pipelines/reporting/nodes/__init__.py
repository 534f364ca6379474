"""The nodes of reporting, one module per part: each part is a namespace of the pipeline."""
