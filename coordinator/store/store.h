/* coordinator/store/store.h - what the coordinator remembers across a restart, in one SQLite file
 * (WAL, synchronous FULL): the study's state, its members, the updates held for the current round,
 * the rounds that were committed and what the sites reported of each model. No patient data, no
 * tensors: those are checkpoints (coordinator/model) and the spool.
 *
 * Each save is durable when it returns. Core thread only. */
#ifndef CSL_COORD_STORE_H
#define CSL_COORD_STORE_H
#include "base/bytes.h"
#include "protocol/wire/messages.h"

struct csl_store;

struct csl_store_study {
    char id[CSL_ID_MAX];
    uint8_t digest[CSL_DIGEST_BYTES];
    uint32_t state; /* enum csl_study_state */
    uint64_t rounds_done;
    bool is_evaluating;
    uint64_t seed;
};
struct csl_store_member {
    char site[CSL_ID_MAX];
    uint32_t membership; /* enum csl_membership */
    uint64_t rounds_contributed;
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX];
};
struct csl_store_update {
    char site[CSL_ID_MAX];
    uint64_t round, bytes_total;
    uint8_t digest[CSL_DIGEST_BYTES];
    double train_loss;
    uint32_t block_count;
    struct csl_block_count blocks[CSL_BLOCKS_MAX];
};
struct csl_store_task { /* of a study that is buffered: what a site was told last */
    char site[CSL_ID_MAX];
    uint64_t round;
    uint8_t model_digest[CSL_DIGEST_BYTES];
};
struct csl_store_round {
    uint64_t round;
    uint32_t contributions;
    double train_loss;
};
struct csl_store_evaluation {
    uint64_t round;
    char site[CSL_ID_MAX];
    struct csl_eval_block block;
};

struct csl_store_publication { /* an opened sum of the statistics of one domain */
    uint64_t round;
    uint32_t domain, sites;
    uint64_t word_count;
    const uint64_t *words; /* [word_count]; borrowed */
};
#define CSL_STORE_WORDS_MAX 4096 /* of one row */

/* Creates or opens path. CSL_E_CORRUPT: not ours or damaged; CSL_E_UNSUPPORTED: a newer version. */
enum csl_code csl_store_open(struct csl_store **out, const char *path,
                             struct csl_err *err) CSL_MUST_CHECK;
void csl_store_close(struct csl_store *s);

/* *found false: a fresh store. */
enum csl_code csl_store_load_study(struct csl_store *s, struct csl_store_study *out, bool *found,
                                   struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_save_study(struct csl_store *s, const struct csl_store_study *study,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* Commits a round: the study row and the round's row in one transaction. Every member with a row in
 * contributed[] counts one more round, and has no held update and no task any more. */
enum csl_code csl_store_commit_round(struct csl_store *s, const struct csl_store_study *study,
                                     const struct csl_store_round *round,
                                     const char *const *contributed, uint32_t contributed_count,
                                     struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_save_member(struct csl_store *s, const struct csl_store_member *m,
                                    struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_save_update(struct csl_store *s, const struct csl_store_update *u,
                                    struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_save_task(struct csl_store *s, const struct csl_store_task *t,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* No update is held any more. */
enum csl_code csl_store_forget_updates(struct csl_store *s, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_save_evaluation(struct csl_store *s, const struct csl_store_evaluation *e,
                                        struct csl_err *err) CSL_MUST_CHECK;

/* In place of an earlier one of the round and domain. */
enum csl_code csl_store_save_publication(struct csl_store *s, const struct csl_store_publication *p,
                                         struct csl_err *err) CSL_MUST_CHECK;

/* Visits rows in order (site; round; round, site, block). The pointer is valid during the call. */
enum csl_code csl_store_each_member(struct csl_store *s,
                                    enum csl_code (*visit)(void *ctx,
                                                           const struct csl_store_member *m,
                                                           struct csl_err *err),
                                    void *ctx, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_each_update(struct csl_store *s,
                                    enum csl_code (*visit)(void *ctx,
                                                           const struct csl_store_update *u,
                                                           struct csl_err *err),
                                    void *ctx, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_each_task(struct csl_store *s,
                                  enum csl_code (*visit)(void *ctx, const struct csl_store_task *t,
                                                         struct csl_err *err),
                                  void *ctx, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_each_round(struct csl_store *s,
                                   enum csl_code (*visit)(void *ctx,
                                                          const struct csl_store_round *r,
                                                          struct csl_err *err),
                                   void *ctx, struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_store_each_evaluation(struct csl_store *s,
                                        enum csl_code (*visit)(void *ctx,
                                                               const struct csl_store_evaluation *e,
                                                               struct csl_err *err),
                                        void *ctx, struct csl_err *err) CSL_MUST_CHECK;
/* By round and domain. */
enum csl_code csl_store_each_publication(
    struct csl_store *s,
    enum csl_code (*visit)(void *ctx, const struct csl_store_publication *p, struct csl_err *err),
    void *ctx, struct csl_err *err) CSL_MUST_CHECK;

#endif
