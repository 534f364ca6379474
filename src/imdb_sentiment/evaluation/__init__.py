"""How good predictions are: tables of predictions, scores, calibration, statistical tests."""
