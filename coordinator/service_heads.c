/* Ledger heads in the messages of a study with privacy: what a site announces with an update and
 * proves to continue what is remembered is remembered and countersigned, and the next task shows it
 * to the site. Of an update without such a head not one byte is asked for. */
#include "coordinator/service_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

_Static_assert(CSL_HEAD_TEXT_MAX == CSL_CHECKPOINT_TEXT_MAX, "a head travels as its text");
_Static_assert(CSL_LEDGER_KEY_BYTES == CSL_SIGN_PUBLIC_BYTES, "a key travels as it is");
_Static_assert(CSL_COUNTERSIGNATURE_BYTES == CSL_SIGN_SIGNATURE_BYTES, "so does a signature");
_Static_assert(CSL_LEDGER_HASH_BYTES == CSL_SHA256_BYTES, "so does a hash");
_Static_assert(CSL_LEDGER_PROOF_MAX == CSL_MERKLE_PROOF_MAX, "a proof travels whole");

/* Sites by their numbers in the core, which sorts the roster. */
enum csl_code csl_service_open_heads__(struct csl_service *s, struct csl_err *err)
{
    if (s->study->privacy.mode == CSL_PRIVACY_NONE)
        return CSL_OK;
    char(*sites)[CSL_ID_MAX] = csl_alloc_array(s->site_count, sizeof(*sites));
    if (sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the names of %u sites", s->site_count);
    for (uint32_t i = 0; i < s->site_count; i++)
        memcpy(sites[i], csl_coord_site(s->core, i)->id, sizeof(sites[i]));
    enum csl_code code = csl_heads_open(&s->heads, s->config.state_dir,
                                        (const char(*)[CSL_ID_MAX])sites, s->site_count, err);
    csl_free(sites);
    if (code != CSL_OK)
        return code;
    char key[2 * CSL_SIGN_PUBLIC_BYTES + 1]; /* what an auditor checks countersignatures with */
    csl_hex(csl_heads_public_key(s->heads), CSL_SIGN_PUBLIC_BYTES, key);
    csl_log(CSL_LOG_INFO, "ledger.countersigning_key", CSL_STR("public_key", key));
    return CSL_OK;
}

enum csl_code csl_service_take_head__(struct csl_service *s, uint32_t site,
                                      const struct csl_message *m)
{
    struct csl_site_io *io = &s->io[site];
    struct csl_err err;
    if (s->heads == NULL || m->kind != CSL_MSG_UPDATE_READY)
        return CSL_OK;
    const struct csl_msg_update_ready *u = &m->u.update_ready;
    const struct csl_heads_claim claim = {.text = u->ledger_head,
                                          .key = u->ledger_key,
                                          .proof = u->ledger_proof,
                                          .proof_count = u->ledger_proof_count};
    enum csl_code code = csl_heads_offer(s->heads, site, &claim, io->countersignature, &err);
    io->is_countersigned = code == CSL_OK;
    if (code == CSL_E_IO || code == CSL_E_NOMEM)
        csl_service_fail__(s, &err); /* what is not remembered cannot be vouched for later */
    else if (code != CSL_OK)
        csl_log_err(CSL_LOG_WARN, "ledger.head_refused", &err);
    return code;
}

void csl_service_put_head__(struct csl_service *s, uint32_t site, struct csl_message *m)
{
    const struct csl_site_io *io = &s->io[site];
    if (s->heads == NULL)
        return;
    if (m->kind == CSL_MSG_TASK) {
        (void)csl_str_copy(m->u.task.ledger_head, sizeof(m->u.task.ledger_head),
                           csl_heads_last(s->heads, site));
    } else if (m->kind == CSL_MSG_UPDATE_ACCEPTED && io->is_countersigned) {
        struct csl_msg_update_accepted *a = &m->u.update_accepted;
        memcpy(a->countersignature, io->countersignature, sizeof(a->countersignature));
        memcpy(a->ledger_key, csl_heads_public_key(s->heads), sizeof(a->ledger_key));
    }
}
