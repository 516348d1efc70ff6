"""From an adapter that works to the file that ships: merging, quantizing, what survives. Knows how to run a suite."""
