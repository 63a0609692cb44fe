from collect import app

app(prog_name="python -m collect")
