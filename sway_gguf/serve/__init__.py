"""A server on this machine that runs suites one after another and shows their reports live."""
