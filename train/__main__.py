from train.commands.train import app

app(prog_name="python -m train")
