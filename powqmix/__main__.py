"""`python -m powqmix` is `powqmix`."""

from powqmix.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
