"""Sharing: how the loss of a pool is borne by its members, under any rule."""
