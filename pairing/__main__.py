from pairing.commands.pairing import app

app(prog_name="python -m pairing")
