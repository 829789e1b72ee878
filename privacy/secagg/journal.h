/* privacy/secagg/journal.h - the file behind the JOURNAL actions of site.h and coordinator.h.
 *
 *     file    = "FSA1jrnl" id[16] digest[32]   record ...
 *     record  = le32 bytes of payload, le16 type, le64 number, check[8], payload, digest[32]
 *     digest  = SHA-256(digest before || the three fields || payload); check: the beginning of
 *               SHA-256(digest before || the three fields), so that a length is known to be good
 *               before it is believed
 *
 * A record is durable when csl_secagg_journal_append returns (fdatasync). At an opening a record
 * that ends with the file before it is whole was being written when the process died: it is cut
 * off, nothing that follows from it was done. Whatever else does not verify is CSL_E_CORRUPT with
 * its offset, and nobody repairs it: half a journal is a site that forgot what it signed. A file
 * that lost whole records at its end cannot be told from one of an earlier time; that the machine
 * notices (site.h, roll-back).
 *
 * A write or a sync that failed is final: the journal then refuses every append (CSL_E_STATE), and
 * the process has to end and start again from what is on disk. A second fsync may succeed without
 * having written what the first one lost.
 *
 * Records marked secret are sealed (privacy/crypto/aead.h) with a key of this file alone, in
 * path.key (0600). csl_secagg_journal_replace writes another key over it: what was sealed before
 * is useless then, wherever its bytes remain.
 *
 * One thread, one process (the state folder is locked by its owner). */
#ifndef CSL_SECAGG_JOURNAL_H
#define CSL_SECAGG_JOURNAL_H
#include "base/bytes.h"
#include "base/err.h"

enum {
    CSL_SECAGG_JOURNAL_RECORD_MAX = 72 << 20, /* a snapshot after a million rounds */
    CSL_SECAGG_JOURNAL_FILE_MAX = 512 << 20,
    CSL_SECAGG_JOURNAL_TYPE_MAX = 0x7FFF
};

struct csl_secagg_journal_record {
    uint16_t type; /* the writer's: from 1 to CSL_SECAGG_JOURNAL_TYPE_MAX */
    bool is_secret;
    struct csl_span payload; /* borrowed for the call */
};
struct csl_secagg_journal_reader { /* each record in order; a failure ends the opening */
    void *ctx;
    enum csl_code (*visit)(void *ctx, const struct csl_secagg_journal_record *r,
                           struct csl_err *err);
};

struct csl_secagg_journal;
/* Opens or begins the file. CSL_E_CORRUPT, CSL_E_IO, CSL_E_LIMIT, CSL_E_NOMEM, or what visit said.
 */
enum csl_code csl_secagg_journal_open(struct csl_secagg_journal **out, const char *path,
                                      const struct csl_secagg_journal_reader *reader,
                                      struct csl_err *err) CSL_MUST_CHECK;
void csl_secagg_journal_close(struct csl_secagg_journal *j); /* NULL allowed */
enum csl_code csl_secagg_journal_append(struct csl_secagg_journal *j,
                                        const struct csl_secagg_journal_record *r,
                                        struct csl_err *err) CSL_MUST_CHECK;
/* These instead of all that was there, in one step: written anew, synced, renamed, the folder
 * synced. None of them may be secret. */
enum csl_code csl_secagg_journal_replace(struct csl_secagg_journal *j,
                                         const struct csl_secagg_journal_record *records,
                                         uint32_t count, struct csl_err *err) CSL_MUST_CHECK;

/* The journal and its key under another path of the same folder, where nothing may be; it stays
 * open. A process that dies in between leaves the journal moved and its key not:
 * csl_secagg_journal_moved, before either path is opened, ends that. CSL_E_IO, CSL_E_LIMIT. */
enum csl_code csl_secagg_journal_move(struct csl_secagg_journal *j, const char *path,
                                      struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_secagg_journal_moved(const char *from, const char *to,
                                       struct csl_err *err) CSL_MUST_CHECK;
/* Of a journal that is not open, and perhaps cannot be opened: writes over its key in its place,
 * removes both files and syncs the folder, so that what was sealed is useless. What fails is
 * logged (secagg.journal_kept); files that are not there are as good. */
void csl_secagg_journal_erase(const char *path);
/* Closes it first. */
void csl_secagg_journal_destroy(struct csl_secagg_journal *j); /* NULL allowed */

#endif
