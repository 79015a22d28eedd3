"""The commands of `memtrace`, one file each; installed as `memtrace.cli`."""
