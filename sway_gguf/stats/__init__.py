"""Statistics: intervals, null calibration, corrections. None knows probes, views or anything else of ours."""
