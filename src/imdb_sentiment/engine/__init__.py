"""Work in several processes, on one machine or on a cluster, by Dask.

`cluster.py` opens a cluster, for the search and for the data path alike. `mapping.py` calls
functions for each item of a stream, in the order of the stream; the search has a loop of its own.
"""
