"""From a CSV of labelled reviews to a tuned LSTM sentiment classifier."""

__version__ = "0.1.0"
