#!/usr/bin/env bash
# What action.yml runs: the gate on a spec, or on base, adapter and data; reports into $FOLDER, the exit code as an output.
# All it is told comes from the environment. The last step of the action ends with the code, when all is kept.
set -uo pipefail
mkdir -p "$FOLDER"
# What an earlier step of the job left must not be told as the outcome of this one.
rm -f "$FOLDER/result.json" "$FOLDER/report.html" "$FOLDER/report.md" "$FOLDER/junit.xml"

words=(--json "$FOLDER/result.json" --html "$FOLDER/report.html" --markdown "$FOLDER/report.md" --junit "$FOLDER/junit.xml")
if [ -n "${REQUIRE:-}" ]; then words+=(--require "$REQUIRE"); fi
if [ "${STRICT:-false}" = true ]; then words+=(--strict); fi

if [ -n "${SPEC:-}" ]; then
    sway-gguf gate "${words[@]}" -- "$SPEC"
    code=$?
elif [ -n "${BASE:-}" ] && [ -n "${ADAPTER:-}" ]; then
    spec="$FOLDER/sway.yaml"
    code=0
    python "$(dirname "$0")/action_spec.py" "$spec" || code=$?
    if [ "$code" -eq 0 ]; then
        sway-gguf gate "${words[@]}" -- "$spec"
        code=$?
    fi
else
    echo "sway-gguf: give the action a spec, or base and adapter" >&2
    code=2
fi

echo "exit-code=$code" >>"$GITHUB_OUTPUT"
if [ -f "$FOLDER/result.json" ]; then echo "result=$FOLDER/result.json" >>"$GITHUB_OUTPUT"; fi
