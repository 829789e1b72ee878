/* cli/cmd_ledger.c - `consilium ledger show|verify|export|diff|recover|withdraw|stop`. */
#include "base/clock.h"
#include "base/progress.h"
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
    char public_key[2 * CSL_SIGN_PUBLIC_BYTES + 2], lost_epsilon[32];
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
static const struct csl_option options[] = {
    {.name = "public_key",
     .type = CSL_OPT_STR,
     .offset = offsetof(struct flags, public_key),
     .size = sizeof(((struct flags *)0)->public_key),
     .fallback = "",
     .help = "The site's key as 64 hexadecimal digits, from the site and not from the export "
             "(verify)."},
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
     .type = CSL_OPT_PATH,
     RECOVER(head),
     .fallback = "",
     .help = "That head as the coordinator remembers it, where the head file does not know it "
             "(recover)."},
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
    "verify EXPORT [--public-key HEX] [--json]",
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
             "was changed since, not whose ledger it is.\n\n"
             "recover is for an agent that refuses to train because its ledger is behind a head it "
             "once had: a restored\nbackup, say. Stop the agent first. It writes an entry that "
             "everybody can see.\n\n"
             "withdraw is for an agent that does not start because the records are not those of "
             "the study's\nregistration: patients left. It says that the change is meant. stop "
             "ends one study at this site, for good,\nand the agent starts again for others. "
             "Stop the agent first. Neither gives back what was spent.",
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

/* --- verify --- */

struct verification {
    const char *path;
    FILE *in;
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    bool is_key_given, is_json;
    struct csl_progress progress;
    struct csl_ledger_verdict verdict;
};

static void count_entry(void *ctx, const struct csl_ledger_entry *e)
{
    struct verification *v = ctx;
    long at = ftell(v->in);

    (void)e;
    if (at > 0)
        csl_progress_update(&v->progress, (uint64_t)at);
}

static void put_verdict_json(const struct verification *v, bool is_sound, struct csl_buf *out)
{
    const struct csl_ledger_verdict *d = &v->verdict;
    char key[2 * CSL_SIGN_PUBLIC_BYTES + 1], root[2 * CSL_SHA256_BYTES + 1];
    struct csl_json j;

    csl_hex(v->key, sizeof(v->key), key);
    csl_hex(d->head.root, sizeof(d->head.root), root);
    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.ledger-verdict/1");
    csl_json_put_bool(&j, "sound", is_sound);
    csl_json_put_str(&j, "public_key", key);
    csl_json_put_str(&j, "public_key_from", v->is_key_given ? "caller" : "export");
    csl_json_put_u64(&j, "entries", d->entries);
    csl_json_put_u64(&j, "charges", d->charges);
    csl_json_put_u64(&j, "refusals", d->refusals);
    csl_json_put_u64(&j, "recoveries", d->recoveries);
    csl_json_put_u64(&j, "countersignatures", d->countersignatures_unknown);
    if (is_sound) {
        csl_json_put_str(&j, "site", d->site);
        csl_json_put_u64(&j, "size", d->head.size);
        csl_json_put_str(&j, "root", root);
    } else {
        csl_json_put_u64(&j, "bad_entry", d->bad_entry);
        csl_json_put_str(&j, "why", d->why);
    }
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static void put_verdict_text(const struct verification *v, bool is_sound, struct csl_buf *out)
{
    const struct csl_ledger_verdict *d = &v->verdict;
    char key[2 * CSL_SIGN_PUBLIC_BYTES + 1], root[2 * CSL_SHA256_BYTES + 1];

    csl_hex(v->key, sizeof(v->key), key);
    csl_hex(d->head.root, sizeof(d->head.root), root);
    if (!is_sound) {
        csl_buf_printf(out,
                       "%s: NOT sound. The first bad entry is %" PRIu64 ": %s\n%" PRIu64
                       " entr%s before it hold%s.\n",
                       v->path, d->bad_entry, d->why, d->entries, d->entries == 1 ? "y" : "ies",
                       d->entries == 1 ? "s" : "");
        return;
    }
    csl_buf_printf(out,
                   "%s: sound. site %s, %" PRIu64 " entries: %" PRIu64 " charge%s, %" PRIu64
                   " refusal%s, %" PRIu64 " recover%s, %" PRIu64 " countersignature%s\n"
                   "  head  %" PRIu64 " %s\n  key   %s\n",
                   v->path, d->site, d->entries, d->charges, csl_str_plural(d->charges),
                   d->refusals, csl_str_plural(d->refusals), d->recoveries,
                   d->recoveries == 1 ? "y" : "ies", d->countersignatures_unknown,
                   csl_str_plural(d->countersignatures_unknown), d->head.size, root, key);
    if (!v->is_key_given)
        csl_buf_str(out, "  This is the key that the export names itself: compare it with the one "
                         "the site gave you.\n");
}

static int run_verify(struct verification *v)
{
    const struct csl_ledger_visitor visitor = {.ctx = v, .entry = count_entry};
    const struct csl_ledger_verify_options o = {
        .public_key = v->key, .price = csl_account_epsilon, .visitor = &visitor};
    struct csl_err err = {0};
    struct csl_buf out;
    struct stat st;
    enum csl_code code = CSL_OK;

    if (!v->is_key_given)
        code = csl_cli_ledger_claimed_key(v->in, v->key, &err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, v->is_json);
    csl_progress_start(&v->progress, stderr, "verifying", "bytes",
                       fstat(fileno(v->in), &st) == 0 ? (uint64_t)st.st_size : 0);
    code = csl_ledger_verify(v->in, &o, &v->verdict, &err);
    csl_progress_finish(&v->progress);
    bool is_sound = code == CSL_OK;
    if (!is_sound && (code != CSL_E_CORRUPT || v->verdict.bad_entry == CSL_LEDGER_NONE))
        return csl_cli_fail_as(&csl_doc_ledger, &err, v->is_json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (v->is_json)
        put_verdict_json(v, is_sound, &out);
    else
        put_verdict_text(v, is_sound, &out);
    return csl_cli_print(&out, is_sound ? CSL_EXIT_DONE : CSL_EXIT_NEGATIVE);
}

static int verify(const char *path, const struct flags *flags)
{
    struct verification v = {
        .path = path, .is_key_given = flags->public_key[0] != 0, .is_json = flags->json};
    struct csl_err err = {0};

    if (v.is_key_given && !csl_unhex(flags->public_key, v.key, sizeof(v.key)))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--public-key: found no key; 64 hexadecimal digits would be right");
    if (csl_cli_ledger_open_file(&v.in, path, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, flags->json);
    int status = run_verify(&v);
    (void)fclose(v.in);
    return status;
}

/* --- export --- */

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
    c->lost_epsilon = INFINITY;
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
    if (!is_verify && flags.public_key[0] != 0)
        return csl_cli_misuse(&csl_doc_ledger, "found --public-key with %s; it goes with verify",
                              verb);
    if (is_show)
        return csl_cli_ledger_show(line.positional[1], flags.json);
    if (is_verify)
        return verify(line.positional[1], &flags);
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
