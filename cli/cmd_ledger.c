/* cli/cmd_ledger.c - `consilium ledger show|verify|export|diff|recover|withdraw|stop`. */
#include "base/clock.h"
#include "base/str.h"
#include "cli/ledger_verbs.h"
#include "privacy/dp/account.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

struct flags {
    char lost_epsilon[32], heads[CSL_CLI_HEADS_MAX * 1024];
    struct csl_cli_verify verify;
    struct csl_cli_recover recover;
    struct csl_cli_operate operate;
    bool json;
};
#define OPERATE(field)                                                                             \
    .type = CSL_OPT_STR, .offset = offsetof(struct flags, operate.field),                          \
    .size = sizeof(((struct flags *)0)->operate.field)
#define RECOVER(field)                                                                             \
    .offset = offsetof(struct flags, recover.field),                                               \
    .size = sizeof(((struct flags *)0)->recover.field)
#define VERIFY(field)                                                                              \
    .offset = offsetof(struct flags, verify.field),                                                \
    .size = sizeof(((struct flags *)0)->verify.field)
static const struct csl_option options[] = {
    {.name = "public_key",
     .type = CSL_OPT_STR,
     VERIFY(public_key),
     .fallback = "",
     .help = "The site's key as 64 hexadecimal digits, from the site and not from the export "
             "(verify)."},
    {.name = "peer",
     .type = CSL_OPT_LIST,
     VERIFY(peers),
     .fallback = "",
     .help = "ID=HEX: the key by which ID signs the heads it was shown, from ID and not from the "
             "export; the coordinator's ID is coordinator; may be given again (verify)."},
    {.name = "size",
     .type = CSL_OPT_U64,
     RECOVER(size),
     .fallback = "0",
     .unit = "entries",
     .help = "Of the head that is given up (recover)."},
    {.name = "root",
     .type = CSL_OPT_STR,
     RECOVER(root),
     .fallback = "",
     .help = "Of the head that is given up, 64 hexadecimal digits (recover)."},
    {.name = "head",
     .type = CSL_OPT_LIST,
     .offset = offsetof(struct flags, heads),
     .size = sizeof(((struct flags *)0)->heads),
     .fallback = "",
     .help = "A head of this ledger that was kept elsewhere: the coordinator's STATE/heads/SITE, a "
             "checkpoint, or an earlier export; verify: the export must contain it, may be given "
             "again; recover: what is given up, where the head file does not know it."},
    {.name = "lost_epsilon",
     .type = CSL_OPT_STR,
     .offset = offsetof(struct flags, lost_epsilon),
     .size = sizeof(((struct flags *)0)->lost_epsilon),
     .fallback = "all",
     .help = "What the lost entries may have cost; all: every budget without a window is spent "
             "(recover)."},
    {.name = "lost_delta",
     .type = CSL_OPT_F64,
     RECOVER(lost_delta),
     .max = 1,
     .fallback = "0",
     .help = "The same of delta (recover)."},
    {.name = "study",
     OPERATE(study),
     .fallback = "",
     .help = "Digest of the study, 64 hexadecimal digits, from `consilium study show` (stop)."},
    {.name = "cohort",
     OPERATE(cohort),
     .fallback = "records",
     .help = "Whose patients left: policy.cohort of the site (withdraw)."},
    {.name = "cohort_digest",
     OPERATE(cohort_digest),
     .fallback = "",
     .help = "Of the records that are left, as the agent named it when it refused to start "
             "(withdraw)."},
    {.name = "patients",
     .type = CSL_OPT_U64,
     .offset = offsetof(struct flags, operate.patients),
     .size = sizeof(((struct flags *)0)->operate.patients),
     .fallback = "0",
     .help = "How many are left; only their size band is written down (withdraw)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct flags, json),
     .fallback = "false",
     .help = "Print JSON for programs; show: one object a line, one line an entry."},
    CSL_OPTION_END,
};
static const char *const usage[] = {
    "show DATABASE|EXPORT [--json]",
    "verify EXPORT [--public-key HEX] [--head FILE]... [--peer ID=HEX]... [--json]",
    "export DATABASE OUT [--json]",
    "diff EXPORT EXPORT [--json]",
    "recover DATABASE --size N --root HEX [--head FILE] [--lost-epsilon E] [--lost-delta D]",
    "withdraw DATABASE [--cohort ID] --cohort-digest HEX --patients N",
    "stop DATABASE --study HEX",
    NULL};
static const char *const verbs[] = {"show",    "verify",   "export", "diff",
                                    "recover", "withdraw", "stop",   NULL};
static const char *const examples[] = {
    "consilium ledger show out/demo/ledger/lyon.ledger",
    "consilium ledger verify lyon.ledger --public-key "
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "consilium ledger verify lyon-june.ledger --head lyon-may.ledger --head "
    "/var/lib/consilium/heads/lyon",
    "consilium ledger export /var/lib/consilium-site/ledger.db lyon.ledger",
    "consilium ledger diff lyon-may.ledger lyon-june.ledger",
    "consilium ledger recover lyon/state/ledger.db --size 63 --root "
    "965bd651ec502a3168a6ed13afca5fe8c8cdf644a628b86f46c8dbae423236e7 --lost-epsilon 1",
    "consilium ledger stop lyon/state/ledger.db --study "
    "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b",
    NULL};

const struct csl_cli_doc csl_doc_ledger = {
    .name = "ledger",
    .summary = "show, verify, export and compare ledgers of what was spent, without a network",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
    .notes = "verify checks every entry, every price, every link and signature. Without "
             "--public-key it takes the key\nthat the export names itself: that shows that nothing "
             "was changed since, not whose ledger it is.\n"
             "Each entry stands beside a signature of all up to it, so anybody can cut the end off "
             "an export: only a head\nthat was kept elsewhere shows that (--head), and only up to "
             "that head.\n\n"
             "recover is for an agent that refuses to train because its ledger is behind a head it "
             "once had: a restored\nbackup, say. Stop the agent first. It writes an entry that "
             "everybody can see.\n\n"
             "withdraw is for an agent that does not start because the records are not those of "
             "the study's\nregistration: patients left. It says that the change is meant. stop "
             "ends one study at this site, for good,\nand the agent starts again for others. "
             "Stop the agent first. Neither gives back what was spent or reserved.",
};

enum csl_code csl_cli_ledger_open_file(FILE **out, const char *path, struct csl_err *err)
{
    struct stat st;
    FILE *f = fopen(path, "rb");

    if (f == NULL)
        return CSL_FAIL_SYS(err, errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO, "cannot open %.300s",
                            path);
    if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)fclose(f);
        return CSL_FAIL(err, CSL_E_INVAL, "%.300s is a folder; a file would be right", path);
    }
    *out = f;
    return CSL_OK;
}

enum csl_code csl_cli_ledger_export_entry(FILE *in, uint64_t index, struct csl_ledger_entry *out,
                                          struct csl_err *err)
{
    struct csl_export_reader *reader = NULL;
    struct csl_export_record record;
    enum csl_code code = csl_export_open(&reader, in, err);

    for (uint64_t i = 0; i <= index && code == CSL_OK; i++)
        code = csl_export_next(reader, &record, err);
    csl_export_close(reader);
    if (code == CSL_E_END)
        return CSL_FAIL(err, CSL_E_PROTO, "the export has no entry %" PRIu64, index);
    if (code != CSL_OK)
        return code;
    return csl_ledger_entry_decode(out, CSL_SPAN(record.bytes, record.byte_count), err);
}

enum csl_code csl_cli_ledger_claimed_key(FILE *in, uint8_t out[CSL_SIGN_PUBLIC_BYTES],
                                         struct csl_err *err)
{
    struct csl_ledger_entry e;
    enum csl_code code = csl_cli_ledger_export_entry(in, 0, &e, err);

    if (code == CSL_OK && e.kind != CSL_LEDGER_OPEN)
        code = CSL_FAIL(err, CSL_E_PROTO, "the first entry does not name the ledger's key");
    if (code == CSL_OK)
        memcpy(out, e.u.open.public_key, CSL_SIGN_PUBLIC_BYTES);
    return code;
}

uint64_t csl_cli_ledger_wall_s(void *ctx)
{
    (void)ctx;
    return csl_clock_unix_ms() / 1000u;
}

static int export_database(const char *path, const char *to, bool is_json)
{
    const struct csl_ledger_config config = {
        .path = path, .now_s = csl_cli_ledger_wall_s, .is_read_only = true};
    struct csl_ledger *l = NULL;
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json j;
    uint64_t entries = 0;
    enum csl_code code = csl_ledger_open(&l, &config, &err);

    if (code == CSL_OK) {
        entries = csl_ledger_size(l);
        code = csl_ledger_export(l, to, &err);
    }
    csl_ledger_close(l);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, is_json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "path", to);
        csl_json_put_u64(&j, "entries", entries);
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
    } else {
        csl_buf_printf(&out, "%s: %" PRIu64 " entries\n", to, entries);
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static int recover(const char *database, struct flags *flags)
{
    struct csl_cli_recover *c = &flags->recover;
    c->head = flags->heads;
    if (strchr(flags->heads, '\n') != NULL)
        return csl_cli_misuse(&csl_doc_ledger, "found more than one --head; the one that is given "
                                               "up would be right");
    c->lost_epsilon = HUGE_VAL;
    if (strcmp(flags->lost_epsilon, "all") != 0 &&
        (!csl_parse_f64(flags->lost_epsilon, &c->lost_epsilon) || c->lost_epsilon < 0))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--lost-epsilon: found '%s'; a number from 0 or 'all' would be right",
                              flags->lost_epsilon);
    return csl_cli_ledger_recover(database, c);
}

int csl_cmd_ledger(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {.json = false};
    int status = 0;

    if (!csl_cli_start(&csl_doc_ledger, &flags, argc, argv, &line, &status))
        return status;
    const char *verb = line.positional_count > 0 ? line.positional[0] : "";
    bool is_show = strcmp(verb, "show") == 0, is_verify = strcmp(verb, "verify") == 0;
    bool is_export = strcmp(verb, "export") == 0, is_diff = strcmp(verb, "diff") == 0;
    bool is_recover = strcmp(verb, "recover") == 0;
    bool is_withdraw = strcmp(verb, "withdraw") == 0, is_stop = strcmp(verb, "stop") == 0;
    if (!is_show && !is_verify && !is_export && !is_diff && !is_recover && !is_withdraw && !is_stop)
        return csl_cli_misuse(&csl_doc_ledger,
                              "found '%s'; show, verify, export, diff, recover, withdraw or stop "
                              "would be right",
                              verb);
    size_t wanted = is_export || is_diff ? 2 : 1;
    if (line.positional_count != wanted + 1)
        return csl_cli_misuse(&csl_doc_ledger, "found %zu word%s after %s; %s would be right",
                              line.positional_count - 1, csl_str_plural(line.positional_count - 1),
                              verb, wanted == 1 ? "one file" : "two files");
    if (!is_verify && (flags.verify.public_key[0] != 0 || flags.verify.peers[0] != 0))
        return csl_cli_misuse(&csl_doc_ledger, "found %s with %s; it goes with verify",
                              flags.verify.public_key[0] != 0 ? "--public-key" : "--peer", verb);
    if (!is_verify && !is_recover && flags.heads[0] != 0)
        return csl_cli_misuse(&csl_doc_ledger,
                              "found --head with %s; it goes with verify and recover", verb);
    if (is_show)
        return csl_cli_ledger_show(line.positional[1], flags.json);
    if (is_verify) {
        flags.verify.heads = flags.heads;
        return csl_cli_ledger_verify(line.positional[1], &flags.verify, flags.json);
    }
    if (is_recover)
        return recover(line.positional[1], &flags);
    if (is_withdraw)
        return csl_cli_ledger_withdraw(line.positional[1], &flags.operate);
    if (is_stop)
        return csl_cli_ledger_stop(line.positional[1], &flags.operate);
    if (is_export)
        return export_database(line.positional[1], line.positional[2], flags.json);
    return csl_cli_ledger_compare(line.positional[1], line.positional[2], flags.json);
}
