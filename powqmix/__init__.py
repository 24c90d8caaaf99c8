"""POWQMIX as a high-throughput actor-learner system.

Importing this package imports no torch: actors must stay small. `powqmix.ops`, `.modules` and `.objectives` do.
"""

from .version import __version__

__all__ = ["__version__"]
