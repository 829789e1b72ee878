/* coordinator/service_secagg_audit.h - internal to the service: audits of the published sums
 * (privacy/secagg/audit.h). What an answer needs is kept from the moment a sum was opened until the
 * next one is: the uploads, where they were spooled; the hashes of the sum's chunks, a blob for
 * each block; and the protocol's machine of that round with its journal, which is set aside as
 * secagg-audit.journal when the next round opens, because what M12 revealed is in it. Then the key
 * of that journal is written over and all of it removed. A restart finds everything again.
 *
 * A site asks once a round, for no more chunks than the study says. What it asked is written down
 * before it is answered; the same request may come again on another connection. Answers go out as
 * messages of the protocol, one at a time when the site's outbox has room, to few sites at once:
 * one chunk of one upload is in memory, whatever the number of sites. Control messages of the
 * audited round stay in memory beside those of the open one.
 *
 * Each call does nothing in a study without audits, or without masks. Core thread. */
#ifndef CSL_COORD_SERVICE_SECAGG_AUDIT_H
#define CSL_COORD_SERVICE_SECAGG_AUDIT_H
#include "coordinator/service_secagg_internal.h"

/* From here on, the types of the service's records that are about audits. */
#define CSL_SERVICE_AUDIT_RECORDS 0x300

struct csl_service_audit_job {
    csl_conn conn, asked_on; /* where it is being answered, 0: it is not; where it was asked last */
    uint64_t moved_ns;       /* when the last message was handed over */
    uint32_t item, next;     /* of the chunks; 0: the answer, else 1 + the first site to look at */
    uint32_t count;
    uint8_t chunks[CSL_SECAGG_AUDITS_MAX * 8];
    bool has_asked; /* in this round */
    uint8_t digest[CSL_SHA256_BYTES];
};
struct csl_service_audit {
    uint64_t round;                     /* 0: nothing is kept */
    struct csl_secagg_coordinator *fsm; /* set aside; NULL: that of the round is still in place */
    struct csl_secagg_journal *journal; /* the same */
    char (*spools)[CSL_ID_MAX];         /* [site_count] of the uploads in the sum; "": none */
    struct csl_service_audit_job *jobs; /* [site_count] */
    csl_conn *told;                     /* [site_count] where it heard all of the past */
    uint32_t first;                     /* where the next look begins */
    bool is_serving;
};

/* service_secagg_audit_kept.c */
enum csl_code csl_service_audit_open__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
void csl_service_audit_free__(struct csl_service *s); /* what is on disk stays */
/* The machine that answers; NULL: there is no result to audit. */
struct csl_secagg_coordinator *csl_service_audit_machine__(const struct csl_service *s);
/* n words of one chunk of the sum that is being opened are in secagg->sum. */
enum csl_code csl_service_audit_note__(struct csl_service *s, uint32_t block, uint32_t chunk,
                                       size_t n, struct csl_err *err) CSL_MUST_CHECK;
/* That sum was opened: what is kept is about it now. Before its root is written down. */
enum csl_code csl_service_audit_begin__(struct csl_service *s, struct csl_err *err) CSL_MUST_CHECK;
/* Before the machine of a round that is over makes room for that of the next. */
void csl_service_audit_set_aside__(struct csl_service *s);
/* Removes every spool but those that are kept. false: nothing is kept. */
bool csl_service_audit_keep__(struct csl_service *s);
void csl_service_audit_drop__(struct csl_service *s); /* all of it, on disk too */
/* Before the journal of the open round is read. A record that is lost costs an answer, no more. */
enum csl_code csl_service_audit_restore__(struct csl_service *s,
                                          struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_audit_restore_record__(struct csl_service *s,
                                                 const struct csl_secagg_journal_record *r,
                                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_service_audit_record_asked__(struct csl_service *s, uint32_t site,
                                               struct csl_err *err) CSL_MUST_CHECK;
void csl_service_audit_sum_name__(uint64_t round, uint32_t block, char out[CSL_ID_MAX]);
void csl_service_audit_hash_name__(const struct csl_service *s, uint32_t site, uint32_t block,
                                   char out[CSL_ID_MAX]);

/* service_secagg_audit.c */
void csl_service_audit_ask__(struct csl_service *s, uint32_t site, struct csl_span bytes);
bool csl_service_audit_pump__(struct csl_service *s); /* false: nothing to do now */
uint64_t csl_service_audit_wakeup_ns__(const struct csl_service *s);

#endif
