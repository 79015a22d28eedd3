"""A worker process for each device of this machine; they start and end together."""

import logging
import multiprocessing
import signal
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from memtrace.errors import MemtraceError, RunError, first_line
from memtrace.runs.shards import Shard
from memtrace.scanning.jobs import Job, Part, Reporter
from memtrace.scanning.worker import work

logger = logging.getLogger("memtrace")
_GRACE = 10.0  # seconds that a process has to end by itself


def work_in_processes(
    job: Job, parts: Sequence[Part], first_rank: int, devices: Sequence[str], reporter: Reporter
) -> None:
    """Do the parts of several workers, each in a process with a device of its own.

    An error in one of them, or the unexpected end of one, ends all of them.

    Args:
        job: What to do.
        parts: The own part of each worker.
        first_rank: Rank of the first of these workers.
        devices: A device for each.
        reporter: Receives, in this process, what the others report.

    Raises:
        ModelError, CorpusError, RunError: As the worker raised it; finished shards are kept.
    """
    # Forks of a process that has imported everything and done nothing: CUDA survives no other ones.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memtrace.scanning.worker", "memtrace.engine.engine"])
    running: dict[Connection, tuple[BaseProcess, str]] = {}
    try:
        for rank, (part, device) in enumerate(zip(parts, devices, strict=True), first_rank):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (job, part, rank, device, sender, logger.getEffectiveLevel())
            process: BaseProcess = context.Process(target=_worker, args=arguments, daemon=True)
            process.start()
            sender.close()  # so that the pipe ends with the process
            running[receiver] = process, device
        left = dict(running)
        while left:
            for connection in wait(list(left)):
                if not _receive(connection, *left[connection], reporter):  # type: ignore[arg-type, index]
                    left.pop(connection)  # type: ignore[call-overload]
    except BaseException:
        # Politely, so that each clears its half-written file away.
        for process, _ in running.values():
            process.terminate()
        raise
    finally:
        _join([process for process, _ in running.values()])


def _receive(connection: Connection, process: BaseProcess, device: str, reporter: Reporter) -> bool:
    """Pass on one message of a worker; return whether more will come."""
    try:
        message = connection.recv()
    except (EOFError, OSError):
        process.join(_GRACE)
        raise RunError(
            f"the process on {device} ended with code {process.exitcode} and without a message (a "
            "negative code is a signal: 9 may mean that the machine's memory was full); finished "
            "shards are kept: repeat the command"
        ) from None
    if isinstance(message, Warning):
        warnings.warn(message, stacklevel=2)
    elif isinstance(message, logging.LogRecord):
        logger.handle(message)
    elif isinstance(message, Exception):
        raise message
    elif isinstance(message, str):
        reporter.stage(message)
    elif message is not None:
        reporter.add(*message)
    return message is not None


def _join(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()


@dataclass(frozen=True)
class _PipeReporter:
    """Sends what a worker reports to the parent."""

    sender: Connection

    def add(self, index: int, shard: Shard, sequences: int) -> None:
        self.sender.send((index, shard, sequences))

    def stage(self, name: str) -> None:
        self.sender.send(name)


def _worker(job: Job, part: Part, rank: int, device: str, sender: Connection, level: int) -> None:
    """Do a worker's part and send what happens: progress, warnings, at the end None or an error."""
    # A terminal sends Ctrl-C to all processes: the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)

    def warn(message: Warning | str, category: type[Warning], *_: Any) -> None:
        sender.send(message if isinstance(message, Warning) else category(message))

    warnings.showwarning = warn  # type: ignore[assignment]  # shown once, by the parent
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(_Sent(sender))
    # A broken pipe: the parent is gone, and this process ends as well.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            work(job, part, rank, device, _PipeReporter(sender))
            sender.send(None)
        except MemtraceError as error:
            sender.send(error)
        except BrokenPipeError:
            raise
        except Exception as error:
            unexpected = RuntimeError(f"{type(error).__name__}: {first_line(error)} (on {device})")
            unexpected.add_note(traceback.format_exc())
            sender.send(unexpected)


class _Sent(logging.Handler):
    """Sends what is logged to the parent, which shows it."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self._sender.send(record)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
