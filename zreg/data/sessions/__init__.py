"""The sessions that register publishers: their writes, comparisons and suspicions."""
