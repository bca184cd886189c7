"""`sobolev completion bash`: a script that completes subcommands and options without starting Python."""

import inspect
import sys
from collections.abc import Sequence
from importlib import import_module

from sobolev.cli.command_line import COMMANDS, OWN_COMMANDS
from sobolev.cli.help import options_of
from sobolev.cli.mistakes import UsageError

_SCRIPT = """\
_sobolev() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{commands}" ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _sobolev sobolev
"""

_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def run(arguments: Sequence[str]) -> None:
    """Print the script for a shell.

    Args:
        arguments: behind `completion`: bash or zsh.

    Raises:
        UsageError: another shell, or none.
    """
    shell = arguments[0] if len(arguments) == 1 else ""
    if shell not in ("bash", "zsh"):
        raise UsageError('say for which shell, bash or zsh: eval "$(sobolev completion bash)" in ~/.bashrc')
    words = {command: _words(command) for command in COMMANDS if command != "completion"}
    cases = "\n".join(f'    {command}) words="{" ".join(found)}" ;;' for command, found in words.items())
    script = _SCRIPT.format(cases=cases, commands=" ".join(COMMANDS))
    sys.stdout.write(script if shell == "bash" else _ZSH + script)


def _words(command: str) -> list[str]:
    if command in OWN_COMMANDS:
        parser = import_module(f"sobolev.cli.{command}").make_parser()
        return [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    from lightning.pytorch import Trainer

    of_trainer = [f"--trainer.{name}" for name in inspect.signature(Trainer).parameters]
    return list(dict.fromkeys([*options_of(()), *of_trainer]))
