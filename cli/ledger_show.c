/* cli/ledger_show.c - `consilium ledger show`: every entry of a database or an export, and what is
 * spent and left. Written as it is read: a ledger may be longer than memory. */
#include "base/str.h"
#include "cli/ledger_verbs.h"
#include "cli/privacy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define SQLITE_MAGIC "SQLite format 3" /* and a NUL */

struct show {
    bool is_json;
    enum csl_code code; /* the first that went wrong while writing */
    uint64_t entries;
    uint32_t studies, budgets;
};

static void show_entry(void *ctx, const struct csl_ledger_entry *e)
{
    struct show *s = ctx;
    struct csl_msg json = {NULL, 0};
    char text[512];

    s->entries++;
    if (s->code != CSL_OK)
        return;
    if (!s->is_json) {
        csl_ledger_entry_text(e, text, sizeof(text));
        if (printf("%s\n", text) < 0)
            s->code = CSL_E_IO;
        return;
    }
    s->code = csl_ledger_entry_json(e, &json, NULL);
    if (s->code == CSL_OK && (fwrite(json.p, 1, json.n, stdout) != json.n || putchar('\n') == EOF))
        s->code = CSL_E_IO;
    csl_msg_release(&json);
}

static void show_study(void *ctx, const struct csl_ledger_study *plan,
                       const struct csl_ledger_spent *spent)
{
    struct show *s = ctx;
    char epsilon[CSL_ROUNDED_MAX], digest[17];

    if (s->is_json)
        return;
    if (s->studies++ == 0)
        (void)printf("\nstudies (epsilon rounded up):\n");
    csl_hex(plan->digest, 8, digest);
    csl_round_up(epsilon, spent->epsilon);
    (void)printf(
        "  %s  cohort %s  epsilon %s at delta %g  %" PRIu64 " charge%s, %" PRIu64 " step%s%s%s\n",
        digest, plan->cohort, epsilon, plan->delta, spent->charges, csl_str_plural(spent->charges),
        spent->steps_charged, csl_str_plural(spent->steps_charged),
        spent->is_stopped ? "  stopped" : "", plan->is_rehearsal ? "  rehearsal" : "");
}

/* Never above a - b. */
static double left_of(double a, double b)
{
    double left = nextafter(a - b, -HUGE_VAL);

    return left > 0 ? left : 0; /* also for what was spent without bound */
}

static void show_budget(void *ctx, const struct csl_ledger_budget *b,
                        const struct csl_ledger_spent *spent)
{
    struct show *s = ctx;
    char used[CSL_ROUNDED_MAX], left[CSL_ROUNDED_MAX], delta[CSL_ROUNDED_MAX], window[40] = "ever";

    if (s->is_json)
        return;
    if (s->budgets++ == 0)
        (void)printf("\nbudgets (spent rounded up, left rounded down):\n");
    if (b->window_s > 0)
        (void)snprintf(window, sizeof(window), "%g days", (double)b->window_s / 86400);
    csl_round_up(used, spent->epsilon);
    csl_round_down(left, spent->epsilon > 0 ? left_of(b->epsilon, spent->epsilon) : b->epsilon);
    csl_round_down(delta, spent->delta > 0 ? left_of(b->delta, spent->delta) : b->delta);
    (void)printf("  cohort %s%s%s, %s: epsilon %s spent of %g, %s left; delta %s left\n", b->cohort,
                 b->group[0] ? ", " : "", b->group, window, used, b->epsilon, left, delta);
}

static enum csl_code show_export(struct show *s, FILE *in, struct csl_err *err)
{
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    const struct csl_ledger_visitor visitor = {.ctx = s,
                                               .now_s = csl_cli_ledger_wall_s(NULL),
                                               .entry = show_entry,
                                               .study = show_study,
                                               .budget = show_budget};
    const struct csl_ledger_verify_options o = {.public_key = key, .visitor = &visitor};
    struct csl_ledger_verdict verdict;
    enum csl_code code = csl_cli_ledger_claimed_key(in, key, err);

    return code == CSL_OK ? csl_ledger_verify(in, &o, &verdict, err) : code;
}

static enum csl_code show_sums(struct show *s, struct csl_ledger *l, struct csl_err *err)
{
    const struct csl_ledger_policy *policy = csl_ledger_current_policy(l);
    uint64_t size = csl_ledger_size(l);
    enum csl_code code = CSL_OK;
    struct csl_ledger_spent spent;

    for (uint64_t i = 0; i < size && code == CSL_OK; i++) {
        struct csl_ledger_entry e;
        code = csl_ledger_read(l, i, &e, err);
        if (code != CSL_OK || e.kind != CSL_LEDGER_APPROVE)
            continue;
        code = csl_ledger_spent_by_study(l, e.u.approve.digest, &spent, err);
        if (code == CSL_OK)
            show_study(s, &e.u.approve, &spent);
    }
    for (uint32_t i = 0; code == CSL_OK && policy && i < policy->budget_count; i++) {
        const struct csl_ledger_budget *b = &policy->budgets[i];
        csl_ledger_spent_by_cohort(l, b->cohort, b->window_s, &spent);
        show_budget(s, b, &spent);
    }
    return code;
}

static enum csl_code show_database(struct show *s, const char *path, struct csl_err *err)
{
    const struct csl_ledger_config config = {
        .path = path, .now_s = csl_cli_ledger_wall_s, .is_read_only = true};
    struct csl_ledger *l = NULL;
    enum csl_code code = csl_ledger_open(&l, &config, err);
    uint64_t size = code == CSL_OK ? csl_ledger_size(l) : 0;

    for (uint64_t i = 0; i < size && code == CSL_OK; i++) {
        struct csl_ledger_entry e;
        code = csl_ledger_read(l, i, &e, err);
        if (code == CSL_OK)
            show_entry(s, &e);
    }
    if (code == CSL_OK && !s->is_json)
        code = show_sums(s, l, err);
    csl_ledger_close(l);
    return code;
}

int csl_cli_ledger_show(const char *path, bool is_json)
{
    struct show s = {.is_json = is_json};
    char head[sizeof(SQLITE_MAGIC)] = "";
    struct csl_err err = {0};
    FILE *in = NULL;
    enum csl_code code = csl_cli_ledger_open_file(&in, path, &err);

    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, is_json);
    bool is_database = fread(head, 1, sizeof(head), in) == sizeof(head) &&
                       memcmp(head, SQLITE_MAGIC, sizeof(head)) == 0;
    code = is_database ? show_database(&s, path, &err) : show_export(&s, in, &err);
    (void)fclose(in);
    if (code == CSL_OK && !is_json && printf("\n%" PRIu64 " entries\n", s.entries) < 0)
        s.code = CSL_E_IO;
    if (s.code != CSL_OK || fflush(stdout) != 0) {
        fprintf(stderr, "consilium ledger: cannot write the output\n");
        return CSL_EXIT_FAILED;
    }
    if (code == CSL_OK)
        return CSL_EXIT_DONE;
    (void)csl_cli_fail(&csl_doc_ledger, &err);
    return code == CSL_E_CORRUPT && s.entries > 0 ? CSL_EXIT_NEGATIVE : CSL_EXIT_USAGE;
}
