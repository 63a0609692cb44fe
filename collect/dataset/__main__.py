from collect.command_line import command_line
from collect.commands.prepare import prepare

command_line(prepare)(prog_name="python -m collect.dataset")
