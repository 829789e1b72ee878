/* cli/ledger_recover.c - `consilium ledger recover`: an operator gives up a head that the ledger
 * does not continue, names it, and says what the lost entries may have cost. */
#include "base/file.h"
#include "cli/ledger_verbs.h"
#include "privacy/dp/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct recovery {
    char key[CSL_PATH_MAX], head[CSL_PATH_MAX], site[CSL_ID_MAX];
    struct csl_ledger *ledger;
};

/* Which site's ledger it is stands in its own first entry. */
static enum csl_code read_site(struct recovery *r, const char *database, struct csl_err *err)
{
    const struct csl_ledger_config config = {.path = database, .is_read_only = true};
    struct csl_ledger_entry e;
    struct csl_ledger *l = NULL;
    enum csl_code code = csl_ledger_open(&l, &config, err);

    if (code == CSL_OK)
        code = csl_ledger_read(l, 0, &e, err);
    if (code == CSL_OK)
        memcpy(r->site, e.u.open.site, sizeof(r->site));
    csl_ledger_close(l);
    return code;
}

static enum csl_code open_ledger(struct recovery *r, const char *database, struct csl_err *err)
{
    enum csl_code code = read_site(r, database, err);

    (void)snprintf(r->key, sizeof(r->key), "ledger.key");
    (void)snprintf(r->head, sizeof(r->head), "ledger.head");
    if (code == CSL_OK)
        code = csl_path_beside(r->key, database, err);
    if (code == CSL_OK)
        code = csl_path_beside(r->head, database, err);
    const struct csl_ledger_config config = {.path = database,
                                             .key_path = r->key,
                                             .head_path = r->head,
                                             .site = r->site,
                                             .price = csl_account_epsilon,
                                             .now_s = csl_cli_ledger_wall_s};
    return code == CSL_OK ? csl_ledger_open(&r->ledger, &config, err) : code;
}

enum csl_code csl_cli_ledger_open_site(struct csl_ledger **out, const char *database,
                                       struct csl_err *err)
{
    struct recovery r = {.ledger = NULL};
    enum csl_code code = open_ledger(&r, database, err);

    if (code == CSL_OK)
        *out = r.ledger;
    return code;
}

/* A head that the coordinator remembers, in a file: it is what the trouble is about. */
static enum csl_code meet_head(struct recovery *r, const char *path, struct csl_err *err)
{
    struct csl_checkpoint head;
    enum csl_code code =
        csl_cli_ledger_read_head(&head, path, csl_ledger_public_key(r->ledger), err);

    if (code != CSL_OK)
        return code;
    code = csl_ledger_check_peer_head(r->ledger, &head, err);
    return code == CSL_E_STATE ? CSL_OK : code; /* the trouble this command is for */
}

int csl_cli_ledger_recover(const char *database, const struct csl_cli_recover *c)
{
    struct recovery r = {.ledger = NULL};
    struct csl_err err = {0};
    uint8_t root[CSL_SHA256_BYTES];
    int status = CSL_EXIT_DONE;

    if (!csl_unhex(c->root, root, sizeof(root)))
        return csl_cli_misuse(
            &csl_doc_ledger,
            "--root: found '%.80s'; the 64 hexadecimal digits of the head that is "
            "given up would be right",
            c->root);
    enum csl_code code = open_ledger(&r, database, &err);
    if (code == CSL_OK && c->head[0] != '\0')
        code = meet_head(&r, c->head, &err);
    if (code == CSL_OK)
        code = csl_ledger_recover(r.ledger, c->size, root, c->lost_epsilon, c->lost_delta, &err);
    if (code == CSL_OK)
        (void)printf("the head of size %" PRIu64 " is given up; what its entries may have cost "
                     "(epsilon %g, delta %g) counts against every budget from now on\n",
                     c->size, c->lost_epsilon, c->lost_delta);
    else
        status = csl_cli_fail(&csl_doc_ledger, &err);
    if (code == CSL_E_STATE) /* nothing to recover from */
        status = CSL_EXIT_NEGATIVE;
    csl_ledger_close(r.ledger);
    return status;
}
