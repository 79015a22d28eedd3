"""`python -m memtrace` is the command `memtrace`."""

from memtrace.cli.main import main

if __name__ == "__main__":
    main(prog_name="memtrace")
