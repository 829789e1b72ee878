/* site-agent/store/site_store.h - what a site remembers across a restart, one row in one SQLite
 * file (WAL, synchronous FULL): the study it accepted, its outbox, the round of its SCAFFOLD
 * control. The bytes of update and control are blobs, made durable before the row that names them.
 * No patient data. Core thread and worker thread may save; not at the same time. */
#ifndef CSL_SITE_STORE_H
#define CSL_SITE_STORE_H
#include "base/bytes.h"
#include "site-agent/core/site.h"

struct csl_site_memory {
    bool has_study;
    uint8_t study_digest[CSL_DIGEST_BYTES];
    struct csl_msg manifest; /* YAML bytes; owned */
    struct csl_outbox outbox;
    /* Of the control variate and the local blocks that are here, 0: none; and which of the site's
     * trainings left them, since a round may be trained again. */
    uint64_t control_round, control_run;
};
void csl_site_memory_release(struct csl_site_memory *m);

struct csl_site_store;
/* Creates or opens path. CSL_E_CORRUPT: not ours or damaged; CSL_E_UNSUPPORTED: a newer version. */
enum csl_code csl_site_store_open(struct csl_site_store **out, const char *path,
                                  struct csl_err *err) CSL_MUST_CHECK;
void csl_site_store_close(struct csl_site_store *s);
enum csl_code csl_site_store_load(struct csl_site_store *s, struct csl_site_memory *out,
                                  struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_site_store_save(struct csl_site_store *s, const struct csl_site_memory *m,
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
