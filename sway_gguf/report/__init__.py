"""Reports: a result drawn for people or written for programs. Knows result records; no engine, no probe."""
