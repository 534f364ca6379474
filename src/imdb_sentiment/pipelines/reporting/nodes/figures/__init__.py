"""The figures of the report, one module per source; each function returns a plotly figure."""
