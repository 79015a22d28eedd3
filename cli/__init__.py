"""The commands of `memtrace`, and what they share; installed as `memtrace.cli`."""
