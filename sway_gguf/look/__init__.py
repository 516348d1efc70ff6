"""Before a run: what machine, files and data are like, and the suite that suits them. Knows how a suite is prepared."""
