"""What the engine refuses, and how it says so.

DseError
├── AskedWrongly           exit 2: the user asked for something that cannot be
│   ├── ConfigError        a sweep file with mistakes (all of them at once)
│   ├── StorageError       a database for the study that cannot be used
│   ├── TargetError        a POINT or a model of the user's own that cannot be found or built
│   ├── HardwareError      profiles that are asked for and cannot be used
│   └── DataError          a data set that is missing, damaged or unknown
├── RunFolderError         a run folder that cannot be used as it is
├── StorageLost            a database that stopped answering in the middle
├── TracingError           a model that cannot be counted (it raised, it has no data)
│   ├── NotFiniteError     a value that flows, or a weight, is NaN or infinite
│   └── ExpansionRefused   a fused operator in a form whose hidden products nobody knows
├── CheckpointError        weights that cannot be read or written
├── InterchangeFailure     a network that a file format cannot say, or a file that cannot be read
└── TrialFailure           an expected failure of one trial: it becomes a record, the sweep goes on
    ├── BuildFailure       a design that cannot be built
    │   └── ConversionFailure  a trained network that cannot be converted
    ├── DivergedFailure    a loss that is not a number, or exploded
    ├── UncountedFailure   a model with an operator that nobody can count
    └── ResourceFailure    a design that needs more memory or room than there is
"""

from collections.abc import Sequence


class DseError(Exception):
    """Base of every refusal of the engine."""


class AskedWrongly(DseError):
    """The user asked for something that cannot be: the command ends with 2."""


class ConfigError(AskedWrongly):
    """A sweep file that cannot be used.

    problems : a line a mistake, "file:line:column: place: what is wrong. What would be right"
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class TargetError(AskedWrongly):
    """A POINT, or a model of the user's own, that cannot be found or built."""


class HardwareError(AskedWrongly):
    """Hardware profiles that are asked for and cannot be used: no name, or no price."""


class StorageError(AskedWrongly):
    """A database for the study that cannot be used."""


class DataError(AskedWrongly):
    """A data set that is missing, damaged or unknown."""


class RunFolderError(DseError):
    """A run folder that cannot be used as it is."""


class StorageLost(DseError):
    """A database that stopped answering in the middle; nothing that was finished is lost."""


class TracingError(DseError):
    """A model that cannot be counted."""


class NotFiniteError(TracingError):
    """A model through which NaN or infinite values flow: they have no operation count."""


class ExpansionRefused(TracingError):
    """A fused operator in a form whose hidden products nobody knows: it stays uncounted."""


class CheckpointError(DseError):
    """Weights, or a training under way, that cannot be read or written."""


class InterchangeFailure(DseError):
    """A network that a file format of others cannot say, or such a file that cannot be read."""


class TrialFailure(DseError):
    """An expected failure of one trial: it becomes a record, and the sweep goes on."""


class BuildFailure(TrialFailure):
    """A design that cannot be built."""


class ConversionFailure(BuildFailure):
    """A trained network, or a model of the user's own, that cannot become a spiking one."""


class DivergedFailure(TrialFailure):
    """A training whose loss is not a number, or exploded."""


class UncountedFailure(TrialFailure):
    """A model with an operator that nobody can count."""


class ResourceFailure(TrialFailure):
    """A design that needs more memory, or more room on the disk, than there is."""
