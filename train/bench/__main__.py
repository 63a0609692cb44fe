from train.bench.compare import app

app()
