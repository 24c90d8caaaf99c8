"""The command line: one file a command, each with a dataclass of its flags and a `run`."""
