"""The figures of the report, one module per subject; each function returns a plotly figure."""
