from attack.cli import app

app(prog_name="python -m attack")
