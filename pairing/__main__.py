from collect.command_line import command_line
from pairing.commands.pairing import pairing

command_line(pairing)(prog_name="python -m pairing")
