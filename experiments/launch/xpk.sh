#!/usr/bin/env bash
# Runs a study on the TPUs of a GKE cluster with xpk (pip install xpk). The script mounts a bucket in the cluster and
# submits the last commit as a workload, which restarts after a preemption. With --fetch it downloads the report.
#
#   experiments/launch/xpk.sh --project=P --zone=Z --cluster=C --bucket=B --name=N --topology=v6e:4x4 [--dry-run] \
#     -- --config=configs/hinton_mnist.py
#   experiments/launch/xpk.sh --project=P --zone=Z --cluster=C --bucket=B --name=N --fetch [--dry-run]
#
# The arguments after -- are passed to `python -m experiments.run`. Results and checkpoints are stored in gs://B/N. The
# cluster and the bucket must exist: xpk cluster create --cluster=C --tpu-type=v6e-16 --num-slices=1 --spot --enable-gcsfuse-csi-driver
set -euo pipefail

# shellcheck source=/dev/null
source "$(dirname "$0")/common.sh"

project='' zone='' cluster='' bucket='' name='' topology='' fetch='' study=() generation='' shape='' chips=0
options 'project zone cluster bucket name topology' 'fetch dry_run' "$@"
required project zone cluster bucket name

if [[ -n $fetch ]]; then
  run mkdir -p "runs/$name"
  run gcloud storage rsync --recursive --project="$project" --exclude='.*checkpoints.*' "gs://$bucket/$name" "runs/$name"
  exit
fi

((${#study[@]})) || fail 'nothing to run: end the command with -- --config=FILE.'
required topology
slice "$topology"
case $generation in # v4 and v5p are named by cores, two per chip
  v4 | v5p) type=$generation-$((2 * chips)) ;;
  v5e) type=v5litepod-$chips ;;
  v6e) type=v6e-$chips ;;
  tpu7x) type=tpu7x-$shape ;;
esac
where=("--project=$project" "--zone=$zone" "--cluster=$cluster")

code=$(mktemp -d)
trap 'rm -rf "$code"' EXIT
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
printf -v arguments '%q ' "${study[@]}"
run git -C "$root" archive --format=tar --output="$code/kd_jax.tar" HEAD
run tar -xf "$code/kd_jax.tar" -C "$code"
run xpk storage attach "$name-runs" "${where[@]}" --type=gcsfuse --bucket="$bucket" --mount-point=/runs --readonly=false \
  --size=1 --auto-mount=true
run xpk workload create "${where[@]}" --workload="$name" --tpu-type="$type" --num-slices=1 --max-restarts=100 \
  --base-docker-image=python:3.11 --script-dir="$code" \
  --command="pip install -q 'jax[tpu]' -r requirements.txt && python -m experiments.run --distributed --workdir=/runs/$name $arguments"
