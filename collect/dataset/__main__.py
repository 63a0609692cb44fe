from collect.dataset.prepare import app

app()
