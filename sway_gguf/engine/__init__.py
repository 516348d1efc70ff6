"""Backends: the protocol, its llama.cpp implementation, and a fake one. Knows no probe and no statistic."""
