"""Gap: field logs, replay, sim-to-real metrics and calibration."""
