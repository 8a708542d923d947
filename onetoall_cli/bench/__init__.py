"""Measuring: time, memory and quality of this network against a straightforward implementation of the same one."""
