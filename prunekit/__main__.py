"""`python -m prunekit` is `prunekit`."""

from prunekit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
