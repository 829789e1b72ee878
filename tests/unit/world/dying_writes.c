/* Every durable write of agent and service, through dying.h (linked with --wrap). */
#include "base/blob.h"
#include "base/file.h"
#include "coordinator/store/store.h"
#include "privacy/ledger/ledger.h"
#include "privacy/secagg/journal.h"
#include "site-agent/store/site_store.h"
#include "tests/unit/world/dying.h"

/* clang-format off */
#define DYING(name, parameters, arguments)                                                         \
    enum csl_code __real_##name parameters;                                                        \
    enum csl_code __wrap_##name parameters;                                                        \
    enum csl_code __wrap_##name parameters                                                         \
    {                                                                                              \
        enum dying_fate fate = dying_write();                                                      \
        enum csl_code code = fate == DYING_BEFORE ? CSL_OK : __real_##name arguments;              \
        if (fate == DYING_NOT || code != CSL_OK)                                                   \
            return code;                                                                           \
        return CSL_FAIL(err, CSL_E_IO, "%s: the process died", #name);                             \
    }

DYING(csl_secagg_journal_append,
      (struct csl_secagg_journal *j, const struct csl_secagg_journal_record *r, struct csl_err *err),
      (j, r, err))
DYING(csl_secagg_journal_replace,
      (struct csl_secagg_journal *j, const struct csl_secagg_journal_record *r, uint32_t n, struct csl_err *err),
      (j, r, n, err))
DYING(csl_secagg_journal_move,
      (struct csl_secagg_journal *j, const char *path, struct csl_err *err),
      (j, path, err))
DYING(csl_file_write_atomic,
      (const char *path, struct csl_span s, unsigned mode, struct csl_err *err),
      (path, s, mode, err))
DYING(csl_blob_sync,
      (struct csl_blobs *b, const char *name, struct csl_err *err),
      (b, name, err))
DYING(csl_site_store_save,
      (struct csl_site_store *s, const struct csl_site_memory *m, struct csl_err *err),
      (s, m, err))
DYING(csl_ledger_reserve,
      (struct csl_ledger *l, const struct csl_ledger_request *r, uint64_t *id, struct csl_err *err),
      (l, r, id, err))
DYING(csl_ledger_charge,
      (struct csl_ledger *l, uint64_t id, const struct csl_ledger_charge *c, struct csl_err *err),
      (l, id, c, err))
DYING(csl_ledger_settle,
      (struct csl_ledger *l, uint64_t id, bool released, struct csl_err *err),
      (l, id, released, err))
DYING(csl_store_save_study,
      (struct csl_store *s, const struct csl_store_study *x, struct csl_err *err),
      (s, x, err))
DYING(csl_store_save_evaluation,
      (struct csl_store *s, const struct csl_store_evaluation *e, struct csl_err *err),
      (s, e, err))
DYING(csl_store_save_publication,
      (struct csl_store *s, const struct csl_store_publication *p, struct csl_err *err),
      (s, p, err))
DYING(csl_store_save_update,
      (struct csl_store *s, const struct csl_store_update *u, struct csl_err *err),
      (s, u, err))
DYING(csl_store_forget_updates,
      (struct csl_store *s, struct csl_err *err),
      (s, err))
DYING(csl_store_commit_round,
      (struct csl_store *s, const struct csl_store_study *x, const struct csl_store_round *r, const char *const *ids, uint32_t n, struct csl_err *err),
      (s, x, r, ids, n, err))
/* clang-format on */
