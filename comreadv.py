"""The console script `comreadv`: every package's commands under one name."""

from __future__ import annotations

from collect.command_line import PACKAGES, command_line, commands_of

app = command_line(
    *(command for package in PACKAGES for command in commands_of(package)),
    name="comreadv",
    help="Learn what a platform does to photos, and make adversarial images that survive it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    app()
