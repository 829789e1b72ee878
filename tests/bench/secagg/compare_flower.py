#!/usr/bin/env python3
"""Our masked round beside Flower's SecAgg+, in one run on this machine.

    compare_flower.py PATH/TO/bench_secagg [--entries N] [--repeats N] [--venv DIR]

Makes a virtual environment, installs flwr and numpy by name, and runs one round of Flower's own SecAggPlusWorkflow (server)
against its own secaggplus_mod (clients), both unmodified, in one process: 37 clients, the complete graph, 25 shares to
reconstruct, 4 clients lost after their shares were sent. What stands in for Flower's network hands messages over as they are;
bytes are those of the messages as Flower serialises them. Beside it the same sites, losses and length through bench_secagg.

Ours three times: in 16-bit lanes, as a study would choose for 37 sites, in 32-bit lanes, which hold the precision of Flower,
and in words of 64 bits, which rounds send where the study has no lanes.
CPU time of the process, the best of the surviving clients; the server's is all of the workflow outside the clients. Training
and the strategy are not counted, and the model is not sent down. Ours counts messages, masks, hashes, encoding and decoding of
floats. Figures for people; nothing is asserted but that both sums are right.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import venv

THEIRS = r"""
import logging, sys, time
import numpy as np
from flwr.app import Context, Message, RecordDict, ConfigRecord
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import message_to_proto
from flwr.compat.common import recorddict_compat as compat
from flwr.server.client_manager import SimpleClientManager
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key as WorkflowKey
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.serverapp.grid import Grid
from flwr.supercore.task_identity import TaskIdentity

logging.disable(logging.WARNING)
TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0
entries, sites, lost, threshold = (int(x) for x in sys.argv[1:])
nodes = list(range(1, sites + 1))
gone = set(nodes[-lost:])
cpu = {n: 0.0 for n in nodes}
inside = 0.0
up, down = {n: {} for n in nodes}, {n: {} for n in nodes}
contexts = {n: Context(run_id=1, node_id=n, node_config={}, state=RecordDict(), run_config={}) for n in nodes}
update = ndarrays_to_parameters([np.linspace(-0.5, 0.5, entries, dtype=np.float32)])
training = 0.0


def train(message, context):
    global training
    begin = time.process_time()
    result = FitRes(Status(Code.OK, ""), update, 1000, {})
    reply = Message(compat.fitres_to_recorddict(result, keep_input=True), reply_to=message)
    training += time.process_time() - begin
    return reply


class Line(Grid):
    def set_run(self, run): raise NotImplementedError
    run = property(lambda self: None)
    def create_message(self, *a, **k): raise NotImplementedError
    def get_node_ids(self): return nodes
    def push_messages(self, messages): raise NotImplementedError
    def pull_messages(self, message_ids): raise NotImplementedError

    def send_and_receive(self, messages, *, timeout=None):
        global inside, training
        start, replies = time.process_time(), []
        for message in messages:
            node = message.metadata.dst_node_id
            stage = message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]
            if stage == Stage.COLLECT_MASKED_VECTORS and node in gone:
                continue
            down[node][stage] = message_to_proto(message).ByteSize()
            # Every client has a copy of its own, as after a network; the mod takes keys out of it.
            configs = message.content.config_records[RECORD_KEY_CONFIGS]
            content = RecordDict(dict(message.content))
            content.config_records[RECORD_KEY_CONFIGS] = ConfigRecord(dict(configs))
            message = Message(content, metadata=message.metadata)
            training, begin = 0.0, time.process_time()
            reply = secaggplus_mod(message, contexts[node], train)
            cpu[node] += time.process_time() - begin - training
            up[node][stage] = message_to_proto(reply).ByteSize()
            replies.append(reply)
        inside += time.process_time() - start
        return replies


class Take(FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        return [(GridClientProxy(n, line, 1), FitIns(parameters, {})) for n in nodes]

    def aggregate_fit(self, server_round, results, failures):
        global inside
        begin = time.process_time()
        mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        want = np.linspace(-0.5, 0.5, entries, dtype=np.float32)
        assert len(results) == sites - lost and np.abs(mean - want).max() < 1e-3, "the sum is wrong"
        inside += time.process_time() - begin
        return None, {}


line = Line()
context = LegacyContext(Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={}), strategy=Take(),
                        client_manager=SimpleClientManager())
context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(Parameters([], "numpy.ndarray"), True)
begin = time.process_time()
SecAggPlusWorkflow(sites, threshold)(line, context)
server = time.process_time() - begin - inside
one = nodes[0]
vector = up[one].pop(Stage.COLLECT_MASKED_VECTORS)
stays = [cpu[n] for n in nodes if n not in gone]
print("%.3f,%.3f,%.3f,%d,%d,%d" % (min(stays) * 1e3, sorted(stays)[len(stays) // 2] * 1e3, server * 1e3,
                                 sum(up[one].values()), sum(down[one].values()), vector))
"""


def fields(text):
    return [float(x) for x in text.strip().splitlines()[-1].split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_secagg")
    parser.add_argument("--entries", type=int, default=1000000)
    parser.add_argument("--repeats", type=int, default=2, help="rounds of ours")
    parser.add_argument("--venv", default=os.path.join(tempfile.gettempdir(), "consilium-flower"))
    arguments = parser.parse_args()
    python = os.path.join(arguments.venv, "bin", "python")
    if not os.path.exists(python):
        venv.create(arguments.venv, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "flwr", "numpy"], check=True)
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", FLWR_TELEMETRY_ENABLED="0")

    def run(command):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout

    versions = run([python, "-c", "import importlib.metadata as m; print(m.version('flwr'), m.version('numpy'))"]).split()
    ours = [fields(run([arguments.bench_secagg, "csv", str(arguments.entries), lanes, str(arguments.repeats)]))
            for lanes in ("16", "32", "64")]
    theirs = fields(run([python, "-c", THEIRS, str(arguments.entries), "37", "4", "25"]))
    client, median, server, their_up, their_down, their_vector = theirs
    print("one round, 37 sites, 4 lost after sharing, %d entries; flwr %s (SecAggPlusWorkflow and secaggplus_mod, unmodified), "
          "numpy %s" % (arguments.entries, versions[0], versions[1]))
    print("Flower: values of 22 bits modulo 2^32, sent as int64; ours: +-%d levels a site in 16-bit lanes, +-%d in 32-bit lanes" % (
        ours[0][7], ours[1][7]))
    print("%-30s %13s | %13s %9s | %13s %9s | %13s %9s" % (
        "", "Flower", "16-bit lanes", "ratio", "32-bit lanes", "ratio", "64-bit words", "ratio"))

    def line(name, their, our, is_time):
        ratios = ["%8.1fx" % (their / x) if is_time else "%9.3f" % (x / their) for x in our]
        width = "%13.1f" if is_time else "%13d"
        print(("%-30s " + width) % (name, their) + "".join((" | " + width + " %s") % pair for pair in zip(our, ratios)))

    line("CPU of one client, ms", client, [row[0] + row[1] for row in ours], True)
    line("  beside their median client", median, [row[0] + row[1] for row in ours], True)
    line("CPU of the server, ms", server, [row[2] + row[3] for row in ours], True)
    line("bytes of the masked vector", their_vector, [row[6] for row in ours], False)
    line("other bytes sent by a client", their_up, [row[4] for row in ours], False)
    line("other bytes sent to a client", their_down, [row[5] for row in ours], False)
    line("all bytes sent by a client", their_vector + their_up, [row[6] + row[4] for row in ours], False)


if __name__ == "__main__":
    sys.exit(main())
