#include "simulations/ledgers.h"

#include "base/file.h"
#include "base/log.h"
#include "privacy/dp/account.h"
#include "privacy/ledger/verify.h"
#include "protocol/study/evaluation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static enum csl_code verify_export(const char *path, const uint8_t *public_key, bool *is_verified,
                                   struct csl_err *err)
{
    const struct csl_ledger_verify_options options = {.public_key = public_key,
                                                      .price = csl_account_epsilon};
    struct csl_ledger_verdict verdict;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = csl_ledger_verify(f, &options, &verdict, &why);
    (void)fclose(f);
    *is_verified = code == CSL_OK;
    if (code == CSL_OK || code == CSL_E_CORRUPT) {
        if (code == CSL_E_CORRUPT)
            csl_log_err(CSL_LOG_ERROR, "ledger.unsound", &why);
        return CSL_OK;
    }
    return CSL_FAIL(err, code, "%s: %s", path, why.msg);
}

static enum csl_code export_and_verify(struct csl_ledger *l, const char *dir, const char *site,
                                       bool *is_verified, struct csl_err *err)
{
    char name[CSL_ID_MAX + 8], path[CSL_PATH_MAX];
    (void)snprintf(name, sizeof(name), "%s.ledger", site);
    enum csl_code code = csl_dir_make(dir, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), dir, name, err);
    if (code == CSL_OK)
        code = csl_ledger_export(l, path, err);
    if (code == CSL_OK)
        code = verify_export(path, csl_ledger_public_key(l), is_verified, err);
    return code;
}

/* The study's plan: its noise, and whether this was a rehearsal. */
static enum csl_code take_plan(struct csl_ledger *l, const struct csl_study *study,
                               struct csl_world_privacy *p, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint64_t i = 0; code == CSL_OK && i < p->entries; i++) {
        struct csl_ledger_entry e;
        code = csl_ledger_read(l, i, &e, err);
        bool is_plan = code == CSL_OK && e.kind == CSL_LEDGER_APPROVE &&
                       memcmp(e.u.approve.digest, study->digest, sizeof(study->digest)) == 0;
        if (!is_plan)
            continue;
        p->noise_multiplier = e.u.approve.events[0].noise_multiplier;
        p->is_rehearsal = e.u.approve.is_rehearsal;
        break;
    }
    return code;
}

/* A plan of their own. */
static enum csl_code take_statistics(struct csl_ledger *l, const struct csl_study *study,
                                     struct csl_world_privacy *p, struct csl_err *err)
{
    uint8_t digest[CSL_DIGEST_BYTES];
    struct csl_ledger_spent spent;
    if (!(study->statistics.epsilon > 0))
        return CSL_OK;
    csl_study_statistics_digest(study, digest);
    enum csl_code code = csl_ledger_spent_by_study(l, digest, &spent, err);
    if (code == CSL_OK)
        p->statistics_epsilon = spent.epsilon;
    return code;
}

enum csl_code csl_sim_ledger_take(struct csl_ledger *l, const struct csl_world_config *c,
                                  const char *site, struct csl_world_privacy *out,
                                  struct csl_err *err)
{
    struct csl_world_privacy p = {.is_present = true, .entries = csl_ledger_size(l)};
    struct csl_ledger_spent spent;
    struct csl_checkpoint head;
    enum csl_code code = csl_ledger_spent_by_study(l, c->study->digest, &spent, err);
    if (code == CSL_OK)
        code = take_statistics(l, c->study, &p, err);
    if (code == CSL_OK)
        code = take_plan(l, c->study, &p, err);
    if (code == CSL_OK && c->ledger_dir != NULL)
        code = export_and_verify(l, c->ledger_dir, site, &p.is_verified, err);
    if (code != CSL_OK)
        return code;
    p.epsilon = spent.epsilon + p.statistics_epsilon; /* basic composition, as the ledger's own */
    p.delta = csl_world_budget_delta(c->study);
    p.budget_epsilon = csl_world_budget(c->study);
    csl_ledger_head(l, &head);
    memcpy(p.root, head.root, sizeof(p.root));
    *out = p;
    return CSL_OK;
}

enum csl_code csl_sim_ledger_take_file(const char *database, const struct csl_world_config *c,
                                       const char *site, struct csl_world_privacy *out,
                                       struct csl_err *err)
{
    const struct csl_ledger_config config = {
        .path = database, .site = site, .is_read_only = true, .price = csl_account_epsilon};
    struct csl_ledger *l = NULL;
    if (!csl_file_exists(database))
        return CSL_OK;
    enum csl_code code = csl_ledger_open(&l, &config, err);
    if (code == CSL_OK)
        code = csl_sim_ledger_take(l, c, site, out, err);
    csl_ledger_close(l);
    return code;
}
