"""From measurements to verdicts: calibration, rules, axes, diagnosis. Knows no probe kind and no engine."""
