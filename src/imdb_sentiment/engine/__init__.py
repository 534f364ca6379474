"""Work in several processes, on one machine or on a cluster, by Dask."""
