#!/usr/bin/env bash
# The main job on data that ships with the project: eight synthetic hospitals train one model through a
# coordinator, as real processes over mutual TLS on this machine, under masks and with patient-level
# differential privacy; then their ledgers are verified. Then the same with noise at each hospital, and,
# where the open clinical data is there, the four real hospitals of the heart study.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CSL_BIN:-build/release/bin}
data=${CONSILIUM_DATA:-../shared/data}

cat <<'TEXT'
== Eight synthetic hospitals in four countries train one model under masks, with one noise for all
   One coordinator process and eight site processes, TLS 1.3 with certificates on both sides, loopback.
   Secure aggregation is on (protocol FSA-1), and patient-level differential privacy in mode joint: each hospital
   adds its share of one noise to its sum before the sum is masked, and books every round in its own ledger first.

   What each party sees:
   a hospital       its own patients; keys, shares and votes of the protocol; the global model
   the coordinator  64-bit words under masks from each hospital, and each round one noisy sum over all of
                    them; no single update, no count of patients, no loss, no metric
   a helper of it   one hospital that works with the coordinator sees no single update of the others either; it knows
                    its own update and its own share of the noise, which the price against it counts
   The price per patient is one noise for all, not one at each hospital.
TEXT
rm -rf out/demo
"$bin/consilium" simulate simulations/scenarios/synthetic-joint.yaml \
    --transport grpc --seed 42 --out out/demo
echo
echo "== What the coordinator's log has to say about the sums it opened (the first and the last)"
log=$(ls out/demo/state/*/coordinator/log)
grep -h "event=secagg.sum" "$log" | sed -n '1p;$p'
echo
echo "== The ledgers, verified from their exports with the public keys the hospitals' own folders hold"
for ledger in out/demo/ledger/*.ledger; do
    "$bin/consilium" ledger verify "$ledger" | head -1
done
echo "   One of them, read: consilium ledger show out/demo/ledger/coimbra.ledger"
"$bin/consilium" ledger show out/demo/ledger/coimbra.ledger | tail -12
echo "   report: out/demo/report.html"

cat <<'TEXT'

== The same hospitals, five clinical domains, three modalities, without masks: each adds all of its own noise
   The coordinator sees every site's update, which is private by itself (mode local).
TEXT
rm -rf out/local
"$bin/consilium" simulate simulations/scenarios/synthetic-private.yaml \
    --transport grpc --seed 42 --out out/local
for ledger in out/local/ledger/*.ledger; do
    "$bin/consilium" ledger verify "$ledger" | head -1
done
echo "   report: out/local/report.html"

if [ -d "$data/uci-heart-disease" ]; then
    echo
    echo "== The UCI Heart Disease data: four real hospitals, every patient at epsilon 1"
    rm -rf out/heart
    "$bin/consilium" simulate simulations/scenarios/heart-local.yaml \
        --data "$data" --seed 42 --epsilon 0.5,1,2,8,inf --out out/heart
    echo "   report: out/heart/report.html"
    echo
    echo "== The same four hospitals under masks, with one noise for all"
    rm -rf out/heart-joint
    "$bin/consilium" simulate simulations/scenarios/heart-joint.yaml \
        --data "$data" --seed 42 --epsilon 0.1,0.25,0.5,1 --out out/heart-joint
    echo "   report: out/heart-joint/report.html"
else
    echo
    echo "== SKIPPED: the four-hospital heart study. Its data is not in $data;"
    echo "   set CONSILIUM_DATA to a folder that holds uci-heart-disease/ to run it."
fi
