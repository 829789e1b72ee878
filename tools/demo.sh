#!/usr/bin/env bash
# The main job on data that ships with the project: eight synthetic hospitals train one model through a
# coordinator, as real processes over mutual TLS on this machine. Then, where the open clinical data is
# there, the four real hospitals of the heart study.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CSL_BIN:-build/release/bin}
data=${CONSILIUM_DATA:-../shared/data}

cat <<'TEXT'
== A federation of eight synthetic hospitals in four countries: six clinical domains, three modalities
   One coordinator process and eight site processes, TLS 1.3 with certificates on both sides, loopback.
   NOT in this version: differential privacy and secure aggregation. The coordinator sees every
   site's update. Do not use it on real patients yet.
TEXT
rm -rf out/demo
"$bin/consilium" simulate simulations/scenarios/synthetic-federation.yaml \
    --transport grpc --seed 42 --out out/demo
echo "   report: out/demo/report.html"

if [ -d "$data/uci-heart-disease" ]; then
    echo
    echo "== The UCI Heart Disease data: four real hospitals, public feature constants"
    rm -rf out/heart
    "$bin/consilium" simulate simulations/scenarios/heart-public-constants.yaml \
        --data "$data" --seed 42 --out out/heart
    echo "   report: out/heart/report.html"
else
    echo
    echo "== SKIPPED: the four-hospital heart study. Its data is not in $data;"
    echo "   set CONSILIUM_DATA to a folder that holds uci-heart-disease/ to run it."
fi
