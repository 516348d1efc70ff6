"""The command line, one file per command. Parses, calls, prints; knows neither formulas nor thresholds."""
