"""Which of several: prompts, runs, adapters. Knows how to run a suite; no verdict of its own."""
