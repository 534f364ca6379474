"""From a CSV of labelled reviews to a tuned sentiment classifier, an LSTM with n-grams."""

import os

# ONNX Runtime would send how models are used to Microsoft.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
