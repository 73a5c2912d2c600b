# The verbs of the project: `make` lists them. Works with GNU make 3.81 and later, on Linux and macOS.
#
# PYTHON=python3.13   the interpreter to use, instead of the first suitable one of 3.14 to 3.11
# VENV=/some/folder   where the virtual environment lives, instead of .venv

PYTHON ?=
VENV ?= .venv
export PYTHON VENV

py := "$(VENV)/bin/python"
django := $(py) manage.py
# Two steps in one recipe line: the interpreter is looked for only when a target needs the environment.
environment := python=$$(./tools/find-python.sh) && exec "$$python" -m tools.environment

.DEFAULT_GOAL := help
.PHONY: help run test lint types check migrations translations migrate web worker beat bench bench-crash \
	coverage format lock clean runtime development

help: ## List what can be done
	@echo "make <target>, where <target> is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

run: runtime ## Start the portal, its API and the IO sandbox on this machine, with a small demo
	@exec $(py) -m tools.foreground $(django) serve

test: development ## Check everything: lint, types, migrations, translations, tests, browser (STEPS="lint types" for some)
	@exec $(py) -m tools.check $(STEPS)

lint: development ## Style and the floors between packages
	@exec $(py) -m tools.check lint format imports

types: development ## Types, with mypy
	@exec $(py) -m tools.check types

check: development ## All that needs no server: lint, format, types, imports, migrations, translations
	@exec $(py) -m tools.check --static

format: development ## Rewrite the code in the house style
	@$(py) -m ruff check --fix-only --quiet . && $(py) -m ruff format .

migrations: development ## Write the missing migrations, to be named in words and read
	@$(django) makemigrations

translations: development ## Collect the sentences to translate, and compile the translated ones
	@$(py) -m tools.translations

migrate: runtime ## Real arrangement: bring the database to this version, before the processes start
	@exec $(py) -m tools.foreground $(django) migrate

web: runtime ## Real arrangement: the web processes (needs DATABASE_URL and REDIS_URL)
	@exec $(py) -m tools.foreground $(django) web

worker: runtime ## Real arrangement: one worker (needs DATABASE_URL and REDIS_URL)
	@exec $(py) -m tools.foreground $(django) worker

beat: runtime ## Real arrangement: the clock; a second one does no harm (needs DATABASE_URL and REDIS_URL)
	@exec $(py) -m tools.foreground $(django) beat

bench: development ## Measure against the budgets, on a quiet machine (NAMES="pace claim" for some, OPTIONS="--quick")
	@exec $(py) -m benchmarks $(NAMES) $(OPTIONS)

bench-crash: development ## The long crash test: kill, stop, cut and fill at random while messages leave (ROUNDS=20 SEED=1)
	@exec $(py) -m tools.foreground $(py) -m tests.crash.chaos

coverage: development ## Run the tests once on PostgreSQL, telling which lines they miss
	@exec $(py) -m tools.check coverage

lock: development ## Choose the newest allowed versions again and write them with their hashes
	@$(py) -m tools.lock

clean: ## Remove the environment and what tools leave behind; data and secrets stay
	test ! -f "$(VENV)/pyvenv.cfg" || rm -rf "$(VENV)"
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@$(environment)

development:
	@$(environment) --dev
