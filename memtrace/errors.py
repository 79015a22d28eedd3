"""Every error and warning that memtrace raises on purpose.

It knows nothing of the rest of the library, so that every module may import it.

    MemtraceError
    ├── ManifestError    a suite, model, corpus or step that no manifest names, or a bad manifest
    ├── CorpusError      token files that are missing, truncated, foreign or do not fit the model
    ├── ModelError       weights that cannot be loaded, or that give logits which are not finite
    ├── RunError         a run folder that cannot be written, or holds a different configuration
    └── FitError         scores or events from which nothing can be estimated

    MemtraceWarning
    ├── DataWarning            the input is usable but not what a reader would assume
    ├── ApproximationWarning   a statistic outside the range in which its approximation is good
    └── CapacityWarning        the work goes on, with less at once than was asked for

A message names the value, the limit and the next step, in one line: the command prints it as it is.
"""


class MemtraceError(Exception):
    """Base of all errors that a user can act on."""


class ManifestError(MemtraceError):
    """A name that no manifest has, or a manifest that does not validate."""


class CorpusError(MemtraceError):
    """Token files that are missing, truncated, of another format, or do not fit the model."""


class ModelError(MemtraceError):
    """A model that cannot be loaded, or whose logits are not finite."""


class RunError(MemtraceError):
    """A run folder that cannot be read or written, or that holds another configuration."""


class FitError(MemtraceError):
    """Scores or events from which the requested quantity cannot be estimated."""


class MemtraceWarning(UserWarning):
    """Base of all warnings."""


class DataWarning(MemtraceWarning):
    """The input can be used, but is not what a reader would assume."""


class ApproximationWarning(MemtraceWarning):
    """A statistic was computed where its approximation is known to be poor."""


class CapacityWarning(MemtraceWarning):
    """The work goes on, with less at once than was asked for: the device was too small."""


def first_line(error: Exception) -> str:
    """Return what another library's exception says, cut to the one line that a message has."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
