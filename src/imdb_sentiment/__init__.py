"""From a CSV of labelled reviews to a tuned sentiment classifier, an LSTM with n-grams."""

__version__ = "0.1.0"
