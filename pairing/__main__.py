from pairing.cli import app

app(prog_name="python -m pairing")
