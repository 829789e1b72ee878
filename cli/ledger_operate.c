/* cli/ledger_operate.c - `consilium ledger withdraw|stop`: what an operator does when patients left
 * the records under a running study, or when the study is to end at this site. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/ledger_verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

struct operation {
    struct csl_ledger *ledger;
    int lock;        /* of the folder; -1: not taken */
    uint64_t closed; /* reservations */
};

/* The agent keeps its folder locked: with it stopped, nothing is being trained. */
static enum csl_code start(struct operation *o, const char *database, struct csl_err *err)
{
    char folder[CSL_PATH_MAX] = ".";
    enum csl_code code = csl_path_beside(folder, database, err);

    *o = (struct operation){.lock = -1};
    if (code == CSL_OK)
        code = csl_dir_lock(folder, &o->lock, err);
    return code == CSL_OK ? csl_cli_ledger_open_site(&o->ledger, database, err) : code;
}

static int finish(struct operation *o, enum csl_code code, const struct csl_err *err)
{
    csl_ledger_close(o->ledger);
    if (o->lock >= 0)
        (void)close(o->lock);
    return code == CSL_OK ? CSL_EXIT_DONE : csl_cli_fail(&csl_doc_ledger, err);
}

/* An agent that starts again must not charge what was reserved under what is changed now. It stays
 * spent: this folder may be a copy from before an update left. study NULL: of all studies. */
static enum csl_code close_open(struct operation *o, const uint8_t *study, struct csl_err *err)
{
    size_t count = csl_ledger_open_reservations(o->ledger, NULL, 0);
    enum csl_code code = CSL_OK;

    if (count == 0)
        return CSL_OK;
    struct csl_ledger_open_reservation *open = csl_alloc_array(count, sizeof(*open));
    if (open == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu reservations", count);
    (void)csl_ledger_open_reservations(o->ledger, open, count);
    for (size_t i = 0; i < count && code == CSL_OK; i++) {
        if (study != NULL && memcmp(open[i].study_digest, study, CSL_DIGEST_BYTES) != 0)
            continue;
        code = csl_ledger_settle(o->ledger, open[i].reservation, true, err);
        o->closed += code == CSL_OK ? 1 : 0;
    }
    csl_free(open);
    return code;
}

static void print_closed(const struct operation *o)
{
    if (o->closed > 0)
        (void)printf("reservations never charged, which stay spent: %" PRIu64 "\n", o->closed);
}

int csl_cli_ledger_stop(const char *database, const struct csl_cli_operate *c)
{
    struct operation o;
    struct csl_err err = {0};
    uint8_t study[CSL_DIGEST_BYTES];

    if (!csl_unhex(c->study, study, sizeof(study)))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--study: found '%.80s'; the 64 hexadecimal digits of `consilium "
                              "study show` would be right",
                              c->study);
    enum csl_code code = start(&o, database, &err);
    if (code == CSL_OK)
        code = csl_ledger_stop(o.ledger, study, CSL_LEDGER_STOP_OPERATOR, &err);
    if (code == CSL_OK)
        code = close_open(&o, study, &err);
    if (code == CSL_OK) {
        (void)printf("study %.16s is stopped: it reserves and charges nothing more at this site, "
                     "for good; what it spent stays spent\n",
                     c->study);
        print_closed(&o);
    }
    return finish(&o, code, &err);
}

static enum csl_code find_cohort(struct csl_ledger *l, const char *cohort, struct csl_err *err)
{
    struct csl_ledger_entry e;
    enum csl_code code = CSL_OK;

    for (uint64_t i = 0; i < csl_ledger_size(l) && code == CSL_OK; i++) {
        code = csl_ledger_read(l, i, &e, err);
        if (code == CSL_OK && e.kind == CSL_LEDGER_APPROVE &&
            strcmp(e.u.approve.cohort, cohort) == 0)
            return CSL_OK;
    }
    return code != CSL_OK ? code
                          : CSL_FAIL(err, CSL_E_NOTFOUND,
                                     "no study of a cohort '%.80s' is in the ledger", cohort);
}

int csl_cli_ledger_withdraw(const char *database, const struct csl_cli_operate *c)
{
    struct operation o;
    struct csl_err err = {0};
    uint8_t digest[CSL_DIGEST_BYTES];
    char band[48];

    if (!csl_unhex(c->cohort_digest, digest, sizeof(digest)))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--cohort-digest: found '%.80s'; the 64 hexadecimal digits that the "
                              "agent named when it refused the records would be right",
                              c->cohort_digest);
    if (c->patients == 0)
        return csl_cli_misuse(&csl_doc_ledger,
                              "--patients: found none; how many are left would be right");
    enum csl_code code = start(&o, database, &err);
    if (code == CSL_OK)
        code = find_cohort(o.ledger, c->cohort, &err);
    if (code == CSL_OK)
        code = close_open(&o, NULL, &err);
    if (code == CSL_OK)
        code = csl_ledger_withdraw(o.ledger, c->cohort, digest, csl_ledger_band(c->patients), &err);
    if (code == CSL_OK) {
        csl_ledger_band_text(csl_ledger_band(c->patients), band, sizeof(band));
        (void)printf("cohort %s: its studies go on with the records of this digest, %s patients; "
                     "what was spent stays spent\n",
                     c->cohort, band);
        print_closed(&o);
    }
    return finish(&o, code, &err);
}
