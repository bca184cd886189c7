"""The command line `sobolev`: training by LightningCLI, and a subcommand a file."""
