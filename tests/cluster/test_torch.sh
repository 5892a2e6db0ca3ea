#!/bin/bash
# test_torch.sh - a trainer in PyTorch that logs with wandb, swept as it is, on the real
# images.  `make test-torch` runs it; PyTorch is Debian's python3-torch.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$top" || exit 1             # where torch.yaml expects to be
export PYTHONDONTWRITEBYTECODE=1 PATH="/usr/bin:$PATH"
unset VIRTUAL_ENV CONDA_PREFIX PYTHONPATH

run python3 -c 'import torch'
t 'PyTorch is there' status_is 0
run "$covey" sweep run examples/fashion_mnist/torch.yaml --dir "$TMPDIR/torch" --count 6 --seed 1
t 'the sweep ends well' status_is 0
states() { "$covey" sweep show "$TMPDIR/torch" --json | grep -c "\"state\": \"$1\""; }
t 'none fails' eval '[ "$(states failed)" -eq 0 ]'
t 'some run to the end' eval '[ "$(states complete)" -gt 0 ]'
t 'some stop early' eval '[ "$(states stopped)" -gt 0 ]'
t 'the best network is a good one' grep -qE 'best: accuracy 0\.[89]' "$out"
t 'what was logged besides the metric is kept' grep -q '"loss"' "$TMPDIR/torch/results.jsonl"
run "$covey" sweep best "$TMPDIR/torch" --json
t 'its parameters are told' both '"width":' '"lr":'
finish
