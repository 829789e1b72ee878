/* simulations/result_attack.h - what a run says about simulated sites that meant harm
 * (simulations/attack.h): part of struct csl_result. */
#ifndef CSL_RESULT_ATTACK_H
#define CSL_RESULT_ATTACK_H
#include "base/buf.h"
#include "protocol/study/study.h"

/* Of one site. */
struct csl_result_attack {
    enum csl_attack_kind kind;
    double factor, share;
    /* backdoor: test records of honest sites that are not of the target class, how many the
     * released model gives to it with the trigger, and how many without; records 0: not measured */
    uint64_t records, with_trigger, without_trigger;
};
struct csl_result;
/* Per attacking site a line, "  ATTACK: site x ... \n"; nothing when all are honest. */
void csl_result_attack_words(const struct csl_result *r, struct csl_buf *out);

#endif
