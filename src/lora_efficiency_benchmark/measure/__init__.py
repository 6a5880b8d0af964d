"""Measuring memory, time and the environment (row 4): small values out, no files, no claims."""
