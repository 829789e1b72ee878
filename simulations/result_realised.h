/* simulations/result_realised.h - what a run in mode joint says about the sums that were opened. */
#ifndef CSL_RESULT_REALISED_H
#define CSL_RESULT_REALISED_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the opened sums cost, from the shares of noise that were in each of them. An
 * epsilon of 0: not measured. */
struct csl_result_realised {
    bool is_present;
    double coordinator;              /* epsilon against the coordinator alone */
    double colluding;                /* against it with `colluding_sites` sites */
    double planned;                  /* what the study promised for these rounds, and was charged */
    uint32_t colluding_sites, floor; /* of the study; floor: the fewest sites of a sum */
    uint32_t fewest, most;           /* sites in a sum of this run */
};
#define CSL_REALISED_WORDS                                                                         \
    "Computed from the noise that was in each opened sum. Ledgers are charged before a sum is "    \
    "opened, for the fewest sites that it may have: as planned."

/* "6 to 7", or "7": how many shares of noise were counted in the sums where `known` are known. */
void csl_realised_shares(char *dst, size_t dst_bytes, const struct csl_result_realised *p,
                         uint32_t known);

#endif
