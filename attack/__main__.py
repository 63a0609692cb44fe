from attack.commands.attack import app

app(prog_name="python -m attack")
