"""Measurements of speed and memory: ``make bench`` prints them as a table."""
