#!/usr/bin/env bash
# Runs a study on a slice of Cloud TPUs. The script creates the slice (or reuses the one of this name), copies the last
# commit to all hosts, installs it and runs the study on all of them. After a preemption it requests another slice and
# resumes the study. At the end it downloads the report and deletes the slice.
#
#   experiments/launch/tpu_vm.sh --project=P --zone=Z --bucket=B --name=N --topology=v5e:4x4 [--spot] [--keep] [--dry-run] \
#     -- --config=configs/hinton_mnist.py
#
# The arguments after -- are passed to `python -m experiments.run`. Results and checkpoints are stored in gs://B/N; the
# bucket must exist. --keep keeps the slice. --dry-run prints the commands for a new slice and runs none of them.
set -euo pipefail

# shellcheck source=/dev/null
source "$(dirname "$0")/common.sh"

project='' zone='' bucket='' name='' topology='' spot='' keep='' dry_run='' study=() generation='' chips=0
options 'project zone bucket name topology' 'spot keep dry_run' "$@"
required project zone bucket name topology
((${#study[@]})) || fail 'nothing to run: end the command with -- --config=FILE.'

slice "$topology"
case $generation in # v4 and v5p are named by cores, two per chip
  v4) accelerator=v4-$((2 * chips)) runtime=tpu-ubuntu2204-base ;;
  v5e) accelerator=v5litepod-$chips runtime=v2-alpha-tpuv5-lite ;;
  v5p) accelerator=v5p-$((2 * chips)) runtime=v2-alpha-tpuv5 ;;
  v6e) accelerator=v6e-$chips runtime=v2-alpha-tpuv6e ;;
  tpu7x) fail 'tpu7x is available only through GKE: use experiments/launch/xpk.sh.' ;;
esac
where=("--project=$project" "--zone=$zone")

on_all_hosts() {
  run gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker=all --command="$1"
}

state() {
  gcloud compute tpus queued-resources describe "$name" "${where[@]}" --format='value(state.state)' 2>/dev/null || true
}

delete() {
  run gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet
}

get_slice() {
  local found=''
  [[ -n $dry_run ]] || found=$(state)
  case $found in
    SUSPENDED | SUSPENDING | FAILED) delete ;;&
    '' | SUSPENDED | SUSPENDING | FAILED)
      run gcloud compute tpus queued-resources create "$name" "${where[@]}" --node-id="$name" \
        --accelerator-type="$accelerator" --runtime-version="$runtime" ${spot:+--spot}
      ;;
  esac
  while [[ -z $dry_run && $(state) != ACTIVE ]]; do
    [[ $(state) != FAILED ]] || fail "the request for $accelerator in $zone failed; for the reason, run gcloud compute tpus queued-resources describe $name."
    sleep 30
  done
}

code=$(mktemp -d)
trap 'rm -rf "$code"' EXIT
printf -v arguments '%q ' "${study[@]}"
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
run git -C "$root" archive --format=tar.gz --output="$code/kd_jax.tar.gz" HEAD

while true; do
  get_slice
  run gcloud compute tpus tpu-vm scp "$code/kd_jax.tar.gz" "$name:" "${where[@]}" --worker=all
  on_all_hosts 'mkdir -p kd_jax && tar -xzf kd_jax.tar.gz -C kd_jax && pip install -q uv && cd kd_jax && python3 -m uv venv -q --allow-existing --python=3.11 .venv && python3 -m uv pip install -q --python=.venv "jax[tpu]" -r requirements.txt'
  on_all_hosts "mkdir -p runs && (mountpoint -q runs || gcsfuse --implicit-dirs --only-dir='$name' '$bucket' runs)"
  if on_all_hosts "cd kd_jax && .venv/bin/python -m experiments.run --distributed --workdir=\$HOME/runs $arguments"; then
    break
  else
    status=$?
  fi
  sleep 60 # a preemption becomes visible only after some time
  [[ $(state) != ACTIVE ]] || exit "$status" # still active: the run itself failed; otherwise the slice was preempted, so request another
done

run mkdir -p "runs/$name"
run gcloud storage rsync --recursive --exclude='.*checkpoints.*' "gs://$bucket/$name" "runs/$name"
[[ -n $keep ]] || delete
