from attack.bench.compare import app

app(prog_name="python -m attack.bench")
