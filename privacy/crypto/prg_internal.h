/* privacy/crypto/prg_internal.h - what prg.c, its self test and the tests share. */
#ifndef CSL_CRYPTO_PRG_INTERNAL_H
#define CSL_CRYPTO_PRG_INTERNAL_H
#include "privacy/crypto/prg.h"

enum csl_prg__cipher { CSL_PRG__CTR, CSL_PRG__GCM };

/* csl_prg_new with the cipher given, without self test or timing. Same errors. */
enum csl_code csl_prg__open(enum csl_prg__cipher cipher, struct csl_prg **out,
                            struct csl_err *err) CSL_MUST_CHECK;
/* The definition, as plainly as it can be had: the whole key stream, one enciphered block per
 * counter (FIPS 197), into a buffer; then the sum. Nothing of it is shared with csl_prg_add.
 * CSL_E_NOMEM; words are then untouched. */
enum csl_code csl_prg__reference(const uint8_t key[CSL_PRG_KEY_BYTES], uint64_t *words,
                                 size_t count, enum csl_prg_sign sign,
                                 struct csl_err *err) CSL_MUST_CHECK;

#endif
