"""Tracks as files: the project's own JSON, which is edited and rendered, and the formats that others read."""
