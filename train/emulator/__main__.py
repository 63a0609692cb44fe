import os
from pathlib import Path
from typing import Annotated

import typer

from collect.command_line import command_line
from params import UserError
from train.emulator.folders import matching_files
from train.emulator.identify import identify


def main(
    pairs: Annotated[Path, typer.Option(help="A folder with originals/ and renditions/, files of equal stems.")],
    out: Annotated[Path, typer.Option(help="The file to write, JSON.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long the search may take.")] = 180,
) -> None:
    """Find the chain of real encoders that best reproduces a platform, from pairs of files.

    The second half of the pairs scores what the first half found. Prints the chain, how sure it is, and last of all
    the mean absolute error in grey levels.
    """
    _check_writable(out)
    found = identify(matching_files(pairs), seconds=seconds)
    found.save(out)
    typer.echo(f"{found.words}\nchain {found.chain}\n{found.why}\nmae {found.mae:.4f}")


def _check_writable(out: Path) -> None:
    """Make a file's folder; raise UserError when the file can't be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: its folder can't be made ({error}). Give another file.") from None
    if out.is_dir():
        raise UserError(f"--out {out} is a folder. Give the file to write, such as {out / 'emulator.json'}.")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {out}: its folder may not be written to. Give another file.")


app = command_line(main)

if __name__ == "__main__":
    app(prog_name="python -m train.emulator")
