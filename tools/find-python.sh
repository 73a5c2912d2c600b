#!/bin/sh
# Prints the path of a Python that can run the project, or says in one sentence what is missing and exits 1.
#
# Looked at in this order: $PYTHON (and then nothing else), the interpreter of an existing environment ($VENV), then
# python3.14 down to python3.11 and python3 on PATH. Each one is really run: the shims of version managers exist
# for versions that are not installed.
set -eu

# Prints "ok <path>", or "no <reason>"; a command that does not run at all prints nothing.
probe() {
    "$1" -c '
import importlib.util, platform, sys, sysconfig
version = platform.python_version()
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    print("no is Python " + version + ", and 3.11 to 3.14 is needed")
elif platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("no is not the ordinary CPython, for which the locked packages are built")
elif sys.prefix == sys.base_prefix and not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    print("no venv " + "%d.%d" % sys.version_info[:2])
else:
    try:
        import sqlite3, ssl
    except ImportError as error:
        print("no was built without " + str(error.name).lstrip("_"))
    else:
        print("ok " + sys.executable)
' 2>/dev/null || true
}

no_venv() {
    echo "Python $2 ($1) comes without the venv module: install it with 'apt install python$2-venv' (Debian, Ubuntu), then run the same command again." >&2
}

if [ -n "${PYTHON:-}" ]; then
    answer=$(probe "$PYTHON")
    case $answer in
        "ok "*) echo "${answer#ok }"; exit 0 ;;
        "no venv "*) no_venv "$PYTHON" "${answer#no venv }" ;;
        "no "*) echo "PYTHON=$PYTHON ${answer#no }." >&2 ;;
        *) echo "PYTHON=$PYTHON cannot be run: name a Python 3.11, 3.12, 3.13 or 3.14." >&2 ;;
    esac
    exit 1
fi

without_venv=
seen=
for candidate in "${VENV:-.venv}/bin/python" python3.14 python3.13 python3.12 python3.11 python3; do
    answer=$(probe "$candidate")
    case $answer in
        "ok "*) echo "${answer#ok }"; exit 0 ;;
        "no venv "*) without_venv="${without_venv:-$candidate ${answer#no venv }}" ;;
        "no "*) seen="$candidate ${answer#no }" ;;
    esac
done

if [ -n "$without_venv" ]; then
    no_venv "${without_venv% *}" "${without_venv##* }"
else
    echo "No Python 3.11, 3.12, 3.13 or 3.14 was found${seen:+ ($seen)}: install one with 'apt install python3 python3-venv' (Debian 12, Ubuntu 24.04 or later), 'dnf install python3.12' (Fedora, RHEL) or 'brew install python@3.13' (macOS), or name yours with 'make run PYTHON=/path/to/python3'." >&2
fi
exit 1
