from train.emulator.model import app

app(prog_name="python -m train.emulator")
