"""Timings and long trainings, ours and those of others, side by side."""
