# shellcheck shell=bash disable=SC2034  # the scripts that source this file read the variables that it sets
# Functions that tpu_vm.sh and xpk.sh share. Both scripts source this file.

fail() {
  echo "error: $1" >&2
  exit 2
}

run() { # prints a command, then runs it unless --dry-run was given
  printf '%q ' "$@"
  echo
  [[ -n ${dry_run:-} ]] || "$@"
}

# options VALUES SWITCHES ARGUMENT...: parses the arguments. For each --NAME=VALUE it sets the variable NAME, and for each
# switch --NAME it sets NAME to 1. The array `study` gets all arguments after --.
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
      fail "unknown argument $1; the comment at the top of the script lists all options."
    fi
    shift
  done
  study=("$@")
}

required() { # fails if one of these options was not given
  local option
  for option; do
    [[ -n ${!option} ]] || fail "--$option is missing; the comment at the top of the script lists all options."
  done
}

# slice TOPOLOGY: sets `generation`, `shape` and `chips`; for v5e:4x4 these are v5e, 4x4 and 16.
slice() {
  [[ $1 =~ ^(v4|v5e|v5p|v6e|tpu7x):([0-9]+(x[0-9]+)*)$ ]] || fail "--topology=$1 is no slice; write GENERATION:SHAPE, for example v5e:4x4."
  generation=${BASH_REMATCH[1]} shape=${BASH_REMATCH[2]}
  chips=$((${shape//x/*}))
}
