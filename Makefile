# make repro   set everything up and run the pipeline        make check   ruff and mypy
# make test    set everything up and run the tests           make bench   speed and strength, side by side
# make setup   .venv, the package with its extras, a browser   make soak   300 images a site under all faults; hours
#
# soak and parts of bench need ILSVRC-2012's validation photos, a folder a class: COMREADV_ILSVRC=/path/val make soak.
# Without them they are skipped.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test check bench soak setup

repro: setup
	comreadv params
	dvc repro
	comreadv results

test: setup
	python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup
	ruff check .
	ruff format --check .
	mypy

bench: setup
	python -m pytest -rs tests/benchmarks --override-ini addopts= --ignore tests/benchmarks/test_collect_soak.py

soak: setup
	python -m pytest -s -rs tests/benchmarks/test_collect_soak.py --override-ini addopts=

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "No venv: apt-get install python3-venv, then make again."; exit 1; }
	python -m pip install --quiet --editable '.[sample,bench,postgresql,wagtail,cluster,dev]'
	# without its pin requests~=2.25.1, which would drag everything else back; attack/peers.py compares with it
	python -m pip install --quiet --no-deps torchattacks==3.5.1
	python -m collect.browser
	touch $@
