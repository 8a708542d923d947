"""Benchmarks: time, memory and quality of the network, compared with a plain implementation of the same network."""
