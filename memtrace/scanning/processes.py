"""A process for each device of this machine: started, listened to, and ended together.

It knows processes and what they say; what a member does is known by `launch`.
"""

import multiprocessing
import signal
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from memtrace.errors import MemtraceError, RunError
from memtrace.scanning.jobs import Job, Part, Report
from memtrace.scanning.launch import work

_PATIENCE = 10.0  # seconds that a process has for ending by itself


def work_in_processes(
    job: Job, parts: Sequence[Part], first: int, devices: Sequence[str], report: Report
) -> None:
    """Do the parts of several members, each in a process with a device of its own.

    An error in one of them, or the end of one without a word, ends all of them.

    Args:
        job: What to do.
        parts: The own part of each member.
        first: Number of the first of these members.
        devices: A device for each.
        report: Called in this process with what the others report.

    Raises:
        ModelError, CorpusError, RunError: As the member raised it; finished shards are kept.
    """
    # Forks of a process that has imported everything and done nothing: CUDA survives no other ones.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memtrace.scanning.launch", "memtrace.engine.engine"])
    running: dict[Connection, tuple[BaseProcess, str]] = {}
    try:
        for member, (part, device) in enumerate(zip(parts, devices, strict=True), first):
            listen, speak = context.Pipe(duplex=False)
            arguments = (job, part, member, device, speak)
            process: BaseProcess = context.Process(target=_member, args=arguments, daemon=True)
            process.start()
            speak.close()  # so that its end is heard when the process ends
            running[listen] = process, device
        left = dict(running)
        while left:
            for connection in wait(list(left)):
                if not _hear(connection, *left[connection], report):  # type: ignore[arg-type, index]
                    left.pop(connection)  # type: ignore[call-overload]
    except BaseException:
        # Politely, so that each clears its half-written file away.
        for process, _ in running.values():
            process.terminate()
        raise
    finally:
        _join([process for process, _ in running.values()])


def _hear(connection: Connection, process: BaseProcess, device: str, report: Report) -> bool:
    """Pass on one message of a member; return whether more are to come."""
    try:
        message = connection.recv()
    except (EOFError, OSError):
        process.join(_PATIENCE)
        raise RunError(
            f"the process on {device} ended with code {process.exitcode} and without a word (a "
            "negative code is a signal: 9 may mean that the machine's memory was full); finished "
            "shards are kept: repeat the command"
        ) from None
    if isinstance(message, Warning):
        warnings.warn(message, stacklevel=2)
    elif isinstance(message, Exception):
        raise message
    elif message is not None:
        report(*message)
    return message is not None


def _join(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _member(job: Job, part: Part, member: int, device: str, speak: Connection) -> None:
    """Do a member's work and say how it goes: progress, warnings, and None or an error."""
    # A terminal sends Ctrl-C to all processes: the first one sees to the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)

    def warn(message: Warning | str, *_: Any) -> None:
        speak.send(message)

    warnings.showwarning = warn  # type: ignore[assignment]  # shown once, by the first process
    # Nobody listens any more: this process ends as well.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            work(job, part, member, device, lambda *progress: speak.send(progress))
            speak.send(None)
        except MemtraceError as error:
            speak.send(error)
        except BrokenPipeError:
            raise
        except Exception:
            speak.send(RuntimeError(f"on {device}:\n{traceback.format_exc()}"))


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
