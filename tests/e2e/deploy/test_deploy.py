#!/usr/bin/env python3
"""docs/operations/deploy.md as written: every command and every file of it, on this machine.

    test_deploy.py BIN-FOLDER DEPLOY.MD

Host and port become this machine's, STUDY-DIGEST the digest that `study show` prints, COHORT-DIGEST the
one in the ledger; nothing else is changed. A command of the page that is not run here fails the test, and so does one run here that the
page lacks. Python 3 and its standard library only.
"""
import os
import random
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

SECONDS = 500  # ctest's own limit is shorter unless the programs are instrumented
HEX64 = re.compile(r"\b[0-9a-f]{64}\b")


def fail(text):
    raise SystemExit("FAILED: " + text)


def blocks(text, language):
    return re.findall(r"(?ms)^```%s\n(.*?)^```$" % language, text)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Page:
    """The page and the folder it is acted out in."""

    def __init__(self, path, programs, folder):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        port = free_port()
        self.folder, self.used, self.running = folder, set(), []
        self.commands = [line for block in blocks(text, "sh") for line in block.splitlines() if line]
        self.files = {}
        for block in blocks(text, "yaml"):
            m = re.match(r"# (\S+\.yaml)\n", block)
            if m:
                self.files[m.group(1)] = block
        self.replace = [("coordinator.example.org:7443", f"127.0.0.1:{port}"), ("0.0.0.0:7443", f"127.0.0.1:{port}"),
                        ("coordinator.example.org", "127.0.0.1")]
        self.environment = dict(os.environ, PATH=programs + os.pathsep + os.environ["PATH"])

    def here(self, text):
        for old, new in self.replace:
            text = text.replace(old, new)
        return text

    def words(self, line):
        if line not in self.commands:
            fail(f"the page has no command '{line}'")
        self.used.add(line)
        return shlex.split(self.here(line))

    def path(self, name):
        return os.path.join(self.folder, name)

    def execute(self, words, expected=0):
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode != expected:
            fail(f"{' '.join(words)} ended with {done.returncode}, {expected} would be right:\n{done.stdout}{done.stderr}")
        return done.stdout if expected == 0 else done.stderr

    def run(self, line, expected=0):
        return self.execute(self.words(line), expected)

    def write(self, name):
        if name not in self.files:
            fail(f"the page has no file {name}")
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(self.here(self.files.pop(name)))

    def start(self, line, log):
        with open(self.path(log), "ab") as f:
            p = subprocess.Popen(self.words(line), cwd=self.folder, env=self.environment, stderr=f, stdout=f)
        self.running.append((p, line, log))
        return p

    def log_of(self, p):
        log = next(log for q, _, log in self.running if q is p)
        with open(self.path(log), encoding="utf-8", errors="replace") as f:
            return f.read()[-3000:]

    def wait_for_end(self, p, expected, until):
        try:
            status = p.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            fail("a daemon did not end in time:\n" + self.log_of(p))
        if status != expected:
            fail(f"a daemon ended with {status}, {expected} would be right:\n{self.log_of(p)}")

    def wait_for_file(self, name, p, until):
        """The wait for the process's end is the pause between two looks; it must not end."""
        while not os.path.exists(self.path(name)):
            try:
                fail(f"a daemon ended with {p.wait(timeout=0.05)} before it wrote {name}:\n{self.log_of(p)}")
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    fail(f"no {name} in time:\n{self.log_of(p)}")

    def wait_for_text(self, name, text, p, until):
        self.wait_for_file(name, p, until)
        while True:
            with open(self.path(name), encoding="utf-8") as f:
                if f.read() == text:
                    return
            try:
                fail(f"a daemon ended with {p.wait(timeout=0.05)}:\n{self.log_of(p)}")
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    fail(f"no '{text}' in {name} in time:\n{self.log_of(p)}")

    def kill_all(self):
        for p, _, _ in self.running:
            if p.poll() is None:
                p.kill()
                p.wait()


ENROL = "consilium enrol "
SITE = ENROL + "site {0} --authority authority --trust-domain heart.example.org --out {0}"
ROSTER = ENROL + "roster {0} --roster coordinator/roster.yaml"
ADD = ROSTER.format("add") + " --site {0} --certificate {0}/site.pem --signing-key {0}/signing.pub"
COORDINATOR = "consilium-coordinator --config coordinator/coordinator.yaml"
SIGN = ENROL + ("roster sign --federation federation --roster coordinator/roster.yaml --coordinator coordinator/signing.pub "
                "--out federation.roster")
SHOW_SIGNED = ENROL + "roster show --roster federation.roster --root federation/federation.pub"
STATUS = "consilium status coordinator/state"


def make_keys(page):
    page.run(ENROL + "authority --trust-domain heart.example.org --out authority")
    page.run(ENROL + "coordinator --authority authority --trust-domain heart.example.org --names coordinator.example.org "
             "--out coordinator")
    for site in ("lyon", "turin"):
        if "private key" not in page.run(SITE.format(site)):
            fail("enrol site does not say that the folder holds the private key")
        page.run(ADD.format(site))
    roster = page.run(ROSTER.format("show"))
    if len(set(HEX64.findall(roster))) != 2 or roster.count("yes") != 2:
        fail(f"two active sites with a pin each would be right:\n{roster}")
    refuse_mistakes(page)
    page.run("tar -cf lyon.tar lyon")
    page.run("tar -cf turin.tar turin")
    page.run("rm -r lyon turin")


def refuse_mistakes(page):
    """Nothing is replaced, nothing is readable by others, and no site gets the pin of another."""
    before = {}
    for folder, names in (("authority", ("authority.key", "authority.pem")),
                          ("coordinator", ("coordinator.key", "coordinator.pem", "authority.pem", "roster.yaml",
                                           "signing.key")),
                          ("lyon", ("site.key", "site.pem", "authority.pem", "signing.key"))):
        for name in names:
            path = page.path(os.path.join(folder, name))
            if stat.S_IMODE(os.stat(path).st_mode) != 0o600:
                fail(f"{folder}/{name} has mode {oct(os.stat(path).st_mode)}; 0600 would be right")
            with open(path, "rb") as f:
                before[path] = f.read()
    common = "--authority authority --trust-domain heart.example.org --out "
    for words, reason in (
            ("authority --trust-domain heart.example.org --out authority", "not replaced"),
            ("coordinator --names localhost " + common + "coordinator", "not replaced"),
            ("site lyon " + common + "lyon", "not replaced"),
            ("site lyon --authority authority --trust-domain another.example.org --out new", "heart.example.org"),
            ("site Lyon " + common + "new", "not valid"),
            ("coordinator " + common + "new", "--names"),
            ("roster add --roster coordinator/roster.yaml --site basel --certificate lyon/site.pem", "site/lyon"),
            ("roster add --roster coordinator/roster.yaml --site lyon --certificate lyon/site.key", "not a PEM"),
            ("roster add --roster coordinator/roster.yaml --site turin --certificate turin/site.pem --signing-key "
             "lyon/signing.pub", "that of 'site turin'"),
            ("roster add --roster coordinator/roster.yaml --site turin --certificate turin/site.pem --signing-key "
             "turin/signing.key", "not a public key"),
            ("roster deactivate --roster coordinator/roster.yaml --site basel", "no site 'basel'"),
            ("roster show --roster none.yaml", "none.yaml"),
            ("roster show", "--roster"), ("roster remove --roster coordinator/roster.yaml", "deactivate"), ("", "usage")):
        error = page.execute(shlex.split(ENROL + words), 2)
        if reason not in error:
            fail(f"{ENROL}{words}: found '{error.strip()}'; a reason that says '{reason}' would be right")
    for path, content in before.items():
        with open(path, "rb") as f:
            if f.read() != content:
                fail(f"{path} was changed by a command that was refused")


def write_csv(path):
    draw = random.Random(42)
    with open(path, "w", encoding="utf-8") as f:
        f.write("systolic_pressure,cholesterol,max_heart_rate,disease,set\n")
        for i in range(60):
            f.write("%.1f,%.1f,%.1f,%d,%s\n" % (draw.gauss(132, 18), draw.gauss(215, 40), draw.gauss(146, 20),
                                                draw.random() < 0.5, ("train", "train", "val", "test")[i % 4]))


def prepare_sites(page):
    page.write("study.yaml")
    page.run("consilium study check study.yaml")
    digests = HEX64.findall(page.run("consilium study show study.yaml"))
    if not digests:
        fail("study show prints no digest")
    page.replace.append(("STUDY-DIGEST", digests[0]))
    if "lyon" not in page.run("consilium privacy plan study.yaml --patients lyon=140,turin=140"):
        fail("the plan names no hospital")
    page.run("tar -xf lyon.tar")
    page.run("tar -xf turin.tar")
    page.write("heart.mapping.yaml")
    write_csv(page.path("heart.csv"))
    page.run("consilium data import --csv heart.csv --mapping heart.mapping.yaml --site lyon --out lyon/heart.h5")
    page.run("consilium data check lyon/heart.h5 --study study.yaml")
    page.run("consilium data synth --out rehearsal --sites 2 --patients 200")
    for site in ("lyon", "turin"):
        page.run(f"consilium data check rehearsal/{site}.h5 --study study.yaml")
        page.write(f"{site}/site.yaml")


def run_study(page, until):
    page.write("coordinator/coordinator.yaml")
    coordinator = page.start(COORDINATOR, "coordinator.log")
    page.wait_for_file("coordinator/state/address", coordinator, until)
    page.wait_for_file("coordinator/state/status.json", coordinator, until)
    page.run(STATUS)
    coordinator.send_signal(signal.SIGTERM)
    page.wait_for_end(coordinator, 1, until)
    page.run("tar -cf backup.tar coordinator")
    page.run("rm -r coordinator")
    page.run("tar -xf backup.tar")
    os.remove(page.path("coordinator/state/address"))
    coordinator = page.start(COORDINATOR, "coordinator.log")
    page.wait_for_file("coordinator/state/address", coordinator, until)
    sites = [page.start(f"consilium-site --config {site}/site.yaml", site + ".log") for site in ("lyon", "turin")]
    for p in sites + [coordinator]:
        page.wait_for_end(p, 0, until)


def look_at_result(page):
    if "heart-two-hospitals" not in page.run(STATUS + " --json"):
        fail("the status names no study heart-two-hospitals")
    if not os.path.isfile(page.path("coordinator/state/model.h5")):
        fail("no released model")
    if "heart-two-hospitals" not in page.run("consilium model inspect coordinator/state/model.h5"):
        fail("the model does not name its study")
    page.run("consilium model export coordinator/state/model.h5 --format npz --out model.npz")
    if os.path.getsize(page.path("model.npz")) == 0:
        fail("model.npz is empty")


def look_at_ledger(page):
    if "charge" not in page.run("consilium ledger show lyon/state/ledger.db"):
        fail("the ledger shows no charge")
    page.run("consilium ledger export lyon/state/ledger.db lyon.ledger")
    verdict = page.run("consilium ledger verify lyon.ledger --head coordinator/state/heads/lyon")
    if ": sound." not in verdict or "continues the 1 known head," not in verdict:
        fail(f"the ledger's export is not sound, or does not continue the coordinator's head:\n{verdict}")


def sign_roster(page):
    """The root alone signs; epochs rise; a number stays with its site; nobody disappears."""
    page.run(SITE.format("aachen"))
    page.run(ADD.format("aachen"))
    page.run(ENROL + "federation --out federation")
    if stat.S_IMODE(os.stat(page.path("federation/federation.key")).st_mode) != 0o600:
        fail("federation.key is readable by others")
    page.run(SIGN)
    first = page.run(SHOW_SIGNED)
    for number, site in ((1, "lyon"), (2, "turin"), (3, "aachen")):
        if not re.search(r"(?m)^%d +%s +yes +[0-9a-f]{64}$" % (number, site), first):
            fail(f"number {number} for {site} would be right:\n{first}")
    page.run(SIGN)
    second = page.run(SHOW_SIGNED)
    if "epoch 1," not in first or second != first.replace("epoch 1,", "epoch 2,"):
        fail(f"the same roster with epoch 2 would be right:\n{second}")
    with open(page.path("coordinator/roster.yaml"), encoding="utf-8") as f:
        roster = f.read()
    with open(page.path("without-turin.yaml"), "w", encoding="utf-8") as f:
        f.write(re.sub(r'(?s)  - id: "turin".*?(?=  - id|\Z)', "", roster))
    with open(page.path("swapped.yaml"), "w", encoding="utf-8") as f:
        f.write(roster.replace("number: 1", "number: 9").replace("number: 2", "number: 1"))
    sign = SIGN[len(ENROL):]
    page.execute(shlex.split(ENROL + "federation --out foreign"))
    for words, status, reason in (
            (sign.replace("coordinator/roster.yaml", "without-turin.yaml"), 2, "'turin'"),
            (sign.replace("coordinator/roster.yaml", "swapped.yaml"), 2, "'lyon'"),
            (sign.replace("coordinator/signing.pub", "lyon/signing.pub"), 2, "'coordinator'"),
            (sign.replace("--federation federation", "--federation foreign"), 3, "not signed by the federation's root"),
            ("roster show --roster federation.roster --root foreign/federation.pub", 3, "not signed by the federation's root"),
            ("roster show --roster federation.roster --root coordinator/signing.pub", 2, "'federation'"),
            ("federation --out federation", 2, "not replaced")):
        error = page.execute(shlex.split(ENROL + words), status)
        if reason not in error:
            fail(f"{ENROL}{words}: found '{error.strip()}'; a reason that says '{reason}' would be right")
    if page.execute(shlex.split(SHOW_SIGNED)) != second:
        fail("a command that was refused changed the signed roster")


def run_masked_study(page, until):
    sign_roster(page)
    for party in ("coordinator", "lyon", "turin", "aachen"):
        page.run(f"cp federation.roster federation/federation.pub {party}")
    page.write("masked.yaml")
    page.run("consilium study check masked.yaml")
    digest = HEX64.findall(page.run("consilium study show masked.yaml"))[0]
    page.replace.append(("MASKED-DIGEST", digest))
    page.run("consilium data synth --out rehearsal-three --sites 3 --patients 200")
    page.run("consilium data check rehearsal-three/aachen.h5 --study masked.yaml")
    section = re.search(r"(?m)^secure_aggregation:\n(?:  .*\n)+", page.files["aachen/site.yaml"]).group(0)
    page.write("aachen/site.yaml")
    page.write("coordinator/masked.yaml")
    for site in ("lyon", "turin"):
        path = page.path(f"{site}/site.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(HEX64.sub(lambda m: m.group(0) + "\n    - " + digest, text) + section)
    coordinator = page.start("consilium-coordinator --config coordinator/masked.yaml", "masked.log")
    page.wait_for_file("coordinator/masked-state/address", coordinator, until)
    sites = [page.start(f"consilium-site --config {site}/site.yaml", site + "-masked.log")
             for site in ("lyon", "turin", "aachen")]
    for p in sites + [coordinator]:
        page.wait_for_end(p, 0, until)
    if not os.path.isfile(page.path("coordinator/masked-state/model.h5")):
        fail("no model of the masked study")
    if page.log_of(coordinator).count("numbers=1,2,3") != 5:
        fail(f"five sums of all three would be right:\n{page.log_of(coordinator)}")


def refuse_roster(page, until):
    """An older roster than one that was used, and a roster without a key's owner, start nothing."""
    with open(page.path("aachen/federation.roster"), "rb") as f:
        newest = f.read()
    page.execute(shlex.split(SIGN))
    page.execute(shlex.split("cp federation.roster aachen"))
    site = page.start("consilium-site --config aachen/site.yaml", "newest.log")
    page.wait_for_text("aachen/state/roster.epoch", "3\n", site, until)
    site.send_signal(signal.SIGTERM)
    page.wait_for_end(site, 1, until)
    with open(page.path("aachen/federation.roster"), "wb") as f:
        f.write(newest)
    site = page.start("consilium-site --config aachen/site.yaml", "older.log")
    page.wait_for_end(site, 3, until)
    if "epoch 2" not in page.log_of(site):
        fail(f"an older roster is not named:\n{page.log_of(site)}")


def change_records(page):
    """Nothing changed here: the digest is the one that is registered already."""
    entries = page.execute(shlex.split("consilium ledger show lyon/state/ledger.db --json"))
    page.replace.append(("COHORT-DIGEST", re.findall(r'"cohort_digest":\s*"([0-9a-f]{64})"', entries)[-1]))
    page.run("consilium ledger withdraw lyon/state/ledger.db --cohort heart-patients --cohort-digest COHORT-DIGEST --patients 44")
    if "is stopped" not in page.run("consilium ledger stop lyon/state/ledger.db --study STUDY-DIGEST"):
        fail("the study is not stopped")
    entries = page.execute(shlex.split("consilium ledger show lyon/state/ledger.db"))
    for word in (" withdrawal ", " stop ", "  stopped"):
        if word not in entries:
            fail(f"the ledger shows no '{word}':\n{entries}")


def keep_roster(page):
    old = HEX64.findall(page.run(ROSTER.format("show")))
    after = page.run(ROSTER.format("deactivate") + " --site turin")
    if HEX64.findall(after) != old or not re.search(r"(?m)^turin +no ", after) or not re.search(r"(?m)^lyon +yes ", after):
        fail(f"turin alone inactive, with its pin, would be right:\n{after}")
    page.run(SITE.format("lyon") + "-renewed")
    new = HEX64.findall(page.run(ROSTER.format("add") + " --site lyon --certificate lyon-renewed/site.pem"))
    if len(new) != 3 or new[1] == old[1] or new[::2] != old[::2]: # aachen, lyon, turin
        fail(f"a new pin for lyon alone would be right: {old} became {new}")


def main(argv):
    until = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory(prefix="consilium-deploy-") as folder:
        page = Page(argv[2], os.path.abspath(argv[1]), folder)
        try:
            make_keys(page)
            prepare_sites(page)
            run_study(page, until)
            look_at_result(page)
            look_at_ledger(page)
            run_masked_study(page, until)
            refuse_roster(page, until)
            change_records(page)
            keep_roster(page)
        finally:
            page.kill_all()
        left = [c for c in page.commands if c not in page.used]
        if left or page.files:
            fail(f"on the page, but not run here: {left + sorted(page.files)}")
        print(f"{len(page.used)} commands of {os.path.basename(argv[2])} run; a model was released")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
