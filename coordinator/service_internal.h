/* coordinator/service_internal.h - shared by the service's own files only. */
#ifndef CSL_COORD_SERVICE_INTERNAL_H
#define CSL_COORD_SERVICE_INTERNAL_H
#include "aggregation/accumulate.h"
#include "aggregation/strategy/strategy.h"
#include "base/blob.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "coordinator/heads.h"
#include "coordinator/service.h"
#include "coordinator/store/store.h"
#include "privacy/crypto/sha256.h"
#include "protocol/wire/parts.h"

#include <stdatomic.h>

#define CSL_SERVICE_IO_BYTES      ((size_t)256 * 1024) /* spool writes and reads */
#define CSL_SERVICE_SLICE         65536u               /* parameters per strategy step */
#define CSL_SERVICE_STATE_MAX     4                    /* vectors a strategy may keep */
#define CSL_SERVICE_BROADCAST_MAX 2                    /* vectors a site is sent */
#define CSL_SERVICE_BATCH         1024u                /* events between two looks at the clock */
/* Messages that wait for the core: of one connection, of all, and how connections are counted. */
#define CSL_SERVICE_QUEUED_MAX   32u
#define CSL_SERVICE_QUEUED_BYTES ((size_t)256 * 1024 * 1024)
#define CSL_SERVICE_QUEUED_SLOTS 8192u
/* Of each site FOLDED, ABSENT and SILENT, the latter two also at a start; AGGREGATED, JUDGED,
 * REOPEN, ABORT.
 */
#define CSL_SERVICE_ANSWERS(sites) (5 * (sites) + 4)

#define CSL_SERVICE_REASON_MAX 192

struct csl_ticket {
    bool is_valid, is_evaluated; /* a download: of what is evaluated */
    uint8_t bytes[CSL_TICKET_BYTES];
    uint64_t round, bytes_total, offset;
    uint8_t digest[CSL_DIGEST_BYTES]; /* a download: if buffered */
};
struct csl_site_io {
    struct csl_mutex lock;  /* held while a byte of this site's spool is written */
    uint64_t generation;    /* guarded by lock: only the upload of the newest grant may write */
    char spool[CSL_ID_MAX]; /* guarded by lock: name of the newest grant's spool */
    struct csl_ticket upload, download; /* guarded by service lock */
    bool download_has[CSL_BLOCKS_MAX];  /* likewise: blocks of the download's part */
    uint64_t verified_round;            /* guarded by service lock: spool was verified whole */
    /* core thread: */
    uint64_t sequence_in, sequence_out;
    struct csl_parts parts; /* of this session */
    csl_conn conn;
    struct csl_log_quota bad_messages, refusals, audit_refusals; /* lines about it */
    bool has_grant, awaits_grant; /* of an upload; has_grant stays set after the upload is over */
    uint64_t grant_round, granted_ns;
    bool is_countersigned; /* the head announced last */
    uint8_t countersignature[CSL_SIGN_SIGNATURE_BYTES];
};
struct csl_service_event {
    struct csl_coord_event ev;
    char site_id[CSL_ID_MAX];
    struct csl_msg bytes; /* MESSAGE: still encoded */
};

struct csl_service {
    struct csl_service_config config; /* state_dir points to the copy below, or is NULL */
    char state_dir[CSL_PATH_MAX];
    int state_lock; /* -1: none */
    const struct csl_study *study;
    const struct csl_strategy_ops *strategy;
    struct csl_strategy_config strategy_config;
    struct csl_coord *core;
    struct csl_store *store; /* NULL: in memory */
    struct csl_blobs *spool;
    struct csl_service_secagg *secagg; /* NULL: the study has no secure aggregation */
    struct csl_heads *heads;           /* NULL: the study has no privacy */
    struct csl_service_groups *groups; /* NULL: no counts by patient group leave a site */
    struct csl_mailbox *mailbox;
    atomic_uint queued[CSL_SERVICE_QUEUED_SLOTS]; /* messages in the mailbox, by connection */
    atomic_size_t queued_bytes;
    /* What the service answers to the core: never lost, however full the mailbox is. A ring of
     * CSL_SERVICE_ANSWERS; core thread. */
    struct csl_coord_event *answers;
    uint32_t answer_first, answer_count;
    uint32_t *folds; /* [site_count] sites whose updates are to be folded; core thread */
    uint32_t fold_count;
    uint64_t fold_round;
    struct csl_site_io *io; /* [site_count] */
    uint32_t site_count;
    uint32_t waiting_count; /* sites that await a grant */
    csl_conn *conns;        /* [site_count] core thread */
    uint64_t now_ns, seed;
    struct csl_accumulator *accumulator;
    struct csl_mutex lock;       /* tickets */
    struct csl_mutex model_lock; /* global, state, average, version, edition: held while they change
                                    or are copied */
    float *global;               /* [P] what the next round trains from */
    float *state[CSL_SERVICE_STATE_MAX];
    float *average;  /* [P] of the models; evaluated and released. NULL: global is */
    double *mixture; /* [block_count, site_count]; NULL: the strategy keeps none; core thread */
    struct csl_service_gate *gate; /* NULL: the study has none; core thread */
    uint64_t version;              /* rounds in the model */
    uint64_t edition;              /* grows when the model changes and its version does not */
    uint8_t broadcast_digest[CSL_DIGEST_BYTES], evaluated_digest[CSL_DIGEST_BYTES];
    uint8_t model_digest[CSL_DIGEST_BYTES]; /* of what is released */
    /* a study with inputs: of every block of every vector of the two broadcasts */
    uint8_t part_digests[2][CSL_SERVICE_BROADCAST_MAX * CSL_BLOCKS_MAX * CSL_DIGEST_BYTES];
    uint8_t *io_buffer; /* [CSL_SERVICE_IO_BYTES], core thread */
    bool is_finished;
    char end_reason[CSL_SERVICE_REASON_MAX]; /* why the study was aborted; "": not, or unknown */
    struct csl_err failure;                  /* code CSL_OK: none */
    uint64_t status_written_ns;
    bool is_status_stale;
};

/* service_events.c */
/* From now on the transport calls the service. */
void csl_service_listen__(struct csl_service *s);
/* A message of so many bytes has been handled. */
void csl_service_give_room__(struct csl_service *s, csl_conn c, size_t bytes);
/* false: it was lost, and the connection it came from, if any, is dropped. Any thread. */
bool csl_service_post__(struct csl_service *s, const struct csl_coord_event *ev,
                        const char *site_id, struct csl_msg *take_bytes);
/* service.c */
void csl_service_answer__(struct csl_service *s, const struct csl_coord_event *ev);
/* A line about what a site sent, with the quota of its kind. */
void csl_service_log_site__(struct csl_service *s, uint32_t site, struct csl_log_quota *quota,
                            enum csl_log_level level, const char *event, const char *why);
/* The weights of domains of a round that begins, where they are new. */
void csl_service_log_weights__(const struct csl_service *s, uint64_t round);
void csl_service_fail__(struct csl_service *s, const struct csl_err *err);
void csl_service_send__(struct csl_service *s, uint32_t site, const struct csl_message *m);

/* service_bulk.c: the data plane, on the transport's threads */
enum csl_code csl_service_upload_open__(void *ctx, const struct csl_peer *peer,
                                        const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                                        struct csl_err *err);
enum csl_code csl_service_download_open__(void *ctx, const struct csl_peer *peer,
                                          const struct csl_bulk_head *head,
                                          struct csl_bulk_source *out, struct csl_err *err);

/* service_round.c */
void csl_service_name_spool__(struct csl_service *s, uint32_t site,
                              const uint8_t digest[CSL_DIGEST_BYTES]);
void csl_service_grant_update__(struct csl_service *s, uint32_t site, uint64_t round);
/* Grants uploads to those that wait as far as others are over. After every event. */
void csl_service_admit__(struct csl_service *s);
void csl_service_grant_model__(struct csl_service *s, uint32_t site, uint64_t round);
void csl_service_aggregate__(struct csl_service *s, uint64_t round);
/* A round that is not committed: its rows go first. */
void csl_service_forget_updates__(struct csl_service *s, uint64_t round);
uint64_t csl_service_broadcast_bytes__(const struct csl_service *s);
/* Of the round that is closed: any site is in the sum of the block; its mean over them. */
bool csl_service_has_sum__(const struct csl_service *s, uint32_t block);
void csl_service_mean__(const struct csl_service *s, uint32_t vector, uint32_t block,
                        uint64_t first, uint64_t n, float *out);
/* What the site downloads: all of it, or of a study with inputs its part (has: which blocks). */
uint64_t csl_service_download_bytes__(const struct csl_service *s, uint32_t site,
                                      bool has[CSL_BLOCKS_MAX]);
void csl_service_digest_broadcast__(struct csl_service *s);
/* Of what the sites work on in that round: what is evaluated, where it trains nothing. */
const uint8_t *csl_service_task_digest__(const struct csl_service *s, uint64_t round);
/* Vector v of a broadcast: the model, then (SCAFFOLD) the server control. */
const float *csl_service_vector__(const struct csl_service *s, bool is_evaluated, uint32_t v);

/* service_updates.c: a block of a round under a strategy that sees single updates. open:
 * CSL_E_STATE, the strategy has too few of them. */
struct csl_service_rows;
enum csl_code csl_service_rows_open__(struct csl_service *s, uint32_t block,
                                      struct csl_service_rows **out,
                                      struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_rows_mean__(struct csl_service_rows *r, uint64_t first, uint64_t count,
                                      float *mean, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_rows_free__(struct csl_service_rows *r);

/* service_mixture.c: nothing to do for a strategy that keeps none. load: CSL_E_CORRUPT. */
enum csl_code csl_service_new_mixture__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
double *csl_service_mixture__(struct csl_service *s, uint32_t block, uint32_t site);
enum csl_code csl_service_save_mixture__(struct csl_service *s, uint64_t round,
                                         struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_load_mixture__(struct csl_service *s, uint64_t round,
                                         struct csl_err *err) CSL_MUST_CHECK;
void csl_service_forget_mixture__(struct csl_service *s, uint64_t round);

/* service_gate.c: nothing to do in a study without a gate. passes: what the sum of the round that
 * is closed would do may be done; its verdict is in the state that save keeps. load: CSL_E_CORRUPT.
 */
enum csl_code csl_service_new_gate__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_free_gate__(struct csl_service *s);
bool csl_service_passes_gate__(struct csl_service *s, uint64_t round);
/* Why the study ends: too many rounds in a row were rejected. NULL: it does not. While s lives. */
const char *csl_service_gate_end__(struct csl_service *s);
void csl_service_gate_status__(const struct csl_service *s, struct csl_json *j); /* a member */
enum csl_code csl_service_save_gate__(struct csl_service *s, uint64_t round,
                                      struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_load_gate__(struct csl_service *s, uint64_t round,
                                      struct csl_err *err) CSL_MUST_CHECK;
void csl_service_forget_gate__(struct csl_service *s, uint64_t round);

/* service_heads.c: nothing to do in a study without privacy */
enum csl_code csl_service_open_heads__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
/* Why an update that is announced here must not be taken; CSL_OK: it may. */
enum csl_code csl_service_take_head__(struct csl_service *s, uint32_t site,
                                      const struct csl_message *m) CSL_MUST_CHECK;
void csl_service_put_head__(struct csl_service *s, uint32_t site, struct csl_message *m);
/* service_fold.c */
/* Where a block of a vector stands in the update, in bytes; false: the update has no such block. */
bool csl_service_find_block__(const struct csl_service *s, const struct csl_coord_update *u,
                              uint32_t vector, uint32_t block, uint64_t *at);
void csl_service_close_spool__(struct csl_service *s, uint32_t site);
void csl_service_fold__(struct csl_service *s, uint32_t site, uint64_t round); /* is to be folded */
/* Folds what is to be folded and answers it. After every batch of events. */
void csl_service_fold_pending__(struct csl_service *s);

/* service_state.c: start-up, saving, status */
/* Opens the store, if there is one; *seed becomes that of a study begun before. */
enum csl_code csl_service_stored_seed__(struct csl_service *s, uint64_t *seed, struct csl_err *err);
enum csl_code csl_service_load__(struct csl_service *s, struct csl_err *err);
void csl_service_save_study__(struct csl_service *s);
void csl_service_save_member__(struct csl_service *s, uint32_t site);
void csl_service_save_update__(struct csl_service *s, uint32_t site);
void csl_service_save_task__(struct csl_service *s, uint32_t site);
/* service_secagg_evaluate.c: figures of the newest sums of evaluations, as a member. */
void csl_service_evaluation_status__(const struct csl_service *s, struct csl_json *j);
/* service_secagg_statistics.c: the newest publications, as a member; those of rounds that are
 * committed, from the store. */
void csl_service_statistics_status__(const struct csl_service *s, struct csl_json *j);
enum csl_code csl_service_statistics_restore__(struct csl_service *s,
                                               struct csl_err *err) CSL_MUST_CHECK;
/* Tells the observer, and makes the rows. site: its index, or the following, of a sum. */
#define CSL_SERVICE_ALL_SITES UINT32_MAX
void csl_service_save_evaluation__(struct csl_service *s, uint32_t site,
                                   const struct csl_msg_evaluation *e);
/* Atomically: the round's row, the study's new state, one more round for every contributor. */
enum csl_code csl_service_commit_round__(struct csl_service *s, uint64_t round,
                                         uint32_t contributions, double train_loss,
                                         struct csl_err *err);
enum csl_code csl_service_checkpoint__(struct csl_service *s, uint64_t round, struct csl_err *err);
void csl_service_release_model__(struct csl_service *s);
/* The study is over: what status.json and the outcome say of it, kept over restarts. reason: why it
 * was aborted; NULL: it was not, or before this start. */
void csl_service_note_end__(struct csl_service *s, const char *reason);
void csl_service_write_status__(struct csl_service *s);

#endif
