"""The command line: tables for people, `--json` for programs, an error that says the next command."""
