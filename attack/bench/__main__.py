from attack.bench.command import bench
from collect.command_line import command_line

command_line(bench)(prog_name="python -m attack.bench")
