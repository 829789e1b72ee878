/* cli/cmd_status.c - `consilium status DIR`: the status file a coordinator keeps in its folder. */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#define STATUS_FORMAT    "consilium.status/1"
#define STATUS_BYTES_MAX (16u * 1024u * 1024u)
#define FRESH_MS         30000 /* older: the coordinator may have stopped, or waits in a long round */

struct flags {
    bool json;
};
static const struct csl_option options[] = {
    {.name = "json",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct flags, json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"DIR [--json]", NULL};
static const char *const examples[] = {"consilium status /var/lib/consilium-coordinator", NULL};

const struct csl_cli_doc csl_doc_status = {
    .name = "status",
    .summary = "show where a running coordinator stands, from the folder that holds its state",
    .usage = usage,
    .options = options,
    .examples = examples,
};

struct site_status {
    const char *id, *state, *last_error;
    bool is_connected;
    uint64_t patients;
};
struct status {
    const char *study, *state, *reason;
    uint64_t round, rounds, updated_unix_ms;
    const struct csl_json_value *sites, *evaluations; /* evaluations: may be NULL */
    const struct csl_json_value *statistics;          /* likewise */
    const struct csl_json_value *rejected;            /* likewise; rounds */
    const struct csl_json_value *groups;              /* likewise; by domain and attribute */
};
struct evaluation_status { /* of all sites together, of one domain: the newest model judged */
    const char *domain;
    uint64_t round, sites, patients;
};

/* A text of the file as it may be shown; "" when it is absent or no text. */
static const char *text_of(const struct csl_json_value *object, const char *key)
{
    const char *text = "";

    return csl_json_as_str(csl_json_get(object, key), &text) ? text : "";
}

static enum csl_code read_status(const char *path, const struct csl_json_value *root,
                                 struct status *s, struct csl_err *err)
{
    s->study = text_of(root, "study");
    s->state = text_of(root, "state");
    s->reason = text_of(root, "reason");
    s->sites = csl_json_get(root, "sites");
    s->evaluations = csl_json_get(root, "evaluations");
    s->statistics = csl_json_get(root, "statistics");
    const struct csl_json_value *gate = csl_json_get(root, "gate");
    s->groups = csl_json_get(root, "patient_groups");
    s->rejected = gate == NULL ? NULL : csl_json_get(gate, "rounds");
    if (strcmp(text_of(root, "format"), STATUS_FORMAT) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: not a status file; format %s would be right", path,
                        STATUS_FORMAT);
    if (!csl_json_as_u64(csl_json_get(root, "round"), &s->round) ||
        !csl_json_as_u64(csl_json_get(root, "rounds"), &s->rounds) ||
        !csl_json_as_u64(csl_json_get(root, "updated_unix_ms"), &s->updated_unix_ms) || !s->sites)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: round, rounds, sites or updated_unix_ms is missing", path);
    return CSL_OK;
}

static struct site_status read_site(const struct csl_json_value *v)
{
    struct site_status s = {text_of(v, "id"), text_of(v, "state"), text_of(v, "last_error"), false,
                            0};

    (void)csl_json_as_bool(csl_json_get(v, "connected"), &s.is_connected);
    (void)csl_json_as_u64(csl_json_get(v, "patients"), &s.patients);
    return s;
}

static struct evaluation_status read_evaluation(const struct csl_json_value *v)
{
    struct evaluation_status e = {text_of(v, "domain"), 0, 0, 0};

    (void)csl_json_as_u64(csl_json_get(v, "round"), &e.round);
    (void)csl_json_as_u64(csl_json_get(v, "sites"), &e.sites);
    (void)csl_json_as_u64(csl_json_get(v, "patients"), &e.patients);
    return e;
}

/* The next member from *at on that is a figure, and none of the counts; NULL: no more. */
static const char *next_figure(const struct csl_json_value *v, size_t *at, double *value)
{
    static const char *const counts[] = {"round", "sites", "patients", "records"};

    while (*at < csl_json_count(v)) {
        const char *key = "";
        bool is_figure = csl_json_as_f64(csl_json_member_at(v, (*at)++, &key), value);
        for (size_t i = 0; is_figure && i < sizeof(counts) / sizeof(counts[0]); i++)
            is_figure = strcmp(key, counts[i]) != 0;
        if (is_figure)
            return key;
    }
    return NULL;
}

/* Whether the file tells of a study that goes on at this moment. */
static bool is_over(const struct status *s)
{
    return strcmp(s->state, "released") == 0 || strcmp(s->state, "aborted") == 0;
}

static void print_evaluations(const struct status *s, struct csl_buf *out)
{
    if (csl_json_count(s->evaluations) > 0)
        csl_buf_str(out, "\nevaluations, all sites together (sum under masks):\n");
    for (size_t i = 0; i < csl_json_count(s->evaluations); i++) {
        const struct csl_json_value *v = csl_json_at(s->evaluations, i);
        const struct evaluation_status e = read_evaluation(v);
        char shown[160];
        const char *key;
        double value;
        size_t at = 0;
        csl_str_escape(shown, sizeof(shown), e.domain, strlen(e.domain));
        csl_buf_printf(
            out, "%s, model of round %" PRIu64 ", %" PRIu64 " test patients of %" PRIu64 " sites:",
            shown, e.round, e.patients, e.sites);
        while ((key = next_figure(v, &at, &value)) != NULL) {
            csl_str_escape(shown, sizeof(shown), key, strlen(key));
            csl_buf_printf(out, "  %s %.3f", shown, value);
        }
        csl_buf_str(out, "\n");
    }
}

/* "0.120 (0.000 to 0.310)" of {value, low, high}. */
static void print_figure(const struct csl_json_value *v, const char *title, struct csl_buf *out)
{
    double value, low, high;

    if (!csl_json_as_f64(csl_json_get(v, "value"), &value))
        return;
    csl_buf_printf(out, "  %s %.3f", title, value);
    if (csl_json_as_f64(csl_json_get(v, "low"), &low) &&
        csl_json_as_f64(csl_json_get(v, "high"), &high))
        csl_buf_printf(out, " (%.3f to %.3f)", low, high);
}

static void print_groups(const struct status *s, struct csl_buf *out)
{
    static const char *const gaps[][2] = {{"eod", "TPR gap (EOD)"},
                                          {"pp", "FDR gap (PP)"},
                                          {"fpr_gap", "FPR gap"},
                                          {"f1_gap", "macro-F1 gap"}};

    if (csl_json_count(s->groups) > 0)
        csl_buf_str(out, "\npatient groups, all sites together, with 95 % intervals:\n");
    for (size_t i = 0; i < csl_json_count(s->groups); i++) {
        const struct csl_json_value *v = csl_json_at(s->groups, i);
        const struct csl_json_value *worst = csl_json_get(v, "worst");
        const char *domain = text_of(v, "domain"), *attribute = text_of(v, "attribute");
        char shown[2][160];
        uint64_t round = 0, visible = 0, hidden = 0;
        (void)csl_json_as_u64(csl_json_get(v, "round"), &round);
        (void)csl_json_as_u64(csl_json_get(v, "groups_shown"), &visible);
        (void)csl_json_as_u64(csl_json_get(v, "groups_hidden"), &hidden);
        csl_str_escape(shown[0], sizeof(shown[0]), domain, strlen(domain));
        csl_str_escape(shown[1], sizeof(shown[1]), attribute, strlen(attribute));
        csl_buf_printf(out,
                       "%s by %s, model of round %" PRIu64 ", %" PRIu64 " shown, %" PRIu64
                       " too small to be shown:",
                       shown[0], shown[1], round, visible, hidden);
        for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
            print_figure(csl_json_get(csl_json_get(v, "gaps"), gaps[g][0]), gaps[g][1], out);
        if (worst != NULL) {
            const char *value = text_of(worst, "value");
            csl_str_escape(shown[0], sizeof(shown[0]), value, strlen(value));
            csl_buf_printf(out, "  worst %s,", shown[0]);
            print_figure(csl_json_get(worst, "macro_f1"), "macro-F1", out);
        }
        csl_buf_str(out, "\n");
    }
}

static void print_cell(const struct csl_json_value *v, struct csl_buf *out)
{
    double number;
    if (csl_json_as_f64(csl_json_get(v, "patients"), &number))
        csl_buf_printf(out, " %.0f patients", number);
    else
        csl_buf_str(out, " suppressed");
    if (csl_json_as_f64(csl_json_get(v, "skill"), &number))
        csl_buf_printf(out, ", skill %.3f", number);
    if (csl_json_as_f64(csl_json_get(v, "weight"), &number))
        csl_buf_printf(out, ", weight %.3f", number);
}

static void print_statistics(const struct status *s, struct csl_buf *out)
{
    if (csl_json_count(s->statistics) > 0)
        csl_buf_str(out,
                    "\nstatistics of training patients, all sites together (sum under masks):\n");
    for (size_t i = 0; i < csl_json_count(s->statistics); i++) {
        const struct csl_json_value *v = csl_json_at(s->statistics, i);
        const struct csl_json_value *groups = csl_json_get(v, "groups");
        const char *domain = text_of(v, "domain");
        char name[160], value[160];
        uint64_t round = 0;
        double sigma = 0;
        (void)csl_json_as_u64(csl_json_get(v, "round"), &round);
        (void)csl_json_as_f64(csl_json_get(v, "sigma"), &sigma);
        csl_str_escape(name, sizeof(name), domain, strlen(domain));
        csl_buf_printf(out, "%s, round %" PRIu64 ":", name, round);
        print_cell(v, out);
        csl_buf_printf(out, "; noise of standard deviation %.1f\n", sigma);
        for (size_t k = 0; groups != NULL && k < csl_json_count(groups); k++) {
            const struct csl_json_value *g = csl_json_at(groups, k);
            const char *attribute = text_of(g, "attribute"), *of = text_of(g, "value");
            csl_str_escape(name, sizeof(name), attribute, strlen(attribute));
            csl_str_escape(value, sizeof(value), of, strlen(of));
            csl_buf_printf(out, "  %s %s:", name, value);
            print_cell(g, out);
            csl_buf_str(out, "\n");
        }
    }
}

static void print_rejected(const struct status *s, struct csl_buf *out)
{
    size_t count = csl_json_count(s->rejected);

    if (count > 0)
        csl_buf_str(out, "\nrounds that were rejected (the mean update was too long, or the sites "
                         "voted against the model):\n");
    for (size_t i = 0; i < count; i++) {
        const struct csl_json_value *v = csl_json_at(s->rejected, i);
        char shown[160];
        uint64_t round = 0, worse = 0, voters = 0;
        double norm, limit;
        const char *block = text_of(v, "block");
        (void)csl_json_as_u64(csl_json_get(v, "round"), &round);
        csl_str_escape(shown, sizeof(shown), block, strlen(block));
        csl_buf_printf(out, "round %" PRIu64 "%s%s:", round, shown[0] != 0 ? ", " : "", shown);
        if (csl_json_as_u64(csl_json_get(v, "worse"), &worse) &&
            csl_json_as_u64(csl_json_get(v, "voters"), &voters))
            csl_buf_printf(out, " %" PRIu64 " of %" PRIu64 " votes say worse", worse, voters);
        if (csl_json_as_f64(csl_json_get(v, "norm"), &norm))
            csl_buf_printf(out, " norm %.4g", norm);
        if (csl_json_as_f64(csl_json_get(v, "limit"), &limit))
            csl_buf_printf(out, ", at most %.4g", limit);
        csl_buf_str(out, "\n");
    }
}

static void print_text(const struct status *s, struct csl_buf *out)
{
    char age[32], shown[160];
    uint64_t now = csl_clock_unix_ms();
    uint64_t age_ms = now > s->updated_unix_ms ? now - s->updated_unix_ms : 0;

    csl_str_duration(age, sizeof(age), age_ms * CSL_NS_PER_MS);
    csl_str_escape(shown, sizeof(shown), s->study, strlen(s->study));
    csl_buf_printf(out, "study %s, ", shown);
    csl_str_escape(shown, sizeof(shown), s->state, strlen(s->state));
    csl_buf_printf(out, "%s, round %" PRIu64 " of %" PRIu64 ", as of %s ago\n", shown, s->round,
                   s->rounds, age);
    if (s->reason[0] != '\0') {
        char reason[512];
        csl_str_escape(reason, sizeof(reason), s->reason, strlen(s->reason));
        csl_buf_printf(out, "reason: %s\n", reason);
    }
    if (is_over(s))
        csl_buf_str(out, "the study is over; its sites as they were at that time:\n");
    else if (age_ms > FRESH_MS)
        csl_buf_str(out, "nothing newer was written: a long round, or a coordinator that no longer "
                         "runs; the sites as they were at that time:\n");
    csl_buf_str(out, "\n");
    csl_buf_printf(out, "%-24s %-10s %-12s %10s  %s\n", "site", "connected", "state", "patients",
                   "last error");
    for (size_t i = 0; i < csl_json_count(s->sites); i++) {
        struct site_status site = read_site(csl_json_at(s->sites, i));
        csl_str_escape(shown, sizeof(shown), site.id, strlen(site.id));
        csl_buf_printf(out, "%-24s %-10s ", shown, site.is_connected ? "yes" : "no");
        csl_str_escape(shown, sizeof(shown), site.state, strlen(site.state));
        csl_buf_printf(out, "%-12s ", shown);
        if (site.patients > 0)
            csl_buf_printf(out, "%10" PRIu64 "  ", site.patients);
        else
            csl_buf_printf(out, "%10s  ", "-");
        csl_str_escape(shown, sizeof(shown), site.last_error, strlen(site.last_error));
        csl_buf_printf(out, "%s\n", shown);
    }
    print_evaluations(s, out);
    print_groups(s, out);
    print_statistics(s, out);
    print_rejected(s, out);
}

static void put_evaluations(struct csl_json *j, const struct csl_json_value *evaluations)
{
    csl_json_key(j, "evaluations");
    csl_json_array(j);
    for (size_t i = 0; i < csl_json_count(evaluations); i++) {
        const struct csl_json_value *v = csl_json_at(evaluations, i);
        const struct evaluation_status e = read_evaluation(v);
        const char *key;
        double value;
        size_t at = 0;
        csl_json_object(j);
        csl_json_put_str(j, "of", "all sites together (sum under masks)");
        csl_json_put_str(j, "domain", e.domain);
        csl_json_put_u64(j, "round", e.round);
        csl_json_put_u64(j, "sites", e.sites);
        csl_json_put_u64(j, "patients", e.patients);
        csl_json_key(j, "metrics");
        csl_json_object(j);
        while ((key = next_figure(v, &at, &value)) != NULL)
            csl_json_put_f64(j, key, value);
        csl_json_end(j);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_rejected(struct csl_json *j, const struct csl_json_value *rejected)
{
    static const char *const numbers[] = {"norm", "limit"}, *const counts[] = {"worse", "voters"};

    csl_json_key(j, "rejected_rounds");
    csl_json_array(j);
    for (size_t i = 0; i < csl_json_count(rejected); i++) {
        const struct csl_json_value *v = csl_json_at(rejected, i);
        uint64_t round = 0, count;
        double number;
        (void)csl_json_as_u64(csl_json_get(v, "round"), &round);
        csl_json_object(j);
        csl_json_put_u64(j, "round", round);
        csl_json_put_str(j, "block", text_of(v, "block"));
        for (size_t k = 0; k < 2; k++)
            if (csl_json_as_f64(csl_json_get(v, numbers[k]), &number))
                csl_json_put_f64(j, numbers[k], number);
        for (size_t k = 0; k < 2; k++)
            if (csl_json_as_u64(csl_json_get(v, counts[k]), &count))
                csl_json_put_u64(j, counts[k], count);
        csl_json_end(j);
    }
    csl_json_end(j);
}

/* {value, low, high}, of which the file may have less. */
static void put_figure(struct csl_json *j, const char *name, const struct csl_json_value *v)
{
    static const char *const keys[] = {"value", "low", "high"};

    csl_json_key(j, name);
    csl_json_object(j);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        double number;
        if (csl_json_as_f64(csl_json_get(v, keys[i]), &number))
            csl_json_put_f64(j, keys[i], number);
    }
    csl_json_end(j);
}

static void put_group(struct csl_json *j, const struct csl_json_value *v)
{
    static const char *const counts[] = {"round", "groups_shown", "groups_hidden"};
    const struct csl_json_value *gaps = csl_json_get(v, "gaps"), *worst = csl_json_get(v, "worst");
    uint64_t n;

    csl_json_object(j);
    csl_json_put_str(j, "domain", text_of(v, "domain"));
    csl_json_put_str(j, "attribute", text_of(v, "attribute"));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (csl_json_as_u64(csl_json_get(v, counts[i]), &n))
            csl_json_put_u64(j, counts[i], n);
    csl_json_key(j, "gaps");
    csl_json_object(j);
    for (size_t i = 0; i < csl_json_count(gaps); i++) {
        const char *name = "";
        const struct csl_json_value *gap = csl_json_member_at(gaps, i, &name);
        put_figure(j, name, gap);
    }
    csl_json_end(j);
    if (worst != NULL) {
        csl_json_key(j, "worst");
        csl_json_object(j);
        csl_json_put_str(j, "value", text_of(worst, "value"));
        if (csl_json_as_u64(csl_json_get(worst, "patients"), &n))
            csl_json_put_u64(j, "patients", n);
        put_figure(j, "macro_f1", csl_json_get(worst, "macro_f1"));
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_groups(struct csl_json *j, const struct csl_json_value *groups)
{
    csl_json_key(j, "patient_groups");
    csl_json_array(j);
    for (size_t i = 0; i < csl_json_count(groups); i++)
        put_group(j, csl_json_at(groups, i));
    csl_json_end(j);
}

static void print_json(const struct status *s, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", STATUS_FORMAT);
    csl_json_put_str(&j, "study", s->study);
    csl_json_put_str(&j, "state", s->state);
    if (s->reason[0] != '\0')
        csl_json_put_str(&j, "reason", s->reason);
    csl_json_put_u64(&j, "round", s->round);
    csl_json_put_u64(&j, "rounds", s->rounds);
    csl_json_key(&j, "sites");
    csl_json_array(&j);
    for (size_t i = 0; i < csl_json_count(s->sites); i++) {
        struct site_status site = read_site(csl_json_at(s->sites, i));
        csl_json_object(&j);
        csl_json_put_str(&j, "id", site.id);
        csl_json_put_bool(&j, "connected", site.is_connected);
        csl_json_put_str(&j, "state", site.state);
        if (site.patients > 0)
            csl_json_put_u64(&j, "patients", site.patients);
        csl_json_put_str(&j, "last_error", site.last_error);
        csl_json_end(&j);
    }
    csl_json_end(&j);
    put_evaluations(&j, s->evaluations);
    put_groups(&j, s->groups);
    put_rejected(&j, s->rejected);
    csl_json_put_u64(&j, "updated_unix_ms", s->updated_unix_ms);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

int csl_cmd_status(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {0};
    struct csl_err err = {0};
    struct csl_json_doc *doc = NULL;
    struct status s = {0};
    struct csl_buf out;
    char path[CSL_PATH_MAX];
    int status = 0;

    if (!csl_cli_start(&csl_doc_status, &flags, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 1)
        return csl_cli_misuse(&csl_doc_status, "found %zu word%s; one folder would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    enum csl_code code = csl_path_join(path, sizeof(path), line.positional[0], "status.json", &err);
    if (code == CSL_OK)
        code = csl_json_read(&doc, path, STATUS_BYTES_MAX, &err);
    if (code == CSL_E_NOTFOUND)
        code = CSL_FAIL(&err, code,
                        "no status.json in %s; a coordinator's state folder would be right: the "
                        "'state' of its configuration, or OUT/state/RUN/coordinator/state of "
                        "'simulate --transport grpc --out OUT'",
                        line.positional[0]);
    if (code == CSL_OK)
        code = read_status(path, csl_json_root(doc), &s, &err);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (code == CSL_OK && flags.json)
        print_json(&s, &out);
    else if (code == CSL_OK)
        print_text(&s, &out);
    csl_json_free(doc);
    return code == CSL_OK ? csl_cli_print(&out, CSL_EXIT_DONE)
                          : csl_cli_fail_as(&csl_doc_status, &err, flags.json);
}
