"""The version of the package, read by the build and by `powqmix doctor`."""

__version__ = "0.1.0"
