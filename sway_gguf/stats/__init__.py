"""Statistics: intervals, null calibration, corrections. Each file is a leaf; none knows probes or views."""
