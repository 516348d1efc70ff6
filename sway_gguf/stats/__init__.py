"""Statistics: intervals, null calibration, corrections. None knows probes or views."""
