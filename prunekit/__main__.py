"""`python -m prunekit` is `prunekit`."""

from prunekit.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
