"""The config of a study: typed, documented, with units in the names.

One file states the question. ``config/schema.json``, ``config/README.md`` and the defaults are
generated from these classes and from the ``Config`` class of each plugin file in ``datasets/``,
``references/`` and ``models/``.
"""

from longhot.config._fields import MOST_JOBS, MOST_STEPS, REFERENCE_MODEL, Name, Question
from longhot.config.learning import ActiveLearning, Online, Strategy, StructureSearch
from longhot.config.melting_point import Bulk, Coexistence, Conditions, MeltingPoint, Pinning, Staging
from longhot.config.questions import Protocol, Recheck
from longhot.config.reading import load_file, read_file
from longhot.config.report import Report
from longhot.config.study import Study, load

__all__ = [
    "MOST_JOBS",
    "MOST_STEPS",
    "REFERENCE_MODEL",
    "ActiveLearning",
    "Bulk",
    "Coexistence",
    "Conditions",
    "MeltingPoint",
    "Name",
    "Online",
    "Pinning",
    "Protocol",
    "Question",
    "Recheck",
    "Report",
    "Staging",
    "Strategy",
    "StructureSearch",
    "Study",
    "load",
    "load_file",
    "read_file",
]
