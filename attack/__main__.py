from collect.command_line import command_line, commands_of

command_line(*commands_of("attack"))(prog_name="python -m attack")
