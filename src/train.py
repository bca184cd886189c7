"""`python -m src.train` is the programme `sobolev`, run from the repository root."""

from sobolev.cli.command_line import main

if __name__ == "__main__":
    main()
