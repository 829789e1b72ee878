/* A whole attempt of which the sum can be audited, and an auditor of one chunk of it. */
#ifndef CSL_TESTS_SECAGG_AUDITED_H
#define CSL_TESTS_SECAGG_AUDITED_H
#include "privacy/secagg/audit.h"
#include "tests/unit/secagg/attack.h"

enum { AUDITED_BLOCKS = 3, AUDITED_CHUNKS_MAX = 8, AUDITED_LOST = 2 };

/* A whole attempt in which site AUDITED_LOST vanishes while uploading; blocks 0 and 1, and the
 * scalars. */
struct audited {
    struct world w;
    uint64_t *sum[AUDITED_BLOCKS]; /* as published */
    uint8_t hashes[AUDITED_BLOCKS][AUDITED_CHUNKS_MAX][32], roots[AUDITED_BLOCKS][32],
        result_root[32];
    struct csl_msg result;
    struct csl_secagg_audit_session session;
};

/* To RELEASED, with the sum opened as a coordinator does; c = 1 unless it is given. */
void audited_release(struct audited *a, uint32_t n, uint64_t entries);
void audited_release_with(struct audited *a, uint32_t n, uint32_t colluding, uint64_t entries);
/* Of a plan with two blocks and two scalars. */
void audited_release_plan(struct audited *a, const struct world_plan *plan, uint64_t entries);
/* Publishes a->sum, true or not. */
void audited_publish(struct audited *a);
void audited_make(struct audited *a, uint32_t n, uint64_t entries); /* both */
void audited_unmake(struct audited *a);
/* What the honest coordinator serves. */
struct csl_msg audited_answer(const struct audited *a, uint32_t block, uint32_t chunk);
enum csl_code audited_serve(const struct audited *a, uint32_t index, uint32_t block, uint32_t chunk,
                            const uint64_t *words, struct csl_msg *out);
struct csl_msg audited_upload(const struct audited *a, uint32_t index, uint32_t block,
                              uint32_t chunk);
/* The auditor; audited_give consumes m. */
struct csl_secagg_audit *audited_begin(const struct audited *a, uint32_t block, uint32_t chunk);
enum csl_code audited_give(struct csl_secagg_audit *audit, struct csl_msg m);
/* The whole audit of a chunk, by the honest API. */
enum csl_code audited_verify(const struct audited *a, uint32_t block, uint32_t chunk);

#endif
