"""Reserving: claims triangles, completion, ultimates and their error."""
