# make demo    a simulated glass line, read, judged, controlled and synced (SECONDS=60 stops by itself)
#              DATA=tep or DATA=file.csv plays a recording instead (SPEED=10 is ten recorded seconds per second)
# make test    everything CI runs
# make check   format, lint, types, layers, unit tests
# make bench   every benchmark          make drills  every outage drill
# make fuzz    searches for inputs that break the decoders, for a long time
# make fmt     formats the code         make lock    renews the hashed lock files
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS ?=
DATA ?=
SPEED ?=
ifeq ($(EDGED_DATA)$(wildcard ../shared/data),../shared/data)
export EDGED_DATA := $(abspath ../shared/data)
endif
STAMP := $(VENV)/.installed

.PHONY: setup demo test check bench drills fuzz fmt lock clean system-packages

setup: $(STAMP)

$(STAMP): requirements/all.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edged needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 2; }
	@echo "setup: installing into $(VENV) (once, about a minute)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup
	@$(BIN)/python -m bench demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(DATA),--data $(DATA)) $(if $(SPEED),--speed $(SPEED))

system-packages: setup
	@deploy/system-packages

test: system-packages check
	@$(BIN)/python -m bench environment
	@$(BIN)/pytest tests/integration -n 2 --dist loadfile
	@$(BIN)/pytest tests/acceptance

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/unit -n 2 --dist loadfile

bench: system-packages
	@$(BIN)/python -m bench all

drills: system-packages
	@$(BIN)/python -m bench drill all

fuzz: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -r tests/long/requirements.txt
	@$(BIN)/python -m tests.long.fuzz all

fmt: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock:
	$(COMPILE) --all-extras pyproject.toml requirements/build.in -o requirements/all.lock
	$(COMPILE) --extra inference --extra control pyproject.toml requirements/build.in -o requirements/edge.lock
	$(COMPILE) --extra inference --extra control-nonlinear pyproject.toml requirements/build.in -o requirements/edge-nonlinear.lock
	$(COMPILE) --extra hub pyproject.toml requirements/build.in -o requirements/hub.lock
	$(COMPILE) --override bench/peers/pcgym/overrides.txt bench/peers/pcgym/requirements.in -o bench/peers/pcgym/requirements.txt

clean:
	rm -rf $(VENV) build dist
