"""Sweeps: settings of contenders by name, the points that a sweep tries, and what it found."""
