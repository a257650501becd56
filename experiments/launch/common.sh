# shellcheck shell=bash disable=SC2034  # the scripts that source this read what it sets
# What tpu_vm.sh and xpk.sh have in common; they source it.

fail() {
  echo "error: $1" >&2
  exit 2
}

run() { # prints a command, and runs it unless this is a dry run
  printf '%q ' "$@"
  echo
  [[ -n ${dry_run:-} ]] || "$@"
}

# options VALUES SWITCHES ARGUMENT...: sets a variable of the same name for each --value=... and each --switch (to 1), and
# the array `study` to what stands after --.
options() {
  local values=" $1 " switches=" $2 " option
  shift 2
  while (($#)); do
    option=${1%%=*} option=${option#--} option=${option//-/_}
    if [[ $1 == -- ]]; then
      shift
      break
    elif [[ $1 == --*=* && $values == *" $option "* ]]; then
      printf -v "$option" %s "${1#*=}"
    elif [[ $1 == --"${option//_/-}" && $switches == *" $option "* ]]; then
      printf -v "$option" 1
    else
      fail "unknown argument $1; see the head of this file."
    fi
    shift
  done
  study=("$@")
}

required() { # the options that have to be given
  local option
  for option; do
    [[ -n ${!option} ]] || fail "--$option is missing; see the head of this file."
  done
}

# slice TOPOLOGY: sets `generation`, `shape` and `chips`, of v5e:4x4 to v5e, 4x4 and 16.
slice() {
  [[ $1 =~ ^(v4|v5e|v5p|v6e|tpu7x):([0-9]+(x[0-9]+)*)$ ]] || fail "--topology=$1 is no slice such as v5e:4x4."
  generation=${BASH_REMATCH[1]} shape=${BASH_REMATCH[2]}
  chips=$((${shape//x/*}))
}
