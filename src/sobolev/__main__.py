"""`python -m sobolev` is the programme `sobolev`."""

from sobolev.cli.command_line import main

if __name__ == "__main__":
    main()
