#!/usr/bin/env bash
# Puts faults back, each alone, and looks for them on the models: `faults.sh each`, or the names of some. A fault is a patch
# in faults/<store>/, applied to a copy of the sources; its head says what it is and in which plans it is looked for.
# Fails unless every one is found within SEEDS schedules (3000).
set -euo pipefail
cd "$(dirname "$0")/../.."
patches=tests/models/faults
names=("$@")
[ "${names[*]}" != each ] || mapfile -t names < <(cd "$patches" && ls ./*/*.patch | sed 's,^\./,,; s,\.patch$,,')

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} CARGO_INCREMENTAL=0
copy=$CARGO_TARGET_DIR/models-faults
head_of() { sed -n "s/^$1: //p" "$patches/$name.patch"; }
missed=0
for name in "${names[@]}"; do
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z | xargs -0 cp --parents -t "$copy"
    (cd "$copy" && git init -q && git apply "$OLDPWD/$patches/$name.patch")
    found=$(cd "$copy" && SEEDS=${SEEDS:-3000} FIRST=1 PARTS=$(head_of parts) \
        cargo run --quiet --package locks-models --bin explore "${name%%/*}") || true
    # One that does not build, or whose parts there are not, is no fault that was found.
    grep -q ', first with seed ' <<<"$found" || missed=$((missed + 1))
    printf '%s (%s)\n%s\n\n' "$name" "$(head_of what)" "$found"
done
rm -rf "$copy"
[ "$missed" = 0 ] || { echo "$missed of ${#names[@]} were not found"; exit 1; }
echo "all ${#names[@]} were found"
