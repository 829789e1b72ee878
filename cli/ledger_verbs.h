/* cli/ledger_verbs.h - what the verbs of `consilium ledger` share. One thread. */
#ifndef CSL_CLI_LEDGER_VERBS_H
#define CSL_CLI_LEDGER_VERBS_H
#include "cli/cli.h"
#include "privacy/ledger/export.h"
#include "privacy/ledger/verify.h"

extern const struct csl_cli_doc csl_doc_ledger;

/* CSL_E_NOTFOUND; CSL_E_INVAL: a folder. */
enum csl_code csl_cli_ledger_open_file(FILE **out, const char *path,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* The key that an export names in its own first entry: not a proof of whose it is. CSL_E_PROTO: not
 * an export. */
enum csl_code csl_cli_ledger_claimed_key(FILE *in, uint8_t out[CSL_SIGN_PUBLIC_BYTES],
                                         struct csl_err *err) CSL_MUST_CHECK;
/* Entry `index` of an export. */
enum csl_code csl_cli_ledger_export_entry(FILE *in, uint64_t index, struct csl_ledger_entry *out,
                                          struct csl_err *err) CSL_MUST_CHECK;
/* A head of the ledger whose key is `public_key`, from a file that is a checkpoint, what the
 * coordinator keeps of a site (the key in hexadecimal, a line end, the checkpoint), or an export,
 * whose last head counts. CSL_E_INVAL: none of these, or of another key; CSL_E_NOTFOUND; CSL_E_IO.
 */
enum csl_code csl_cli_ledger_read_head(struct csl_checkpoint *out, const char *path,
                                       const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                       struct csl_err *err) CSL_MUST_CHECK;
uint64_t csl_cli_ledger_wall_s(void *ctx); /* for csl_ledger_config */
/* For writing, with the key and the head file beside it. */
enum csl_code csl_cli_ledger_open_site(struct csl_ledger **out, const char *database,
                                       struct csl_err *err) CSL_MUST_CHECK;

/* The verbs. Each returns an exit status. */
int csl_cli_ledger_show(const char *path, bool is_json);
#define CSL_CLI_HEADS_MAX 16
struct csl_cli_verify { /* what the caller knows that is not from the export; lists: lines */
    char public_key[2 * CSL_SIGN_PUBLIC_BYTES + 2];
    char peers[2048];  /* ID=HEX */
    const char *heads; /* files */
};
int csl_cli_ledger_verify(const char *path, const struct csl_cli_verify *c, bool is_json);
/* What an operator states to go on after a rollback. */
struct csl_cli_recover {
    uint64_t size;    /* of the head that is given up */
    char root[80];    /* its root, hexadecimal */
    const char *head; /* file with that head as the coordinator remembers it; "": the head file */
    double lost_epsilon, lost_delta; /* what the lost entries may have cost; may be infinite */
};
int csl_cli_ledger_recover(const char *database, const struct csl_cli_recover *c);
/* What an operator says of a study or of a cohort's patients. */
struct csl_cli_operate {
    char study[80], cohort[CSL_ID_MAX], cohort_digest[80]; /* digests: hexadecimal */
    uint64_t patients; /* of the cohort, afterwards; only their size band is written down */
};
int csl_cli_ledger_withdraw(const char *database, const struct csl_cli_operate *c);
int csl_cli_ledger_stop(const char *database, const struct csl_cli_operate *c);
int csl_cli_ledger_compare(const char *path_a, const char *path_b, bool is_json);

#endif
