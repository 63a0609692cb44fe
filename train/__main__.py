from collect.command_line import command_line
from train.commands.train import train

command_line(train)(prog_name="python -m train")
